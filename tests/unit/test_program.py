import pytest
from eth_utils.crypto import keccak

from keeper.chain.venues import BALANCER_VAULT
from keeper.domain import Swap
from keeper.pools import (
    BalancerStablePool,
    CurveStableSwapPool,
    RatedHolding,
    UniswapV2Pool,
    UniswapV3Pool,
    UniswapV4Pool,
)
from keeper.routing.steps import Amount, Recipient, plan_steps
from keeper.submit.program import encode_program

A, B, C = ("0x" + digit * 40 for digit in "abc")


def pair(address: str, token0: str, token1: str) -> UniswapV2Pool:
    return UniswapV2Pool(
        kind="uniswap_v2",
        address=address,
        token0=token0,
        token1=token1,
        fee_pips=3000,
        reserve0=10**18,
        reserve1=10**18,
    )


def pool(address: str, token0: str, token1: str) -> UniswapV3Pool:
    return UniswapV3Pool(
        kind="uniswap_v3",
        address=address,
        token0=token0,
        token1=token1,
        fee_pips=500,
        tick_spacing=10,
        sqrt_price_x96=2**96,
        liquidity=0,
        tick=0,
        ticks=(),
    )


AB2, BC2 = pair("0x" + "12" * 20, A, B), pair("0x" + "23" * 20, B, C)
AB3, BC3 = pool("0x" + "13" * 20, A, B), pool("0x" + "24" * 20, B, C)
POOLS = {pool.name: pool for pool in (AB2, BC2, AB3, BC3)}


def swap(through: UniswapV2Pool | UniswapV3Pool, token_in: str, amount_in: int, amount_out: int) -> Swap:
    return Swap(
        pool=through.name,
        token_in=token_in,
        token_out=through.other(token_in),
        amount_in=amount_in,
        amount_out=amount_out,
    )


def plan(swaps: list[Swap], sells: dict[str, int]) -> tuple[list[tuple[Amount, Recipient]], dict[str, str]]:
    steps, recipients = plan_steps(swaps, POOLS, sells)
    return [(step.mode, step.recipient) for step in steps], recipients


def test_the_vault_pays_straight_into_the_first_pair():
    assert plan([swap(AB2, A, 100, 90)], {A: 100}) == ([(Amount.PREFUNDED, Recipient.CALLER)], {A: AB2.address})


def test_a_v3_pool_is_never_paid_beforehand():
    assert plan([swap(AB3, A, 100, 90)], {A: 100}) == ([(Amount.EXACT, Recipient.CALLER)], {})


def test_a_pool_pays_straight_into_the_pair_that_takes_all_of_it():
    modes, _ = plan([swap(AB3, A, 100, 90), swap(BC2, B, 90, 80)], {A: 100})
    assert modes == [(Amount.EXACT, Recipient.NEXT_POOL), (Amount.CHAINED, Recipient.CALLER)]


def test_a_pool_pays_the_executor_when_a_v3_pool_comes_next():
    modes, _ = plan([swap(AB3, A, 100, 90), swap(BC3, B, 90, 80)], {A: 100})
    assert modes == [(Amount.EXACT, Recipient.EXECUTOR), (Amount.CHAINED, Recipient.CALLER)]


def test_every_hop_of_several_paths_through_one_token_is_chained():
    swaps = [swap(AB2, A, 100, 90), swap(BC2, B, 90, 80), swap(AB3, A, 50, 40), swap(BC3, B, 40, 30)]
    modes, recipients = plan(swaps, {A: 150})
    assert modes == [
        (Amount.EXACT, Recipient.NEXT_POOL),
        (Amount.CHAINED, Recipient.CALLER),
        (Amount.EXACT, Recipient.EXECUTOR),
        (Amount.CHAINED, Recipient.CALLER),
    ]
    assert recipients == {}


def test_what_several_swaps_yield_is_spent_to_the_last_wei():
    modes, _ = plan([swap(AB2, A, 60, 50), swap(AB3, A, 40, 30), swap(BC3, B, 80, 70)], {A: 100})
    assert modes[2] == (Amount.ALL_HERE, Recipient.CALLER)


def test_a_sold_amount_that_is_split_goes_through_the_executor():
    modes, recipients = plan([swap(AB2, A, 60, 50), swap(AB3, A, 40, 30)], {A: 100})
    assert modes == [(Amount.EXACT, Recipient.CALLER), (Amount.EXACT, Recipient.CALLER)]
    assert recipients == {}


