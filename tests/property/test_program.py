"""Whatever the swaps, the program moves exactly what the decision says.

The reference is an interpreter of the executor's bytes, written from `contracts/interfaces/ISwapExecutor.sol`.
"""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from keeper.domain import Swap
from keeper.pools import UniswapV2Pool, UniswapV3Pool
from keeper.submit.order import Order, OrderBuy, OrderSell
from keeper.submit.program import encode_program, plan_steps

TOKENS = [f"0x{n:040x}" for n in range(0xA1, 0xA6)]
EXECUTOR, VAULT = "executor", "vault"


def make_pools() -> dict[str, UniswapV2Pool | UniswapV3Pool]:
    """A pair and a V3 pool for any two tokens."""
    pools: dict[str, UniswapV2Pool | UniswapV3Pool] = {}
    for i, token0 in enumerate(TOKENS):
        for j in range(i + 1, len(TOKENS)):
            common = {"token0": token0, "token1": TOKENS[j]}
            two, three = f"0x{0x2000 + 16 * i + j:040x}", f"0x{0x3000 + 16 * i + j:040x}"
            pools[two] = UniswapV2Pool(
                kind="uniswap_v2", address=two, fee_pips=3000, reserve0=10**18, reserve1=10**18, **common
            )
            pools[three] = UniswapV3Pool(
                kind="uniswap_v3",
                address=three,
                fee_pips=500,
                tick_spacing=10,
                sqrt_price_x96=2**96,
                liquidity=0,
                tick=0,
                ticks=(),
                **common,
            )
    return pools


POOLS = make_pools()
BY_TOKEN = {token: [pool for pool in POOLS.values() if token in pool.tokens] for token in TOKENS}


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[Swap], dict[str, int]]:
    """Swaps that spend only what is sold or came out of earlier swaps, and the sold amounts."""
    amounts = st.integers(1, 10**24)
    sells = draw(st.dictionaries(st.sampled_from(TOKENS), amounts, min_size=1, max_size=3))
    held = Counter(sells)
    swaps = []
    for _ in range(draw(st.integers(1, 7))):
        token = draw(st.sampled_from(sorted(token for token, amount in held.items() if amount)))
        pool = draw(st.sampled_from(BY_TOKEN[token]))
        amount_in = draw(st.just(held[token]) | st.integers(1, held[token]))
        swap = Swap(
            pool=pool.name,
            token_in=token,
            token_out=pool.other(token),
            amount_in=amount_in,
            amount_out=draw(amounts),
        )
        held[token] -= amount_in
        held[swap.token_out] += swap.amount_out
        swaps.append(swap)
    return swaps, {token: amount for token, amount in sells.items() if any(swap.token_in == token for swap in swaps)}


def interpret(program: bytes, swaps: list[Swap], ledger: Counter[tuple[str, str]]) -> list[int]:
    """Runs the program on `ledger` (holder, token) -> amount; each pool pays what the decision says.

    Returns how much each step swapped. Whatever lies in a pair beforehand is gone unless the step takes it.
    """
    count = program[0]
    tokens = ["0x" + program[1 + 20 * i : 21 + 20 * i].hex() for i in range(count)]
    at = 1 + 20 * count
    spent: list[int] = []
    paid = 0
    for swap in swaps:
        start, op = at, program[at]
        kind, sells_token0, mode, recipient = op & 7, bool(op & 8), (op >> 4) & 3, op >> 6
        pool = "0x" + program[at + 1 : at + 21].hex()
        assert pool == swap.pool
        assert sells_token0 == (swap.token_in == POOLS[pool].token0)
        at += 21
        if kind == 0:
            assert int.from_bytes(program[at : at + 3]) == POOLS[pool].fee_pips
            at += 3
        payer = EXECUTOR if mode in (0, 1) or kind == 1 else pool
        if payer == EXECUTOR:
            assert tokens[program[at]] == swap.token_in
            at += 1
        if mode in (0, 2):
            amount = int.from_bytes(program[at : at + 16])
            at += 16
        else:
            amount = paid if mode == 3 else ledger[EXECUTOR, swap.token_in]
        assert at - start <= 60
        ledger[payer, swap.token_in] -= amount
        assert not any(ledger[pool, token] for token in POOLS[pool].tokens), "the pair books a stray payment as its own"
        to = [EXECUTOR, VAULT, "0x" + program[at + 1 : at + 21].hex()][recipient]
        ledger[to, swap.token_out] += swap.amount_out
        spent.append(amount)
        paid = swap.amount_out
    assert at == len(program)
    for token in tokens:  # the sweep
        ledger[VAULT, token] += ledger.pop((EXECUTOR, token), 0)
    return spent


@given(batches())
def test_every_step_swaps_what_the_decision_says_and_the_vault_gets_the_rest(batch):
    swaps, sells = batch
    steps, recipients = plan_steps(swaps, POOLS, sells)
    ledger: Counter[tuple[str, str]] = Counter()
    for token, amount in sells.items():
        ledger[recipients.get(token, EXECUTOR), token] += amount

    assert interpret(encode_program(steps), swaps, ledger) == [swap.amount_in for swap in swaps]

    left = Counter(sells)
    for swap in swaps:
        left[swap.token_in] -= swap.amount_in
        left[swap.token_out] += swap.amount_out
    assert {token: ledger[VAULT, token] for token in left} == left
    assert all(amount == 0 for (holder, _), amount in ledger.items() if holder != VAULT)


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
