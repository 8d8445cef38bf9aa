"""Pools that follow a market: arbitrage up to the fee band, flow inside it, and liquidity that comes back.

Everything here is about x, the logarithm of a pool's price over the market's, for each pool (token1 for one token0, fee
aside; x > 0 where the pool overprices token0).

- The market moves: dx = -d log(market's ratio).
- Flow. Traders who do not know better push x about; routers send more of them to where the pool is cheap, which
  pulls x back: dx = -theta x dt + sigma dW. Over a step in which the market's ratio moves by D, evenly,
  x1 = x0 e^(-theta dt) - D (1 - e^(-theta dt)) / (theta dt) + sigma sqrt((1 - e^(-2 theta dt)) / (2 theta)) z.
  theta is log 2 over the half-life of a displacement. n trades a day that together turn over v of the depth 2R, each in
  a random direction, move log price by 2 (2R v / n) / R each, so sigma^2 = 16 v^2 / n a day.
- Arbitrage. Beyond the fee f the pool pays whoever trades it back to its edge, x = -/+ log(1 - f). From y beyond the
  edge a constant product of depth R (USD on either side) pays 2 R (cosh(y / 2) - 1) / sqrt(1 - f); arbitrageurs trade
  when that is more than their gas, and then to the edge exactly. So pools stand off the market by up to the fee and
  what the gas of an arbitrage is worth.

What x should be is a float; what the pool does is one exact swap of `keeper.pools` for each step in which it is to move
by more than one trade of the flow would move it. Liquidity providers keep a pool's depth in dollars, and concentrated
positions around the price: every pool is looked at in every step, and its liquidity is placed anew where it is off by
`_SLACK` or `_INNER`; that can be switched off. What they lose to arbitrageurs is theirs. Sources, and what this leaves
out: docs/backtest.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, exp, expm1, log, sqrt
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from keeper.domain import InputError
from keeper.domain.errors import explain
from keeper.market.feeds import answer_of
from keeper.market.liquidity import Side, pair_reserves, positions, sqrt_price
from keeper.pools import SwapError, Tick, UniswapV2Pool, UniswapV3Pool, UniswapV4Pool
from keeper.pools.base import FeePips, Model
from keeper.pools.tick_math import MAX_SQRT_PRICE, MIN_SQRT_PRICE, Q96, tick_at_sqrt_price
from keeper.routing.jit import kernel
from keeper.units import Number

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
TradingPool = UniswapV2Pool | UniswapV3Pool | UniswapV4Pool

_LUMP = 0.25
"""A pool is swapped once it is to move by this part of its fee, or as one average trade moves it, if that is less."""
_SLACK = 0.04
"""How far a pool's depth may be off before its liquidity is placed anew."""
_INNER = 0.03
"""And its price, in logarithm, from where the liquidity was placed; a hundredth of that for pegged pairs."""
_FIRST = 0xB0000000
"""Address of the first simulated pool."""
DAY = 86_400

TICK_SPACINGS = {100: 1, 500: 10, 3000: 60, 10_000: 200}
"""By fee tier of Uniswap V3."""


class Venue(Model):
    """A pool of the simulated market, by its tokens' symbols."""

    kind: Literal["uniswap_v2", "uniswap_v3", "uniswap_v4"]
    tokens: Annotated[tuple[str, str], Field(description="two symbols, in any order")]
    fee_pips: FeePips = Field(default=3000, description="millionths")
    usd: Annotated[Number, Field(gt=0, le=1e12)] = Field(
        description="what the pool holds on both sides, USD, up to 10^12"
    )
    pegged: bool = Field(
        default=False, description="the two are worth the same, so positions are a hundred times narrower"
    )

    @model_validator(mode="after")
    def _is_a_pool(self) -> Venue:
        if self.tokens[0] == self.tokens[1]:
            raise ValueError(f"a pool of {self.tokens[0]} against itself: name two tokens")
        if self.kind != "uniswap_v2" and self.fee_pips not in TICK_SPACINGS:
            tiers = ", ".join(map(str, TICK_SPACINGS))
            raise ValueError(f"there is no fee tier of {self.fee_pips} millionths: choose one of {tiers}")
        return self


