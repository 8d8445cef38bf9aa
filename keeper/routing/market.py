"""All pools as arrays for the kernels, in nominal dollars."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Protocol

import numpy as np

from keeper.domain import Swap
from keeper.pools import BasePool
from keeper.pools.curves import Concentrated, ConstantProduct, Curve, Stretch, Weighted
from keeper.routing import kernels
from keeper.routing.jit import Floats, Ints
from keeper.routing.kernels import Answers, Curves


class Traded(Protocol):
    """What a pool was traded for, or is to be."""

    @property
    def pool(self) -> str: ...
    @property
    def token_in(self) -> str: ...
    @property
    def token_out(self) -> str: ...


@dataclass(frozen=True, eq=False)
class Market:
    """Every pair of tokens that some pool trades, as a *curve*.

    ``scale`` turns raw units of a token into nominal dollars: by the oracle's price where there is one, else by what
    the pools say, so that shadow prices are near one. ``kinds``, ``a``, ``b``, ``pool`` have one entry per curve (``a``
    and ``b`` are places in ``tokens``, ``pool`` one in ``pools``); ``params`` and ``segments`` are laid out as in
    `kernels`.
    """

    tokens: tuple[str, ...]
    scale: Floats
    pools: tuple[BasePool, ...]
    curves: Curves
    pool: Ints
    shared: bool
    """Whether some pool has more than one curve."""

    @classmethod
    def of(cls, pools: Sequence[BasePool], prices: Mapping[str, float]) -> Market:
        """The market of ``pools`` and the tokens in ``prices`` (dollars per raw unit, by token; basket first)."""
        pairs = [
            (place, a, b)
            for place, pool in enumerate(pools)
            for k, a in enumerate(pool.tokens)
            for b in pool.tokens[k + 1 :]
        ]
        tokens = tuple(dict.fromkeys([*prices, *(token for pool in pools for token in pool.tokens)]))
        index = {token: place for place, token in enumerate(tokens)}
        scale = _scales(tokens, prices, pools)
        kinds = np.zeros(len(pairs), dtype=np.int64)
        params = np.zeros((len(pairs), kernels.PARAMS))
        rows: list[tuple[float, ...]] = []
        for e, (place, a, b) in enumerate(pairs):
            curve = pools[place].curve(a, b)
            kinds[e] = _fill(params[e], rows, curve, scale[index[a]], scale[index[b]])
        return cls(
            tokens=tokens,
            scale=scale,
            pools=tuple(pools),
            curves=Curves(
                kinds=kinds,
                a=np.array([index[a] for _, a, _ in pairs], dtype=np.int64),
                b=np.array([index[b] for _, _, b in pairs], dtype=np.int64),
                params=params,
                segments=np.array(rows).reshape(-1, kernels.SEGMENT),
            ),
            pool=np.array([place for place, _, _ in pairs], dtype=np.int64),
            shared=len(pairs) > len(pools),
        )

    @property
    def size(self) -> int:
        """Number of curves."""
        return len(self.pool)

    def keep_to_one_swap(self, before: Market, swaps: Sequence[Swap]) -> None:
        """Let weighted pools take no more on top of ``swaps`` than one swap would have taken of ``before`` them.

        What a swap brings in raises the most that the next one may. The bound is on one swap for each pool.
        """
        taken: dict[tuple[str, str], int] = defaultdict(int)
        for swap in swaps:
            taken[swap.pool, swap.token_in] += swap.amount_in
        for e in np.flatnonzero(self.curves.kinds == kernels.WEIGHTED):
            now, then, name = self.curves.params[e], before.curves.params[e], self.pools[self.pool[e]].name
            for side, token in enumerate((self.curves.a[e], self.curves.b[e])):
                if used := taken.get((name, self.tokens[token])):
                    left = then[kernels.MOST] * then[side] - used * self.scale[token]
                    now[kernels.MOST] = min(now[kernels.MOST], max(left, 0.0) / now[side])

    def with_one_pair(self, on: Ints, done: Iterable[Traded]) -> Ints:
        """The curves that are ``on`` (shape (curves,), 0 or 1) but, of pools in ``done``, those of other pairs."""
        kept = on.copy()
        if self.shared:
            pairs = {trade.pool: {trade.token_in, trade.token_out} for trade in done}
            for e, (place, a, b) in enumerate(zip(self.pool, self.curves.a, self.curves.b, strict=True)):
                pair = {self.tokens[a], self.tokens[b]}
                kept[e] *= pairs.get(self.pools[place].name, pair) == pair
        return kept

    def answers(self) -> Answers:
        """Room for what every curve does."""
        size = self.size
        return Answers(np.empty(size, dtype=np.int64), np.empty(size), np.empty(size), np.empty(size))

    def trades(self, nu: Floats) -> Answers:
        """What every curve does at prices ``nu``."""
        answers = self.answers()
        kernels.trades(nu, self.curves, answers)
        return answers


def _scales(tokens: tuple[str, ...], prices: Mapping[str, float], pools: Sequence[BasePool]) -> Floats:
    """Dollars per raw unit; a token without a price takes its nearest priced neighbour's, by some pool."""
    known = dict(prices)
    trading: dict[str, list[BasePool]] = {}
    for pool in pools:
        for token in pool.tokens:
            trading.setdefault(token, []).append(pool)
    reached = deque(known)
    while reached:
        token = reached.popleft()
        for pool in trading.get(token, ()):
            for other in pool.tokens:
                if other not in known:
                    known[other] = known[token] * pool.marginal_price(other, token)
                    reached.append(other)
    return np.array([known.get(token, 1.0) or 1.0 for token in tokens])