def test_the_last_swap_of_a_token_is_exact_when_some_of_it_is_to_be_kept():
    modes, recipients = plan([swap(AB2, A, 60, 50)], {A: 100})
    assert modes == [(Amount.EXACT, Recipient.CALLER)]
    assert recipients == {}


def test_a_pair_used_before_is_not_paid_beforehand():
    # Were B pushed at the start, the first swap would book it as part of the pair's reserves.
    modes, recipients = plan([swap(AB2, A, 100, 90), swap(AB2, B, 7, 6)], {A: 100, B: 7})
    assert recipients == {}
    assert modes == [(Amount.EXACT, Recipient.EXECUTOR), (Amount.EXACT, Recipient.CALLER)]


def test_what_else_there_is_of_a_token_stays_out_of_the_pair_that_is_paid_directly():
    modes, recipients = plan([swap(AB3, A, 100, 90), swap(BC2, B, 90, 80), swap(BC3, B, 5, 4)], {A: 100, B: 5})
    assert modes == [
        (Amount.EXACT, Recipient.NEXT_POOL),
        (Amount.CHAINED, Recipient.CALLER),
        (Amount.EXACT, Recipient.CALLER),
    ]
    assert recipients == {}


def test_a_pair_does_not_pay_itself():
    modes, _ = plan([swap(AB2, A, 100, 90), swap(AB2, B, 90, 80)], {A: 100})
    assert modes[0][1] is Recipient.EXECUTOR


def test_two_swaps_through_one_pair_at_different_places_are_both_paid_by_the_executor():
    modes, recipients = plan([swap(AB2, A, 60, 50), swap(AB3, B, 50, 61), swap(AB2, A, 41, 30)], {A: 100})
    assert recipients == {}
    assert modes == [
        (Amount.EXACT, Recipient.EXECUTOR),
        (Amount.CHAINED, Recipient.EXECUTOR),
        (Amount.EXACT, Recipient.CALLER),
    ]


def test_all_that_is_here_is_asked_for_only_when_nothing_of_it_is_to_be_kept():
    # 10 of the 100 that the vault sent stay after the first swap: what the second yields comes on top of them.
    there_and_back = [swap(AB2, A, 90, 80), swap(AB3, B, 40, 45), swap(AB3, B, 40, 44)]
    modes, _ = plan([*there_and_back, swap(AB2, A, 98, 80)], {A: 100})
    assert modes[-1][0] is Amount.EXACT
    modes, _ = plan([*there_and_back, swap(AB2, A, 99, 80)], {A: 100})
    assert modes[-1][0] is Amount.ALL_HERE


def test_a_pair_that_is_swapped_with_twice_is_not_paid_beforehand():
    modes, recipients = plan([swap(AB2, A, 60, 50), swap(AB2, A, 40, 30)], {A: 100})
    assert recipients == {}
    assert [mode for mode, _ in modes] == [Amount.EXACT, Amount.EXACT]


def test_a_pair_that_yields_the_token_later_is_not_paid_beforehand():
    # Working capital: 100 of A go out, 95 come back through the same pair.
    modes, recipients = plan([swap(AB2, A, 100, 90), swap(BC3, B, 90, 80), swap(AB2, B, 5, 95)], {A: 100, B: 5})
    assert recipients == {}
    assert modes[0][0] is Amount.EXACT


def test_what_is_sold_and_only_passes_from_pool_to_pool_comes_back():
    # 5 of B lie in the executor, and no step takes them: the table must name B.
    steps, recipients = plan_steps([swap(AB2, A, 100, 90), swap(BC2, B, 90, 80)], POOLS, {A: 100, B: 5})
    assert recipients == {A: AB2.address}
    assert encode_program(steps, {B: 5})[:22].hex() == "0101" + "b" * 40


def test_a_swap_that_spends_what_is_not_there_is_refused():
    with pytest.raises(ValueError, match="only 90 is there"):
        plan([swap(AB3, A, 100, 90), swap(BC3, B, 91, 80)], {A: 100})


def test_a_sold_token_that_no_swap_spends_is_refused():
    # It would lie in the executor, whose program does not name it, for whoever comes next.
    with pytest.raises(ValueError, match="no swap spends it"):
        plan([swap(AB3, A, 100, 90)], {A: 100, C: 1})