class Frictions(Model):
    """What keeps pools from following the market at once."""

    arbitrage_gas_units: Annotated[int, Field(ge=0)] = Field(
        default=200_000, description="gas of one arbitrage; 0 lets pools stand at the edge of their fee band"
    )
    noise_volume_per_day: Annotated[Number, Field(ge=0)] = Field(
        default=0.2, description="turnover a day of those who do not look at the price, as a part of the pool's depth"
    )
    noise_trades_per_day: Annotated[Number, Field(gt=0)] = Field(
        default=2000.0, description="and in how many trades: fewer and larger ones move the price more"
    )
    refill_half_life_seconds: Annotated[Number, Field(gt=0)] | None = Field(
        default=900.0,
        description="in which flow takes half of a displacement inside the fee band away; null: only arbitrage does",
    )
    reanchor: bool = Field(
        default=True, description="liquidity providers keep the pool's depth in dollars and around the price"
    )


class Flow(NamedTuple):
    """What the market did to a pool: an exact input, or (concentrated liquidity) a swap of any size to a price.

    ``amount_in`` raw units, or ``sqrt_price_x96``, the other one 0. ``arbitrage``: whether it goes to the edge of the
    fee band, or is flow inside it.
    """

    pool: str
    zero_for_one: bool
    amount_in: int
    sqrt_price_x96: int
    arbitrage: bool