def _fill(row: Floats, segments: list[tuple[float, ...]], curve: Curve, scale_a: float, scale_b: float) -> int:
    """Write a curve's parameters in nominal dollars; returns its kind."""
    if isinstance(curve, ConstantProduct):
        row[:3] = curve.liquidity * sqrt(scale_a * scale_b), curve.sqrt_price * sqrt(scale_b / scale_a), curve.kept
        return kernels.CONSTANT
    if isinstance(curve, Concentrated):
        depth, tilt = sqrt(scale_a * scale_b), sqrt(scale_b / scale_a)
        first_down = len(segments)
        segments += _stretches(curve.sqrt_price * tilt, curve.down, depth, tilt)
        first_up = len(segments)
        segments += _stretches(curve.sqrt_price * tilt, curve.up, depth, tilt)
        row[:6] = (
            curve.sqrt_price * tilt,
            curve.kept,
            first_down,
            first_up - first_down,
            first_up,
            len(segments) - first_up,
        )
        return kernels.TICKS
    if isinstance(curve, Weighted):
        row[:6] = (
            curve.balance_a * scale_a,
            curve.balance_b * scale_b,
            curve.weight_a,
            curve.weight_b,
            curve.kept,
            curve.most,
        )
        return kernels.WEIGHTED
    row[:10] = (
        curve.balance_a,
        curve.balance_b,
        curve.kept,
        curve.paid,
        curve.invariant,
        curve.share,
        curve.others,
        curve.product,
        scale_a / curve.scale_a,
        scale_b / curve.scale_b,
    )
    return kernels.STABLE


def _stretches(start: float, stretches: tuple[Stretch, ...], depth: float, tilt: float) -> list[tuple[float, ...]]:
    """Rows of ``segments``: totals are counted from the current price outwards, so that nothing large cancels."""
    rows: list[tuple[float, ...]] = []
    taken = paid = 0.0
    for raw_end, raw_liquidity in stretches:
        end, liquidity = raw_end * tilt, raw_liquidity * depth
        rows.append((start, end, liquidity, taken, paid))
        over, under = abs(end - start), abs(1 / start - 1 / end)
        taken += liquidity * (under if end < start else over)
        paid += liquidity * (over if end < start else under)
        start = end
    return rows
