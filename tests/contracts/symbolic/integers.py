"""Decides a query of halmos over the integers: `integers.py QUERY.smt2` answers as an SMT solver would.

Solvers that think in bits cannot multiply and divide 256 of them. Hardly anything that the guard multiplies can wrap,
though, and then it is school arithmetic. Here every bit vector becomes an integer with an interval, and a remainder
modulo 2^width is taken only where the interval does not rule out a wrap. Nothing is lost: the integers have a solution
if and only if the bit vectors have one, and a solution is checked against the query itself before it is believed.
What has no translation is left to the solver that thinks in bits.
"""

import sys
from dataclasses import dataclass

import z3

TIMEOUT_MS = 60_000

COMPARISONS = {
    z3.Z3_OP_EQ: lambda a, b: a == b,
    z3.Z3_OP_DISTINCT: lambda a, b: a != b,
    z3.Z3_OP_ULEQ: lambda a, b: a <= b,
    z3.Z3_OP_SLEQ: lambda a, b: a <= b,
}
CONNECTIVES = {z3.Z3_OP_AND: z3.And, z3.Z3_OP_OR: z3.Or, z3.Z3_OP_NOT: z3.Not}


class Untranslated(Exception):  # noqa: N818  # not an error: the query goes to the other solver
    """An operation that has no counterpart in integers here."""


@dataclass(frozen=True)
class Number:
    """An integer that equals a bit vector modulo 2^width, and an interval that contains the integer."""

    term: z3.ArithRef
    low: int
    high: int

    def __add__(self, other: "Number") -> "Number":
        return Number(self.term + other.term, self.low + other.low, self.high + other.high)

    def __mul__(self, other: "Number") -> "Number":
        ends = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Number(self.term * other.term, min(ends), max(ends))


def constant(value: int) -> Number:
    return Number(z3.IntVal(value), value, value)


def choice(condition: z3.BoolRef, a: Number, b: Number) -> Number:
    return Number(z3.If(condition, a.term, b.term), min(a.low, b.low), max(a.high, b.high))


def top(e: z3.BitVecRef) -> int:
    """The largest value of its width."""
    return 2 ** e.size() - 1


def is_a(e: z3.ExprRef, operation: int, name: str) -> bool:
    """Whether `e` is `operation`, as the solver calls it or as halmos does."""
    return e.decl().kind() == operation or e.decl().name() == f"f_evm_{name}_{e.size()}"


def is_bit(e: z3.BitVecRef) -> bool:
    """Whether `e` is a comparison as the EVM has it, one or zero."""
    return e.decl().kind() == z3.Z3_OP_ITE and all(z3.is_bv_value(x) and x.as_long() < 2 for x in e.children()[1:])


def mentions_arrays(e: z3.ExprRef) -> bool:
    return z3.is_array(e) or any(mentions_arrays(part) for part in e.children())


def all_zero(e: z3.ExprRef) -> list[z3.BitVecRef]:
    """The operands of an `or` of which `e` says that it is zero: none if it says something else."""
    if e.decl().kind() != z3.Z3_OP_EQ or not z3.is_bv_value(e.arg(1)) or e.arg(1).as_long() != 0:
        return []
    return e.arg(0).children() if e.arg(0).decl().kind() == z3.Z3_OP_BOR else []