class Venues:
    """Pools with their state, and where each stands against the market.

    ``pools`` are real ones, in order; what trades with them hands the new ones to `put`.
    """

    def __init__(
        self,
        pools: Sequence[TradingPool],
        tokens: Mapping[str, tuple[int, int]],
        log_prices: Floats,
        *,
        frictions: Frictions,
        seed: np.random.SeedSequence,
        venues: Sequence[Venue] | None = None,
    ) -> None:
        """``tokens``: place among the prices, and decimals, by address; ``venues``: what to keep the depth to."""
        self.pools = list(pools)
        self.place = {pool.name: j for j, pool in enumerate(pools)}
        self.frictions = frictions
        self._venues = list(venues) if venues is not None and frictions.reanchor else None
        self._usd = [venue.usd for venue in venues or ()]
        self._inner = np.array([_INNER / 100 if venue.pegged else _INNER for venue in venues or ()])
        self._tokens = tokens
        self._random = np.random.default_rng(seed)
        self._normals = np.zeros((0, len(pools)))
        self._drawn = 0
        self._i0 = np.array([tokens[pool.token0][0] for pool in pools], dtype=np.int64)
        self._i1 = np.array([tokens[pool.token1][0] for pool in pools], dtype=np.int64)
        # What turns raw log prices and log liquidities into those of whole tokens.
        decimals = [(tokens[pool.token0][1], tokens[pool.token1][1]) for pool in pools]
        self._units = [((more - less) * log(10), (more + less) * log(10) / 2) for less, more in decimals]
        self._parts = [1 - pool.fee_fraction for pool in pools]
        self._kept = np.array(self._parts)
        self._edge = -np.log(self._kept)
        self._log_prices = log_prices
        states = [self._state(j) for j in range(len(pools))]
        self._log_pool = np.array([log_price for log_price, _ in states])
        self._log_depth = np.array([log_depth for _, log_depth in states])
        self._wanted = self._log_pool.copy()
        self._arbitraged = np.zeros(len(pools), dtype=bool)
        self._anchor_depth = self.depth()
        self._anchor_price = self._log_pool.copy()
        self._changed = True
        self._tuple: tuple[TradingPool, ...] = ()
        half_life = frictions.refill_half_life_seconds
        lump = 4 * frictions.noise_volume_per_day / frictions.noise_trades_per_day
        self._lump = np.minimum(_LUMP * self._edge, lump)
        self._theta = 0.0 if half_life is None else log(2) / half_life
        self._sigma = 4 * frictions.noise_volume_per_day / sqrt(frictions.noise_trades_per_day * DAY)

    @property
    def all(self) -> tuple[TradingPool, ...]:
        """The pools as they stand."""
        if self._changed:
            self._tuple, self._changed = tuple(self.pools), False
        return self._tuple

    def depth(self) -> Floats:
        """Virtual reserves on either side of each pool at the market's prices, USD."""
        prices = self._log_prices
        depth: Floats = np.exp(self._log_depth + (prices[self._i0] + prices[self._i1]) / 2)
        return depth

    def off_market(self) -> Floats:
        """x of every pool: log of its price over the market's, fee aside."""
        x: Floats = self._log_pool - self._market()
        return x

    def _market(self) -> Floats:
        market: Floats = self._log_prices[self._i0] - self._log_prices[self._i1]
        return market

    def put(self, pool: TradingPool) -> None:
        """Takes a pool that somebody has traded with."""
        j = self.place[pool.name]
        before = float(self._log_pool[j])
        self._set(j, pool)
        self._wanted[j] += self._log_pool[j] - before

    def _set(self, j: int, pool: TradingPool) -> None:
        self.pools[j] = pool
        self._log_pool[j], self._log_depth[j] = self._state(j)
        self._changed = True

    def move(self, seconds: Ints, log_prices: Floats, gas_usd: float) -> None:
        """Lets the market go to ``log_prices``, and flow and arbitrage with it, leg by leg.

        The legs take so many ``seconds``, shape (legs,), and lead to log prices of shape (legs, tokens). ``gas_usd`` is
        what an arbitrage pays for gas. The pools themselves are left for `settle`.
        """
        _follow(
            self._wanted,
            self._arbitraged,
            self._log_prices,
            log_prices,
            seconds,
            self._i0,
            self._i1,
            self._log_depth,
            self._edge,
            self._kept,
            self._draw(len(seconds)),
            self._theta,
            self._sigma,
            gas_usd,
        )
        self._log_prices = log_prices[-1]

    def _draw(self, legs: int) -> Floats:
        """Normal numbers of shape (legs, pools). Drawn many at a time; the stream does not depend on how many."""
        left = self._normals[self._drawn :]
        if len(left) < legs:
            more = self._random.standard_normal((max(256, legs), len(self.pools)))
            self._normals, self._drawn = np.concatenate((left, more)), 0
        self._drawn += legs
        rows: Floats = self._normals[self._drawn - legs : self._drawn]
        return rows

    def settle(self) -> list[Flow]:
        """Swaps every pool to where the market has brought it, and places liquidity anew where it is time to."""
        move = self._wanted - self._log_pool
        acting = ((np.abs(move) > self._lump) | self._arbitraged).nonzero()[0].tolist()
        flows: list[Flow] = []
        placed: list[int] = []
        if acting:
            moves, arbitraged = move.tolist(), self._arbitraged.tolist()
            # Lists while it goes on: a number is written into an array at many times the cost.
            log_pool, log_depth = self._log_pool.tolist(), self._log_depth.tolist()
            away = [False] * len(moves) if self._venues is None else self._away(self._wanted).tolist()
            for j in acting:
                flow = self._trade(j, moves[j], arbitraged[j], anew=away[j])
                if flow is not None:
                    flows.append(flow)
                    log_pool[j], log_depth[j] = self._state(j)
                    if away[j] and flow.sqrt_price_x96:
                        placed.append(j)
            self._log_pool, self._log_depth = np.array(log_pool), np.array(log_depth)
            self._arbitraged[:] = False
            self._changed = True
        if self._venues is not None:
            self._reanchor(placed)
        return flows

    def _trade(self, j: int, move: float, arbitrage: bool, *, anew: bool) -> Flow | None:
        """Brings pool j to a log price that is higher by ``move`` by one swap, if it is enough to change anything.

        ``anew``: its liquidity will be placed anew there, whatever the swap leaves of it.
        """
        pool = self.pools[j]
        zero_for_one = move < 0
        if isinstance(pool, UniswapV2Pool):
            reserve, token_in = (pool.reserve0, pool.token0) if zero_for_one else (pool.reserve1, pool.token1)
            amount = _input(reserve, abs(move), self._parts[j])
            try:
                self.pools[j] = pool.swap(token_in, pool.token1 if zero_for_one else pool.token0, amount).pool
            except SwapError:  # too small to change anything
                return None
            return Flow(pool.name, zero_for_one, amount, 0, arbitrage)
        target = int(pool.sqrt_price_x96 * exp(move / 2))
        target = min(max(target, MIN_SQRT_PRICE + 1), MAX_SQRT_PRICE - 1)
        if target == pool.sqrt_price_x96:
            return None
        if anew:
            self.pools[j] = self._placed(j, pool, target)
            return Flow(pool.name, zero_for_one, 0, target, arbitrage)
        try:
            self.pools[j] = pool.swap_to(target)
        except SwapError as error:
            raise InputError(f"{error}: begin with a snapshot of more of its ticks") from None
        return Flow(pool.name, zero_for_one, 0, target, arbitrage)

    def _state(self, j: int) -> tuple[float, float]:
        """Log of pool j's price in whole tokens, and of its liquidity in the geometric mean of theirs."""
        pool, (shift, half_raw) = self.pools[j], self._units[j]
        if isinstance(pool, UniswapV2Pool):
            log0, log1 = log(pool.reserve0), log(pool.reserve1)
            return log1 - log0 - shift, (log0 + log1) / 2 - half_raw
        return 2 * log(pool.sqrt_price_x96 / Q96) - shift, log(pool.liquidity or 1) - half_raw

    def _reanchor(self, placed: list[int]) -> None:
        """Places liquidity anew where it is off; ``placed`` are pools whose liquidity has just been placed."""
        depth = self.depth()
        self._anchor_depth[placed], self._anchor_price[placed] = depth[placed], self._log_pool[placed]
        off = (np.abs(depth - self._anchor_depth) > _SLACK * self._anchor_depth) | self._away(self._log_pool)
        for j in off.nonzero()[0].tolist():
            self._place(j)

    def _away(self, log_pool: Floats) -> Flags:
        """Which pools would stand too far from where their liquidity was placed; shape (pools,)."""
        away: Flags = np.abs(log_pool - self._anchor_price) > self._inner
        return away

    def scale(self, factor: float) -> None:
        """Leaves every pool this part of the depth that it had at first."""
        if self._venues is None:
            raise InputError("the depth of these pools is not known: their liquidity is not placed by the simulation")
        for j, venue in enumerate(self._venues):
            self._usd[j] = venue.usd * factor
            self._place(j)

    def _place(self, j: int) -> None:
        """Places the liquidity of pool j anew, at its own price."""
        pool = self.pools[j]
        if isinstance(pool, UniswapV2Pool):
            self._set(j, pool.scaled(self._usd[j] / 2 / self._depth_of(j)))
        else:
            self._set(j, self._placed(j, pool, pool.sqrt_price_x96))
        self._anchor_depth[j] = self._depth_of(j)
        self._anchor_price[j] = self._log_pool[j]

    def _placed(self, j: int, pool: UniswapV3Pool | UniswapV4Pool, price: int) -> UniswapV3Pool | UniswapV4Pool:
        """Pool j with positions around a price (sqrtPriceX96), where it then stands."""
        assert self._venues is not None  # noqa: S101  liquidity is placed only where venues are known
        side0, side1 = (self._side(token) for token in pool.tokens)
        return pool.placed(_nets(side0, side1, ceil(self._usd[j]), self._venues[j], price), price)

    def _side(self, token: str) -> Side:
        place, decimals = self._tokens[token]
        return Side(decimals, answer_of(float(self._log_prices[place])))

    def _depth_of(self, j: int) -> float:
        """As `depth`, of one pool."""
        both = self._log_prices[self._i0[j]] + self._log_prices[self._i1[j]]
        return exp(float(self._log_depth[j] + both / 2))


