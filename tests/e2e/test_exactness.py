"""The pool arithmetic against the real contracts, to the wei, on random states.

Every state is opened through the real factory on the offline mainnet and traded with, inside one `eth_call` that
leaves nothing behind (contracts/devnet/SwapProber.sol and VenueProber.sol). Each swap starts from where the one before
it ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from random import Random
from typing import Any, NamedTuple

import pytest

from keeper.chain import artifacts
from keeper.chain.bindings import interface, view
from keeper.devnet import FACTORIES, Devnet
from keeper.devnet.tables import OPERATOR, POOL_MANAGER
from keeper.domain import Token
from keeper.pools import (
    BalancerStablePool,
    BalancerWeightedPool,
    ConcentratedPool,
    MultiTokenPool,
    RatedHolding,
    SwapError,
    Tick,
    UniswapV2Pool,
    UniswapV3Pool,
    UniswapV4Pool,
    WeightedHolding,
)
from keeper.pools.sqrt_price_math import amount0_delta_up, amount1_delta_up
from keeper.pools.tick_math import (
    MAX_SQRT_PRICE,
    MAX_TICK,
    MIN_SQRT_PRICE,
    MIN_TICK,
    sqrt_price_at_tick,
    tick_at_sqrt_price,
)
from keeper.pools.uniswap_v4 import swap_fee
from keeper.units import WAD, mul_div, mul_div_up

POOLS, SWAPS = 300, 8
PAIRS, PAIR_SWAPS = 100, 6
VAULT_POOLS, VAULT_SWAPS = 60, 12
TOKEN0, TOKEN1, POOL = (f"0x{byte}" for byte in ("11" * 20, "22" * 20, "33" * 20))
TOKENS = tuple(f"0x{place:040x}" for place in range(1, 9))
ID = f"0x{'44' * 32}"


class Position(NamedTuple):
    lower: int
    upper: int
    liquidity: int


class Swap(NamedTuple):
    zero_for_one: bool
    amount_specified: int
    sqrt_price_limit_x96: int


def probe(devnet: Devnet, function: str, *arguments: Any) -> Any:
    """Runs the prober in place of the V3 factory's owner, who alone may enable a fee."""
    owner = view(devnet.endpoint, "IFeeSource", FACTORIES["uniswap_v3"], "owner", block="latest")
    return _probe(devnet, owner, "SwapProber", function, *arguments)


def probe_venue(devnet: Devnet, function: str, *arguments: Any) -> Any:
    """Runs the prober in place of the PoolManager's owner, who alone may name who sets its fee."""
    return _probe(devnet, OPERATOR, "VenueProber", function, *arguments)


def _probe(devnet: Devnet, place: str, prober: str, function: str, *arguments: Any) -> Any:
    call = {"to": place, "data": "0x" + interface(prober).encode(function, *arguments).hex(), "gas": hex(10**9)}
    code = {place: {"code": "0x" + artifacts.load(prober).runtime.hex()}}
    return interface(prober).decode(function, devnet.endpoint.data("eth_call", call, "latest", code))[0]


