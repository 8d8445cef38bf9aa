"""What a fragment of the lens answers, read back. The layouts are those of `contracts/periphery/lens/`."""

import pytest
from eth_abi.abi import encode
from pydantic import ValidationError

from keeper.chain.venues import BalancerFactory, BalancerVenue, CurvePool, CurveVenue, Tier
from keeper.pools import BalancerStablePool, BalancerWeightedPool, CurveStableSwapPool

A, B = "0x" + "0a" * 20, "0x" + "0B" * 20
POOL, IDENTIFIER = bytes.fromhex("51" * 20), bytes.fromhex("51" * 20 + "00" * 12)
WAD = 10**18


def balancer(maker: int, factors: list[int]) -> bytes:
    fields = (maker, IDENTIFIER, [A, B], [7 * WAD, 8 * WAD], factors, WAD // 1000, 500_000, 1000)
    return encode(["(uint256,bytes32,address[],uint256[],uint256[],uint256,uint256,uint256)"], [fields])


@pytest.fixture
def venue() -> BalancerVenue:
    makers = ("weighted", "weighted_2021", "stable")
    return BalancerVenue(
        kind="balancer_v2",
        factories=tuple(BalancerFactory(address=A, makes=makes) for makes in makers),
        pools=("0x" + IDENTIFIER.hex(),),
    )


def test_a_weighted_pool_takes_powers_as_its_factory_did(venue):
    pools = [venue.pool(balancer(maker, [WAD // 4, WAD * 3 // 4])) for maker in (0, 1)]
    assert all(isinstance(pool, BalancerWeightedPool) for pool in pools)
    assert [pool.pow_version for pool in pools] == [2, 1]
    assert pools[0].address.lower() == "0x" + POOL.hex()
    assert pools[0].name == "0x" + IDENTIFIER.hex()
    assert [holding.weight for holding in pools[0].holdings] == [WAD // 4, WAD * 3 // 4]


def test_a_stable_pool_keeps_its_rates_and_amplification(venue):
    pool = venue.pool(balancer(2, [10**30, WAD + 1]))
    assert isinstance(pool, BalancerStablePool)
    assert [holding.rate for holding in pool.holdings] == [10**30, WAD + 1]
    assert (pool.amplification, pool.a_precision, pool.fee) == (500_000, 1000, WAD // 1000)


def test_the_fees_of_a_curve_pool_become_wad():
    fields = (POOL, [A, B], [7 * WAD, 8 * 10**6], [WAD, 10**30], 20_000, 100, 4_000_000, 5_000_000_000)
    state = encode(["(address,address[],uint256[],uint256[],uint256,uint256,uint256,uint256)"], [fields])
    pool = CurveVenue(kind="curve", pools=(CurvePool(address=A, code_hash="0x" + "00" * 32),)).pool(state)
    assert isinstance(pool, CurveStableSwapPool)
    assert (pool.fee, pool.admin_fee) == (4 * 10**14, WAD // 2)
    assert [holding.balance for holding in pool.holdings] == [7 * WAD, 8 * 10**6]


@pytest.mark.parametrize("spacing", [0, 32_768])
def test_a_tick_spacing_that_v4_does_not_take_is_refused(spacing):
    with pytest.raises(ValidationError, match="tick_spacing"):
        Tier(fee_pips=500, tick_spacing=spacing)