def test_a_program_is_packed_field_by_field():
    steps, _ = plan_steps([swap(AB3, A, 60, 50), swap(AB2, A, 41, 30)], POOLS, {A: 101})
    assert encode_program(steps, {A: 101}).hex() == (
        "0100" + "a" * 40  # the one token that passes through; it is spent to the last unit
        + "49" + "13" * 20 + "00" + f"{60:032x}"  # V3, token0 is sold, exact, to the caller
        + "48" + "12" * 20 + "000bb8" + "00" + f"{41:032x}"  # V2 with its fee, likewise
    )  # fmt: skip


@pytest.mark.parametrize(
    ("swaps", "sent", "table"),
    [
        ([swap(AB3, A, 60, 50), swap(BC3, B, 50, 40)], {A: 60}, "0200" + A[2:] + B[2:]),
        # More of A was sent than is spent.
        ([swap(AB3, A, 60, 50), swap(BC3, B, 50, 40)], {A: 61}, "0201" + A[2:] + B[2:]),
        # What the pool yields of B may turn out to be more than is spent.
        ([swap(AB3, A, 60, 50), swap(BC3, B, 49, 40)], {A: 60}, "0201" + B[2:] + A[2:]),
        # B is spent whatever it turns out to be, but was sent besides.
        ([swap(AB3, A, 60, 50), swap(BC3, B, 50, 40)], {A: 60, B: 1}, "0201" + B[2:] + A[2:]),
    ],
)
def test_only_what_may_be_left_is_swept(swaps, sent, table):
    steps, _ = plan_steps(swaps, POOLS, sent)
    assert encode_program(steps, sent).hex().startswith(table)


def test_a_step_of_each_new_kind_says_what_its_pool_must_be_told():
    manager, key = "0x" + "44" * 20, b"".join(int(word, 16).to_bytes(32) for word in (A, B, "1f4", "a", "0"))
    four = UniswapV4Pool(
        address=manager,
        id="0x" + keccak(key).hex(),
        token0=A,
        token1=B,
        fee_pips=500,
        tick_spacing=10,
        sqrt_price_x96=2**96,
        liquidity=0,
        tick=0,
        ticks=(),
    )
    holdings = tuple(RatedHolding(token=token, balance=10**18, rate=10**18) for token in (C, A, B))
    stable = {"amplification": 2000, "a_precision": 100, "fee": 10**14, "tokens": holdings}
    balancer = BalancerStablePool.model_validate({"address": "0x" + "55" * 20, "id": "0x" + "56" * 32, **stable})
    curve = CurveStableSwapPool.model_validate({"address": "0x" + "66" * 20, **stable})
    pools = {pool.name: pool for pool in (four, balancer, curve)}
    swaps = [
        Swap(pool=four.name, token_in=A, token_out=B, amount_in=60, amount_out=50),
        Swap(pool=balancer.name, token_in=B, token_out=C, amount_in=50, amount_out=40),
        Swap(pool=curve.name, token_in=C, token_out=A, amount_in=40, amount_out=30),
    ]
    steps, _ = plan_steps(swaps, pools, {A: 60})
    a, b, c = (token[2:] for token in (A, B, C))
    assert encode_program(steps, {A: 60}).hex() == (
        "0303" + a + b + c  # all swept: none of these pools must take all of the amount
        + "0a" + "44" * 20 + b + "0001f4" + "000a" + "00" + f"{60:032x}"  # V4, token0 is sold, exact
        + "3b" + BALANCER_VAULT[2:].lower() + c + "56" * 32 + "01"  # Balancer, chained
        + "74" + "66" * 20 + a + "01" + "02"  # Curve from coin 0 to coin 1, chained, to the caller
    )  # fmt: skip


def test_a_token_that_only_moves_from_pool_to_pool_is_named_nowhere():
    steps, _ = plan_steps([swap(BC2, C, 60, 50), swap(AB2, B, 50, 40)], POOLS, {C: 60})
    assert encode_program(steps).hex() == (
        "0000"
        + "a0" + "23" * 20 + "000bb8" + f"{60:032x}"  # V2, token1 is sold, prefunded, to the next pool
        + "70" + "12" * 20 + "000bb8"  # V2, token1 is sold, chained, to the caller
    )  # fmt: skip