@kernel
def _follow(  # noqa: PLR0917  a kernel takes no keywords
    wanted: Floats,
    arbitraged: Flags,
    before: Floats,
    log_prices: Floats,
    seconds: Ints,
    place0: Ints,
    place1: Ints,
    log_depth: Floats,
    edge: Floats,
    kept: Floats,
    normals: Floats,
    theta: float,
    sigma: float,
    gas_usd: float,
) -> None:
    """Moves every pool with the market from ``before`` through ``log_prices``, by the formulas above.

    ``wanted``, the log prices that flow and arbitrage bring the pools to, and ``arbitraged`` are written.
    """
    for leg in range(len(seconds)):
        decay, ramp, spread = _law(theta, sigma, float(seconds[leg]))
        prices = log_prices[leg]
        for j in range(len(wanted)):
            i0, i1 = place0[j], place1[j]
            old, new = before[i0] - before[i1], prices[i0] - prices[i1]
            x = decay * (wanted[j] - old) - ramp * (new - old) + spread * normals[leg, j]
            depth = np.exp(log_depth[j] + (prices[i0] + prices[i1]) / 2)
            beyond = 2 * np.arccosh(1 + gas_usd * np.sqrt(kept[j]) / (2 * depth))
            if abs(x) > edge[j] + beyond:
                x = edge[j] if x > 0 else -edge[j]
                arbitraged[j] = True
            wanted[j] = x + new
        before = prices