def random_pool(random: Random) -> tuple[UniswapV3Pool, list[Position]]:
    """A pool at any price with up to six positions that overlap, touch, or leave ranges empty."""
    fee, spacing = random.choice([(100, 1), (500, 10), (3000, 60), (10_000, 200), (random.randrange(1, 900_000), 50)])
    usable = MAX_TICK // spacing
    centre = random.choice([random.randrange(-usable, usable), random.randrange(-2000, 2000)])
    grid = sorted({min(max(centre + int(random.gauss(0, 400)), -usable), usable) for _ in range(6)} | {-usable, usable})
    positions = []
    for _ in range(random.randrange(1, 7)):
        lower, upper = sorted(random.sample(range(1, len(grid) - 1) if len(grid) > 3 else range(len(grid)), 2))
        liquidity = random.choice([10**15, random.randrange(1, 10 ** random.randrange(2, 26))])
        positions.append(Position(grid[lower] * spacing, grid[upper] * spacing, liquidity))
    if random.random() < 0.3:
        positions.append(Position(-usable * spacing, usable * spacing, random.randrange(1, 10**20)))
    at = random.choice([*grid[:-1], centre]) * spacing
    price = sqrt_price_at_tick(max(at, MIN_TICK))
    if random.random() < 0.8:
        price = min(price * random.randrange(10**9, 10**9 + 10**7) // 10**9, MAX_SQRT_PRICE - 1)
    return pool_of(fee, spacing, price, positions), positions


def pool_of(fee: int, spacing: int, price: int, positions: list[Position]) -> UniswapV3Pool:
    tick = tick_at_sqrt_price(price)
    nets: Counter[int] = Counter()
    for lower, upper, liquidity in positions:
        nets[lower] += liquidity
        nets[upper] -= liquidity
    return UniswapV3Pool(
        address=POOL,
        token0=TOKEN0,
        token1=TOKEN1,
        fee_pips=fee,
        tick_spacing=spacing,
        sqrt_price_x96=price,
        liquidity=sum(position.liquidity for position in positions if position.lower <= tick < position.upper),
        tick=tick,
        ticks=tuple(Tick(index=index, liquidity_net=net) for index, net in nets.items()),
    )


def fits_int128(pool: ConcentratedPool, position: Position) -> bool:
    """Whether V4 can book what the position takes."""
    lower, upper = (sqrt_price_at_tick(tick) for tick in (position.lower, position.upper))
    price = min(max(pool.sqrt_price_x96, lower), upper)
    amounts = amount0_delta_up(price, upper, position.liquidity), amount1_delta_up(lower, price, position.liquidity)
    return max(amounts) < 2**127


def random_swap(random: Random, pool: ConcentratedPool) -> Swap:
    """In either direction, exact in or out, from one wei to far beyond the pool, with and without a price limit."""
    zero_for_one = random.random() < 0.5
    amount = random.randrange(1, 10 ** random.randrange(1, 28)) * random.choice([1, -1])
    end = MIN_SQRT_PRICE + 1 if zero_for_one else MAX_SQRT_PRICE - 1
    if random.random() < 0.15:
        return Swap(zero_for_one, amount, end)
    distance = random.randrange(1, 4 * 256 * pool.tick_spacing)
    tick = pool.tick + (-distance if zero_for_one else distance)
    if random.random() < 0.4:  # on a usable tick, where the contract may or may not stop
        tick -= tick % (pool.tick_spacing * random.choice([1, 256]))
    limit = sqrt_price_at_tick(min(max(tick, MIN_TICK), MAX_TICK)) + random.choice([0, 0, 1, 12345])
    return Swap(zero_for_one, amount, max(limit, end) if zero_for_one else min(limit, end))


def predicted(random: Random, pool: ConcentratedPool, seen: Counter[str]) -> tuple[list[Swap], list[Any]]:
    """Random swaps, one after the other, and what each is to lead to."""
    swaps: list[Swap] = []
    expected: list[Any] = []
    for _ in range(SWAPS):
        swap = random_swap(random, pool)
        swaps.append(swap)
        try:
            amount0, amount1, after = pool.swap_exact(*swap)
            expected.append((True, amount0, amount1, after.sqrt_price_x96, after.tick, after.liquidity))
            seen.update(kinds(pool, after, swap))
            pool = after
        except SwapError:
            expected.append((False, 0, 0, pool.sqrt_price_x96, pool.tick, pool.liquidity))
            seen["refused"] += 1
    return swaps, expected


def test_v3_swaps_equal_the_contract_to_the_wei_from_any_state(devnet: Devnet) -> None:
    random = Random(20240607)  # noqa: S311 - cases, not secrets
    seen: Counter[str] = Counter()
    for _ in range(POOLS):
        pool, positions = random_pool(random)
        swaps, expected = predicted(random, pool, seen)
        outcomes = probe(
            devnet,
            "probePool",
            FACTORIES["uniswap_v3"],
            pool.fee_pips,
            pool.tick_spacing,
            pool.sqrt_price_x96,
            positions,
            swaps,
        )
        for swap, outcome, prediction in zip(swaps, outcomes, expected, strict=True):
            assert outcome == prediction, f"{swap} in a sequence from {pool.model_dump_json()}"
    assert min(seen[kind] for kind in KINDS) >= 50, seen


def test_v4_swaps_equal_the_contract_to_the_wei_from_any_state(devnet: Devnet) -> None:
    random = Random(20240611)  # noqa: S311 - cases, not secrets
    seen: Counter[str] = Counter()
    for _ in range(POOLS):
        twin, positions = random_pool(random)
        while not all(fits_int128(twin, position) for position in positions):
            twin, positions = random_pool(random)
        protocol_fee = random.choice([0, 0, random.randrange(1001)])
        pool = UniswapV4Pool.model_validate(
            twin.model_dump(exclude={"kind"}) | {"id": ID, "fee_pips": swap_fee(twin.fee_pips, protocol_fee)}
        )
        swaps, expected = predicted(random, pool, seen)
        outcomes = probe_venue(
            devnet,
            "probeManaged",
            POOL_MANAGER,
            twin.fee_pips,
            protocol_fee,
            pool.tick_spacing,
            pool.sqrt_price_x96,
            positions,
            [swap._replace(amount_specified=-swap.amount_specified) for swap in swaps],
        )
        for swap, (done, amount0, amount1, *after), prediction in zip(swaps, outcomes, expected, strict=True):
            outcome = (done, -amount0, -amount1, *after)
            assert outcome == prediction, f"{swap} in a sequence from {pool.model_dump_json()}"
    assert min(seen[kind] for kind in KINDS) >= 50, seen


def test_v3_swaps_equal_the_contract_where_a_product_passes_256_bits(devnet: Devnet) -> None:
    """There the contract rounds a price by another formula: much liquidity, a far price, ticks far apart."""
    random = Random(20240610)  # noqa: S311 - cases, not secrets
    spacing = 16_000
    end = MAX_TICK // spacing * spacing
    for _ in range(40):
        position = Position(-end, end, random.randrange(2**115, 2**120))
        pool = pool_of(2999, spacing, sqrt_price_at_tick(random.randrange(850_000, end)), [position])
        amount = random.randrange(2**98, 2**104)
        amount0, amount1, after = pool.swap_exact(True, amount, MIN_SQRT_PRICE + 1)
        arguments = (FACTORIES["uniswap_v3"], 2999, spacing, pool.sqrt_price_x96, [position])
        outcome = probe(devnet, "probePool", *arguments, [Swap(True, amount, MIN_SQRT_PRICE + 1)])[0]
        assert outcome == (True, amount0, amount1, after.sqrt_price_x96, after.tick, after.liquidity)


KINDS = (
    "exact in, token0",
    "exact in, token1",
    "exact out, token0",
    "exact out, token1",
    "crosses ticks",
    "crosses an empty range",
    "stopped by its limit",
    "refused",
)


def kinds(before: ConcentratedPool, after: ConcentratedPool, swap: Swap) -> Iterator[str]:
    """What the swap was a case of."""
    yield f"exact {'in' if swap.amount_specified > 0 else 'out'}, token{0 if swap.zero_for_one else 1}"
    low, high = sorted((before.tick, after.tick))
    crossed = [tick for tick in before.ticks if low < tick.index <= high]
    if crossed:
        yield "crosses ticks"
        lowest = before if before.tick == low else after
        if 0 in accumulate((tick.liquidity_net for tick in crossed), initial=lowest.liquidity):
            yield "crosses an empty range"
    if after.sqrt_price_x96 == swap.sqrt_price_limit_x96:
        yield "stopped by its limit"


def test_v2_outputs_are_the_most_that_the_pair_pays(devnet: Devnet) -> None:
    random = Random(20240608)  # noqa: S311 - cases, not secrets
    count = 0
    for _ in range(PAIRS):
        reserves = [random.randrange(1, 10 ** random.randrange(2, 30)) for _ in range(2)]
        pool = UniswapV2Pool(
            address=POOL, token0=TOKEN0, token1=TOKEN1, fee_pips=3000, reserve0=reserves[0], reserve1=reserves[1]
        )
        swaps, expected = [], []
        for _ in range(PAIR_SWAPS):
            zero_for_one = random.random() < 0.5
            token_in, reserve = (TOKEN0, pool.reserve0) if zero_for_one else (TOKEN1, pool.reserve1)
            amount_in = random.randrange(1, 2 + reserve * 10 ** random.randrange(0, 4) // 1000)
            try:
                amount_out, pool = pool.swap(token_in, pool.other(token_in), amount_in)
            except SwapError:
                continue
            swaps.append((zero_for_one, amount_in, amount_out))
            expected.append((False, True, pool.reserve0, pool.reserve1))
        outcomes = probe(devnet, "probePair", FACTORIES["uniswap_v2"], *reserves, swaps)
        assert list(outcomes) == expected, f"{swaps} from {reserves}"
        count += len(swaps)
    assert count >= 200


class VaultPool(NamedTuple):
    """What the prober opens in Balancer's Vault."""

    factory: str
    decimals: list[int]
    balances: list[int]
    rates: list[int]
    parameter: list[int]
    fee: int


def random_vault_pool(random: Random, kind: str) -> VaultPool:
    count = random.randrange(2, 6 if kind == "balancer_stable" else 9)
    decimals = [random.choice([6, 8, 18]) for _ in range(count)]
    whole = random.randrange(1, 10**7)
    fee = random.choice([10**12, 10**17, 3 * 10**15, random.randrange(10**12, 10**17)])
    if kind == "balancer_stable":
        rates = [random.choice([WAD, random.randrange(WAD // 2, 3 * WAD)]) for _ in decimals]
        parameter = [random.choice([1, 5000, random.randrange(1, 5001)])]
    else:
        rates = [WAD] * count
        parts = random.choice([[1] * count, [4, *([1] * (count - 1))], [random.randrange(5, 60) for _ in decimals]])
        parameter = [WAD * part // sum(parts) for part in parts]
        parameter[0] += WAD - sum(parameter)
    balances = [int(whole * 10**places * random.uniform(0.02, 2)) for places in decimals]
    # The first join takes no more than what gives the same scaled amount.
    balances = [
        mul_div_up(mul_div(balance, rate, WAD), WAD, rate) for balance, rate in zip(balances, rates, strict=True)
    ]
    return VaultPool(FACTORIES[kind], decimals, balances, rates, parameter, fee)


def in_python(spec: VaultPool) -> MultiTokenPool:
    """The keeper's pool of the same state."""
    names = TOKENS[: len(spec.decimals)]
    listed = {
        name: Token(address=name, symbol="T", decimals=places)
        for name, places in zip(names, spec.decimals, strict=True)
    }
    if len(spec.parameter) > 1:
        weighted = zip(names, spec.balances, spec.parameter, strict=True)
        return BalancerWeightedPool(
            address=POOL,
            id=ID,
            swap_fee=spec.fee,
            tokens=tuple(WeightedHolding(token=t, balance=balance, weight=weight) for t, balance, weight in weighted),
        ).listed(listed)
    rates = [rate * 10 ** (18 - places) for rate, places in zip(spec.rates, spec.decimals, strict=True)]
    rated = zip(names, spec.balances, rates, strict=True)
    return BalancerStablePool(
        address=POOL,
        id=ID,
        amplification=spec.parameter[0] * 1000,
        a_precision=1000,
        fee=spec.fee,
        tokens=tuple(RatedHolding(token=t, balance=balance, rate=rate) for t, balance, rate in rated),
    ).listed(listed)


@pytest.mark.parametrize("kind", ["balancer_weighted", "balancer_stable"])
def test_balancer_swaps_equal_the_vault_to_the_wei_from_any_state(devnet: Devnet, kind: str) -> None:
    random = Random(20240612)  # noqa: S311 - cases, not secrets
    paid = 0
    for _ in range(VAULT_POOLS):
        spec = random_vault_pool(random, kind)
        pool, swaps, expected = in_python(spec), [], []
        for _ in range(VAULT_SWAPS):
            place_in, place_out = random.sample(range(len(spec.decimals)), 2)
            most = pool.holdings[place_in].balance * random.choice([1, 10, 100, 400]) // 1000
            amount_in = random.randrange(1, 2 + random.choice([most, random.randrange(1, 2 + most), 1]))
            swaps.append((place_in, place_out, amount_in))
            try:
                amount_out, pool = pool.swap(TOKENS[place_in], TOKENS[place_out], amount_in)
            except SwapError:
                amount_out = 0
            expected.append(amount_out)
        outputs = probe_venue(devnet, "probeVault", spec, swaps)
        assert list(outputs) == expected, f"{swaps} in {spec}"
        paid += sum(amount > 0 for amount in expected)
    assert paid >= VAULT_POOLS * VAULT_SWAPS // 2
    assert paid < VAULT_POOLS * VAULT_SWAPS
