"""A program on pools that have moved since it was planned (on the chain: tests/e2e/test_backtest_chain.py)."""

import pytest

from keeper.domain import Swap
from keeper.pools import SwapError, UniswapV2Pool
from keeper.routing.steps import Ran, plan_steps, run_steps

A, B, C = ("0x" + digit * 40 for digit in "abc")


def pair(number: int, token0: str, token1: str) -> UniswapV2Pool:
    reserves = {"reserve0": 10**21, "reserve1": 10**21}
    return UniswapV2Pool(address=f"0x{number:040x}", token0=token0, token1=token1, fee_pips=3000, **reserves)


AB, AB_TOO, BC, BC_TOO = pair(1, A, B), pair(2, A, B), pair(3, B, C), pair(4, B, C)
POOLS = {pool.name: pool for pool in (AB, AB_TOO, BC, BC_TOO)}


def moved(pool: UniswapV2Pool, parts: int) -> dict[str, UniswapV2Pool]:
    """The pools, one of which pays more for token0 by so many ten-thousandths."""
    return POOLS | {pool.name: pool.model_copy(update={"reserve1": pool.reserve1 * (10_000 + parts) // 10_000})}


def planned(*ways: tuple[UniswapV2Pool, str, int]) -> list[Swap]:
    """Swaps as they would go on the pools above, each through another one."""
    return [
        Swap(
            pool=pool.name,
            token_in=token,
            token_out=pool.other(token),
            amount_in=amount,
            amount_out=pool.swap(token, pool.other(token), amount).amount_out,
        )
        for pool, token, amount in ways
    ]


def run(swaps: list[Swap], sells: dict[str, int], pools: dict[str, UniswapV2Pool]) -> Ran:
    steps, recipients = plan_steps(swaps, POOLS, sells)
    return run_steps(steps, recipients, pools, sells)


def out(pool: UniswapV2Pool, token: str, amount: int) -> int:
    return pool.swap(token, pool.other(token), amount).amount_out


def test_on_pools_that_stand_still_a_program_does_what_was_planned():
    first = out(AB, A, 10**18)
    swaps = planned((AB, A, 10**18), (BC, B, first))
    ran = run(swaps, {A: 10**18}, POOLS)
    assert ran.swaps == tuple(swaps)
    assert ran.back == {C: swaps[1].amount_out}
    assert ran.pools[AB.name] == AB.swap(A, B, 10**18).pool


@pytest.mark.parametrize("parts", [-50, 50])
def test_a_chained_swap_takes_what_the_one_before_it_yields(parts):
    swaps = planned((AB, A, 10**18), (BC, B, out(AB, A, 10**18)))
    pools = moved(AB, parts)
    ran = run(swaps, {A: 10**18}, pools)
    yielded = out(pools[AB.name], A, 10**18)
    assert ran.swaps[1].amount_in == yielded != swaps[1].amount_in
    assert ran.back == {C: out(BC, B, yielded)}


def test_the_last_swap_of_a_token_takes_all_that_came_in():
    ways = [(AB, A, 10**18), (AB_TOO, A, 10**18)]
    coming = sum(out(*way) for way in ways)
    swaps = planned(*ways, (BC, B, coming))
    pools = moved(AB, 50)
    ran = run(swaps, {A: 2 * 10**18}, pools)
    assert ran.swaps[2].amount_in == out(pools[AB.name], A, 10**18) + out(AB_TOO, A, 10**18) > coming


def test_what_no_swap_takes_goes_back_to_the_vault():
    """The second of two swaps that share what comes in is exact; the last takes the rest."""
    coming = out(AB, A, 10**18)
    swaps = planned((AB, A, 10**18), (BC, B, coming // 2), (BC_TOO, B, coming // 4))
    ran = run(swaps, {A: 10**18}, moved(AB, 50))
    more = out(moved(AB, 50)[AB.name], A, 10**18)
    assert ran.back[B] == more - coming // 2 - coming // 4
    assert ran.back[C] == swaps[1].amount_out + swaps[2].amount_out


def test_a_swap_that_spends_more_than_came_in_reverts():
    coming = out(AB, A, 10**18)
    swaps = planned((AB, A, 10**18), (BC, B, coming - 10), (BC_TOO, B, 10))
    with pytest.raises(SwapError, match=f"spends {coming - 10}, but only"):
        run(swaps, {A: 10**18}, moved(AB, -50))


def test_a_pool_that_pays_nothing_reverts():
    with pytest.raises(SwapError, match="too small"):
        run(planned((AB, A, 2)), {A: 2}, moved(AB, -9_999))