@kernel
def _law(theta: float, sigma: float, seconds: float) -> tuple[float, float, float]:
    """What is left of x, how much of the market's move shows in it, and the deviation of the noise."""
    if theta * seconds == 0:
        return 1.0, 1.0, sigma * sqrt(seconds)
    gone = -expm1(-theta * seconds)
    return 1 - gone, gone / (theta * seconds), sigma * sqrt(-expm1(-2 * theta * seconds) / (2 * theta))


def _input(reserve: int, move: float, kept: float) -> int:
    """Raw input that moves a constant product's price by ``move`` in logarithm, the fee staying in the pool.

    (r + a)(r + g a) = r^2 e^move, solved for a without cancellation.
    """
    gained = expm1(move)
    return int(2 * reserve * gained / ((1 + kept) + sqrt((1 + kept) ** 2 + 4 * kept * gained)))


def open_pool(
    venue: Venue, number: int, tokens: Mapping[str, tuple[str, int]], prices: Mapping[str, float]
) -> TradingPool:
    """The pool that a venue stands for, at the market's prices.

    Args:
        venue: what to open.
        number: of the pool; gives its address.
        tokens: address and decimals by symbol.
        prices: USD for one whole token, by symbol.

    Raises:
        InputError: a contract could not hold so much, or so little, of its tokens.
    """
    try:
        return _opened(venue, number, tokens, prices)
    except ValidationError as error:
        name = "/".join(venue.tokens)
        raise InputError(
            f"a pool of {name} with ${venue.usd:,.0f}: {explain(error)}: change usd, or decimals"
        ) from None


def _opened(
    venue: Venue, number: int, tokens: Mapping[str, tuple[str, int]], prices: Mapping[str, float]
) -> TradingPool:
    symbols = sorted(venue.tokens, key=lambda symbol: int(tokens[symbol][0], 16))
    token0, token1 = (tokens[symbol][0] for symbol in symbols)
    side0, side1 = (Side(tokens[symbol][1], answer_of(log(prices[symbol]))) for symbol in symbols)
    usd = ceil(venue.usd)
    address = f"0x{_FIRST + number:040x}"
    if venue.kind == "uniswap_v2":
        reserve0, reserve1 = pair_reserves(side0, side1, usd)
        return UniswapV2Pool(
            address=address, token0=token0, token1=token1, fee_pips=venue.fee_pips, reserve0=reserve0, reserve1=reserve1
        )
    price = sqrt_price(side0, side1)
    nets = _nets(side0, side1, usd, venue, price)
    tick = tick_at_sqrt_price(price)
    fields = {
        "address": address,
        "token0": token0,
        "token1": token1,
        "fee_pips": venue.fee_pips,
        "tick_spacing": TICK_SPACINGS[venue.fee_pips],
        "sqrt_price_x96": price,
        "liquidity": sum(net for index, net in nets.items() if index <= tick),
        "tick": tick,
        "ticks": tuple(Tick(index=index, liquidity_net=net) for index, net in nets.items()),
    }
    if venue.kind == "uniswap_v3":
        return UniswapV3Pool.model_validate(fields)
    return UniswapV4Pool.model_validate(fields | {"id": f"0x{_FIRST + number:064x}"})


def _nets(side0: Side, side1: Side, usd: int, venue: Venue, price: int) -> dict[int, int]:
    """What joins a pool at ``price`` (sqrtPriceX96) at each tick, if its positions hold about ``usd`` dollars."""
    label = f"{venue.kind}/{'/'.join(venue.tokens)}/{venue.fee_pips}"
    spacing = TICK_SPACINGS[venue.fee_pips]
    nets: dict[int, int] = {}
    for lower, upper, liquidity in positions(side0, side1, spacing, usd, stable=venue.pegged, label=label, price=price):
        nets[lower] = nets.get(lower, 0) + liquidity
        nets[upper] = nets.get(upper, 0) - liquidity
    return dict(sorted(nets.items()))