class Query:
    """A query, and the same over the integers."""

    def __init__(self, path: str) -> None:
        self.assertions = list(z3.parse_smt2_file(path))
        self.inputs: dict[z3.BitVecRef, z3.ArithRef] = {}
        self.facts: list[z3.BoolRef] = []
        # By the solver's number of an expression, which stays with it as long as it lives.
        self._bounds: dict[int, tuple[int, int]] = {}
        self._numbers: dict[int, Number] = {}
        self._quotients: dict[tuple[int, int], tuple[Number, Number]] = {}
        self._alive: list[z3.ExprRef] = []
        for _ in range(2):  # The bound of a part may need that of the whole, and come first.
            for assertion in self.assertions:
                self._learn(assertion, True)
        # The only arrays are the balances of accounts, which no proof is about.
        self.facts += [self._truth(a) for a in self.assertions if not mentions_arrays(a)]

    def _learn(self, e: z3.BoolRef, holds: bool) -> None:
        """Notes what `e` says about the interval of an expression."""
        kind = e.decl().kind()
        if kind == z3.Z3_OP_NOT:
            self._learn(e.arg(0), not holds)
        elif kind == (z3.Z3_OP_AND if holds else z3.Z3_OP_OR):
            for part in e.children():
                self._learn(part, holds)
        elif holds and all_zero(e):
            for part in all_zero(e):
                self._learn(part == 0, True)
        elif kind == z3.Z3_OP_ULEQ:
            a, b = e.children()
            if holds and z3.is_bv_value(b):
                self._narrow(a, 0, b.as_long())
            elif holds and z3.is_bv_value(a):
                self._narrow(b, a.as_long(), top(b))
            elif z3.is_bv_value(a):
                self._narrow(b, 0, a.as_long() - 1)
        elif kind == z3.Z3_OP_EQ and holds and z3.is_bv_value(e.arg(1)) and e.arg(1).as_long() == 0:
            part = e.arg(0)
            if part.decl().kind() == z3.Z3_OP_EXTRACT and part.params()[0] == part.arg(0).size() - 1:
                self._narrow(part.arg(0), 0, 2 ** part.params()[1] - 1)

    def _narrow(self, e: z3.BitVecRef, low: int, high: int) -> None:
        known = self._bound(e)
        self._bounds[e.get_id()] = (max(known[0], low), min(known[1], high))
        # The lowest bits are the whole, if the others are known to be zero.
        if e.decl().kind() == z3.Z3_OP_EXTRACT and e.params()[1] == 0 and self._bound(e.arg(0))[1] <= top(e):
            self._narrow(e.arg(0), low, high)

    def _bound(self, e: z3.BitVecRef) -> tuple[int, int]:
        return self._bounds.get(e.get_id(), (0, top(e)))

    def _truth(self, e: z3.BoolRef) -> z3.BoolRef:
        kind, args = e.decl().kind(), e.children()
        if not args:
            return e
        if all_zero(e):
            return z3.And([self._unsigned(part).term == 0 for part in all_zero(e)])
        if kind in COMPARISONS and z3.is_bv(args[0]):
            read = self._signed if kind == z3.Z3_OP_SLEQ else self._unsigned
            return COMPARISONS[kind](read(args[0]).term, read(args[1]).term)
        if kind in CONNECTIVES:
            return CONNECTIVES[kind](*(self._truth(x) for x in args))
        raise Untranslated(e.decl().name())

    def _unsigned(self, e: z3.BitVecRef) -> Number:
        """The value of `e`, not just something congruent to it."""
        number, modulus = self._number(e), 2 ** e.size()
        if number.low >= 0 and number.high < modulus:
            return number
        if number.low >= -modulus and number.high < modulus:
            term = z3.If(number.term < 0, number.term + modulus, number.term)
        else:
            wraps, term = z3.FreshInt("wraps"), z3.FreshInt("wrapped")
            self.facts += [number.term == wraps * modulus + term, term >= 0, term < modulus]
            self.facts += [wraps >= number.low // modulus, wraps <= number.high // modulus]
        number = self._numbers[e.get_id()] = Number(term, *self._bound(e))
        return number

    def _signed(self, e: z3.BitVecRef) -> Number:
        """The value of `e` in two's complement."""
        number, half = self._number(e), 2 ** (e.size() - 1)
        if number.low >= -half and number.high < half:
            return number
        value = self._unsigned(e).term
        return Number(z3.If(value >= half, value - 2 * half, value), -half, half - 1)

    def _number(self, e: z3.BitVecRef) -> Number:
        known = self._numbers.get(e.get_id())
        if known is None:
            known = self._translated(e)
            if known.low >= 0 and known.high <= top(e):
                low, high = self._bound(e)
                known = Number(known.term, max(known.low, low), min(known.high, high))
            self._numbers[e.get_id()] = known
        return known

    def _translated(self, e: z3.BitVecRef) -> Number:  # noqa: PLR0911  # one return for each operation
        kind, args = e.decl().kind(), e.children()
        if z3.is_bv_value(e):
            # The solver writes x - y as x + (2^width - 1) y.
            return constant(e.as_long() if e.as_long() <= top(e) // 2 else e.as_long() - top(e) - 1)
        if kind == z3.Z3_OP_UNINTERPRETED and not args:
            return self._input(e)
        if kind == z3.Z3_OP_BADD:
            return sum((self._number(x) for x in args), constant(0))
        if is_a(e, z3.Z3_OP_BMUL, "bvmul"):
            return self._product(args)
        if kind in (z3.Z3_OP_BUDIV, z3.Z3_OP_BUDIV_I, z3.Z3_OP_BUREM, z3.Z3_OP_BUREM_I):
            return self._divided(*args)[kind in (z3.Z3_OP_BUREM, z3.Z3_OP_BUREM_I)]
        if is_a(e, z3.Z3_OP_BUDIV, "bvudiv") or is_a(e, z3.Z3_OP_BUREM, "bvurem"):
            # On the EVM both are zero where the divisor is.
            result = self._divided(*args)[e.decl().name().startswith("f_evm_bvurem")]
            return choice(self._unsigned(args[1]).term == 0, constant(0), result)
        if kind == z3.Z3_OP_ITE:
            return choice(self._truth(args[0]), self._number(args[1]), self._number(args[2]))
        if kind == z3.Z3_OP_EXTRACT:
            return self._extracted(args[0], e.params()[1])
        if kind == z3.Z3_OP_CONCAT:
            whole = constant(0)
            for part in args:
                whole = whole * constant(top(part) + 1) + self._unsigned(part)
            return whole
        if kind == z3.Z3_OP_BXOR:
            return self._exclusive(args, e.size())
        raise Untranslated(e.decl().name())

    def _input(self, e: z3.BitVecRef) -> Number:
        term = self.inputs[e] = z3.FreshInt(e.decl().name())
        self.facts += [term >= 0, term <= top(e)]
        return Number(term, *self._bound(e))

    def _product(self, factors: list[z3.BitVecRef]) -> Number:
        """The product; times a bit, it is a choice."""
        result = constant(1)
        for e in sorted(factors, key=is_bit):
            if is_bit(e):
                one, zero = (result if x.as_long() else constant(0) for x in e.children()[1:])
                result = choice(self._truth(e.arg(0)), one, zero)
            else:
                result = result * self._number(e)
        return result

    def _divided(self, x: z3.BitVecRef, d: z3.BitVecRef) -> tuple[Number, Number]:
        """Quotient and remainder, the same ones for the same operands."""
        key = (x.get_id(), d.get_id())
        if key not in self._quotients:
            n, m = self._unsigned(x), self._unsigned(d)
            q, r = z3.FreshInt("quotient"), z3.FreshInt("remainder")
            divided = z3.And(n.term == q * m.term + r, r >= 0, r < m.term, q >= 0, q <= n.term)
            self.facts.append(z3.If(m.term == 0, z3.And(q == top(x), r == n.term), divided))
            most = n.high // m.low if m.low > 0 else top(x)
            self._quotients[key] = (Number(q, 0, most), Number(r, 0, max(n.high, m.high)))
        return self._quotients[key]

    def _extracted(self, whole: z3.BitVecRef, low: int) -> Number:
        """The bits from `low` on: congruent, whatever lies above."""
        number = self._unsigned(whole)
        if low == 0:
            return number
        upper, lower = z3.FreshInt("upper"), z3.FreshInt("lower")
        self.facts += [number.term == upper * 2**low + lower, lower >= 0, lower < 2**low, upper >= 0]
        return Number(upper, number.low >> low, number.high >> low)

    def _exclusive(self, todo: list[z3.BitVecRef], size: int) -> Number:
        """An exclusive or as compilers of branchless code use it: of things that cancel, and of all ones."""
        todo, mask, left = list(todo), 0, {}
        while todo:
            e = todo.pop()
            if z3.is_bv_value(e):
                mask ^= e.as_long()
            elif e.decl().kind() == z3.Z3_OP_BXOR:
                todo += e.children()
            elif is_a(e, z3.Z3_OP_BMUL, "bvmul") and any(is_bit(x) for x in e.children()):
                other, bit = sorted(e.children(), key=is_bit)
                one, zero = (other if x.as_long() else z3.BitVecVal(0, size) for x in bit.children()[1:])
                todo.append(z3.If(bit.arg(0), one, zero))
            elif e.decl().kind() == z3.Z3_OP_ITE:
                rest = [*todo, *left.values(), z3.BitVecVal(mask, size)]
                one, zero = (self._exclusive([*rest, x], size) for x in e.children()[1:])
                return choice(self._truth(e.arg(0)), one, zero)
            elif left.pop(e.get_id(), None) is None:
                left[e.get_id()] = e
            self._alive.append(e)
        if not left:
            return constant(mask)
        if len(left) == 1 and mask in (0, 2**size - 1):
            number = self._number(*left.values())
            return number if mask == 0 else constant(-1) + constant(-1) * number
        raise Untranslated("bvxor")


def decide(path: str) -> str:
    """The answer to the query, with a model if it is satisfiable."""
    bits = z3.SolverFor("QF_AUFBV")
    bits.set("timeout", TIMEOUT_MS)
    bits.add(z3.parse_smt2_file(path))
    try:
        query = Query(path)
    except Untranslated:
        answer = bits.check()
        if answer != z3.sat:
            return str(answer)
        model = bits.model()
        inputs = {d.name(): model[d] for d in model.decls() if z3.is_bv_value(model[d])}
        return shown({name: (value.as_long(), value.size()) for name, value in inputs.items()})
    integers = z3.Solver()
    integers.set("timeout", TIMEOUT_MS)
    integers.add(query.facts)
    answer = integers.check()
    if answer != z3.sat:
        return str(answer)
    model = integers.model()
    values = {e: model.eval(term, model_completion=True).as_long() for e, term in query.inputs.items()}
    bits.add([e == value for e, value in values.items()])
    if bits.check() != z3.sat:
        raise AssertionError(f"the translation of {path} has a solution that the query does not have")
    return shown({e.decl().name(): (value, e.size()) for e, value in values.items()})


def shown(values: dict[str, tuple[int, int]]) -> str:
    lines = [f"(define-fun {name} () (_ BitVec {size}) (_ bv{value} {size}))" for name, (value, size) in values.items()]
    return "\n".join(["sat", "(", *lines, ")"])


if __name__ == "__main__":
    print(decide(sys.argv[1]))
