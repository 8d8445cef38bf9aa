"""Whatever the swaps, the program moves exactly what the decision says.

The reference is an interpreter of the executor's bytes, written from `contracts/interfaces/ISwapExecutor.sol`.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import example, given, reject
from hypothesis import strategies as st

from keeper.chain.venues import BALANCER_VAULT
from keeper.domain import Swap
from keeper.pools import (
    BalancerStablePool,
    BalancerWeightedPool,
    CurveStableSwapPool,
    Pool,
    RatedHolding,
    UniswapV2Pool,
    UniswapV3Pool,
    UniswapV4Pool,
    WeightedHolding,
)
from keeper.routing.steps import plan_steps
from keeper.submit.order import Order, OrderBuy, OrderSell
from keeper.submit.program import encode_program, v4_key

TOKENS = [f"0x{n:040x}" for n in range(0xA1, 0xA6)]
WETH, ETHER = TOKENS[3], "0x" + "00" * 20
EXECUTOR, VAULT, MANAGER = "executor", "vault", "0x" + "44" * 20
WAD = 10**18


def v4_id(currency0: str, currency1: str, fee: int, spacing: int) -> str:
    """The id of a V4 pool without hooks."""
    key = encode(["address", "address", "uint24", "int24", "address"], [currency0, currency1, fee, spacing, ETHER])
    return "0x" + keccak(key).hex()


def concentrated(token0: str, token1: str) -> dict[str, object]:
    """The common fields of a V3 or V4 pool that has no liquidity."""
    return {
        "token0": token0,
        "token1": token1,
        "fee_pips": 500,
        "tick_spacing": 10,
        "sqrt_price_x96": 2**96,
        "liquidity": 0,
        "tick": 0,
        "ticks": (),
    }


def make_pools() -> dict[str, Pool]:
    """A pair, a V3 and a V4 pool for any two tokens, V4 pools of ether, and three pools of several tokens."""
    pools: list[Pool] = []
    for i, token0 in enumerate(TOKENS):
        for j in range(i + 1, len(TOKENS)):
            token1 = TOKENS[j]
            two, three = f"0x{0x2000 + 16 * i + j:040x}", f"0x{0x3000 + 16 * i + j:040x}"
            pools.append(
                UniswapV2Pool(address=two, fee_pips=3000, reserve0=WAD, reserve1=WAD, token0=token0, token1=token1)
            )
            pools.append(UniswapV3Pool.model_validate({"address": three, **concentrated(token0, token1)}))
            pools.append(v4_pool(v4_id(token0, token1, 500, 10), token0, token1))
    # One in which WETH would come second by its address, and one in which it would not.
    pools += [v4_pool(v4_id(ETHER, other, 500, 10), WETH, other) for other in (TOKENS[0], TOKENS[4])]
    rated = tuple(RatedHolding(token=token, balance=WAD, rate=WAD) for token in (TOKENS[2], TOKENS[0], TOKENS[4]))
    stable = {"amplification": 2000, "a_precision": 100, "fee": 10**14, "tokens": rated}
    weights = zip(TOKENS[:3], (WAD // 2, WAD // 4, WAD // 4), strict=True)
    weighted = tuple(WeightedHolding(token=token, balance=WAD, weight=weight) for token, weight in weights)
    pools += [
        BalancerWeightedPool.model_validate(
            {"address": "0x" + "51" * 20, "id": "0x" + "51" * 32, "swap_fee": 10**15, "tokens": weighted}
        ),
        BalancerStablePool.model_validate({"address": "0x" + "52" * 20, "id": "0x" + "52" * 32, **stable}),
        CurveStableSwapPool.model_validate({"address": "0x" + "53" * 20, **stable}),
    ]
    return {pool.name: pool for pool in pools}


def v4_pool(identifier: str, token0: str, token1: str, fee_pips: int = 500) -> UniswapV4Pool:
    fields = {**concentrated(token0, token1), "fee_pips": fee_pips}
    return UniswapV4Pool.model_validate({"address": MANAGER, "id": identifier, **fields})


POOLS = make_pools()
BY_TOKEN = {token: [pool for pool in POOLS.values() if token in pool.tokens] for token in TOKENS}


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[Swap], dict[str, int]]:
    """Swaps that spend only what is sold or came out of earlier swaps, and the sold amounts.

    Tokens are sold and bought in the same batch, and few pools make for many swaps in the same one.
    """
    amounts = st.integers(1, 10**24)
    sells = draw(st.dictionaries(st.sampled_from(TOKENS), amounts, min_size=1, max_size=3))
    few = draw(st.sets(st.sampled_from(sorted(POOLS)), max_size=3))
    held = Counter(sells)
    swaps: list[Swap] = []
    for _ in range(draw(st.integers(1, 9))):
        token = draw(st.sampled_from(sorted(token for token, amount in held.items() if amount)))
        pool = draw(st.sampled_from([pool for pool in BY_TOKEN[token] if pool.name in few] or BY_TOKEN[token]))
        amount_in = draw(st.just(held[token]) | st.integers(1, held[token]))
        if swaps and swaps[-1].token_out == token and swaps[-1].amount_out <= held[token]:
            amount_in = draw(st.just(swaps[-1].amount_out) | st.just(amount_in))
        swap = Swap(
            pool=pool.name,
            token_in=token,
            token_out=draw(st.sampled_from([other for other in pool.tokens if other != token])),
            amount_in=amount_in,
            amount_out=draw(amounts),
        )
        held[token] -= amount_in
        held[swap.token_out] += swap.amount_out
        swaps.append(swap)
    return swaps, {token: amount for token, amount in sells.items() if any(swap.token_in == token for swap in swaps)}


def check_told(read: Callable[[int], int], kind: int, target: str, sells_token0: bool, swap: Swap) -> None:
    """Reads, and checks, what a step tells its pool between the op and the amount."""
    pool = POOLS[swap.pool]
    if kind in (0, 1):
        assert target == pool.name
        assert sells_token0 == (swap.token_in < swap.token_out)
        fee = 0 if kind else read(3)
        assert kind == 1 or fee == pool.fee_pips
        return
    bought = f"0x{read(20):040x}"
    assert bought == swap.token_out
    if kind == 2:
        assert target == MANAGER
        fee, spacing = read(3), read(2)
        pair = [ETHER if spacing & 0x8000 and token == WETH else token for token in pool.tokens]
        assert v4_id(*sorted(pair), fee, spacing & 0x7FFF) == pool.name
        assert sells_token0 == (pair.index(min(pair)) == pool.tokens.index(swap.token_in))
    elif kind == 3:
        assert target == BALANCER_VAULT.lower()
        identifier = f"0x{read(32):064x}"
        assert identifier == pool.name
    else:
        assert (kind, target) == (4, pool.name)
        coins = read(1)
        assert (pool.tokens[coins >> 4], pool.tokens[coins & 15]) == (swap.token_in, swap.token_out)


class UnpaidError(Exception):
    """A step spends what is not there."""


def interpret(
    program: bytes, swaps: list[Swap], ledger: Counter[tuple[str, str]], yields: Sequence[int] | None = None
) -> list[int]:
    """Runs the program on `ledger` (holder, token) -> amount; each pool pays what the decision says, or `yields`.

    Returns how much each step swapped. Whatever lies in a pair beforehand is gone unless the step takes it. Raises
    `UnpaidError` where the chain would revert.
    """
    count, swept = program[:2]
    tokens = ["0x" + program[2 + 20 * i : 22 + 20 * i].hex() for i in range(count)]
    at = 2 + 20 * count
    spent: list[int] = []
    paid = 0

    def read(size: int) -> int:
        nonlocal at
        at += size
        return int.from_bytes(program[at - size : at])

    for swap, amount_out in zip(swaps, yields or [swap.amount_out for swap in swaps], strict=True):
        start = at
        op, target = read(1), f"0x{read(20):040x}"
        kind, sells_token0, mode, recipient = op & 7, bool(op & 8), (op >> 4) & 3, op >> 6
        check_told(read, kind, target, sells_token0, swap)
        payer = target if kind == 0 and mode in (2, 3) else EXECUTOR
        if payer == EXECUTOR:
            token = tokens[read(1)]
            assert token == swap.token_in
        named = read(16) if mode in (0, 2) else 0
        amount = [named, ledger[EXECUTOR, swap.token_in], named, paid][mode]
        assert kind > 1 or at - start <= 60
        ledger[payer, swap.token_in] -= amount
        if ledger[payer, swap.token_in] < 0:
            raise UnpaidError
        assert not any(ledger[target, token] for token in TOKENS), "the pair books a stray payment as its own"
        to = [EXECUTOR, VAULT, "0x" + program[at + 1 : at + 21].hex()][recipient]
        ledger[to, swap.token_out] += amount_out
        spent.append(amount)
        paid = amount_out
    assert at == len(program)
    for token in tokens[:swept]:
        ledger[VAULT, token] += ledger.pop((EXECUTOR, token), 0)
    return spent


@given(batches())
def test_every_step_swaps_what_the_decision_says_and_the_vault_gets_the_rest(batch):
    swaps, sells = batch
    steps, recipients = plan_steps(swaps, POOLS, sells)
    ledger: Counter[tuple[str, str]] = Counter()
    for token, amount in sells.items():
        ledger[recipients.get(token, EXECUTOR), token] += amount

    sent = {token: amount for token, amount in sells.items() if token not in recipients}
    assert interpret(encode_program(steps, sent), swaps, ledger) == [swap.amount_in for swap in swaps]

    left = Counter(sells)
    for swap in swaps:
        left[swap.token_in] -= swap.amount_in
        left[swap.token_out] += swap.amount_out
    assert {token: ledger[VAULT, token] for token in left} == left
    assert all(amount == 0 for (holder, _), amount in ledger.items() if holder != VAULT)


@given(batches(), st.data())
def test_nothing_stays_in_the_executor_whatever_the_pools_pay_by_then(batch, data):
    swaps, sells = batch
    steps, recipients = plan_steps(swaps, POOLS, sells)
    ledger: Counter[tuple[str, str]] = Counter()
    for token, amount in sells.items():
        ledger[recipients.get(token, EXECUTOR), token] += amount
    sent = {token: amount for token, amount in sells.items() if token not in recipients}
    # Mostly more than the plan says, which makes no step fail.
    yields = [data.draw(st.just(swap.amount_out) | st.integers(1, 2 * swap.amount_out)) for swap in swaps]
    try:
        interpret(encode_program(steps, sent), swaps, ledger, yields)
    except UnpaidError:
        reject()
    assert all(amount == 0 for (holder, _), amount in ledger.items() if holder != VAULT)


@given(
    fee=st.integers(0, 998_000),
    protocol_fee=st.integers(0, 1000),
    spacing=st.integers(1, 32767),
    native=st.booleans(),
)
@example(fee=999, protocol_fee=1000, spacing=1, native=True)  # a fee of 1000 has the same whole
@example(fee=1000, protocol_fee=1000, spacing=1, native=False)
def test_the_key_of_a_v4_pool_is_found_from_the_whole_fee(fee, protocol_fee, spacing, native):
    whole = protocol_fee + fee - protocol_fee * fee // 10**6
    token0, token1 = TOKENS[:2]
    identifier = v4_id(ETHER if native else token0, token1, fee, spacing)
    assert v4_key(identifier, token0, token1, whole, spacing) == (native, fee)


indexes = st.lists(st.integers(0, 255), unique=True, max_size=32).map(sorted)
amounts = st.integers(0, 2**128 - 1)
addresses = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())


@st.composite
def orders(draw: st.DrawFn) -> Order:
    return Order(
        nonce=draw(st.integers(0, 2**64 - 1)),
        deadline=draw(st.integers(0, 2**40 - 1)),
        epoch=draw(st.integers(0, 2**32 - 1)),
        sells=tuple(OrderSell(index, draw(amounts), draw(addresses)) for index in draw(indexes)),
        buys=tuple(OrderBuy(index, draw(amounts)) for index in draw(indexes)),
        route=draw(st.binary(max_size=200)),
    )


@given(orders())
def test_an_order_reads_back_as_it_was_packed(order):
    assert Order.decode(order.encode()) == order
