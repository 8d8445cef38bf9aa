"""One pair at a time: the best single path by exact simulation of every simple path, whole or in parts of 5%.

This is how most routers work, here with an exhaustive search and exact quotes, so that it is a strong one of its kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from keeper.domain import Swap
from keeper.pools import BasePool, SwapError

PARTS = 20


class Path(NamedTuple):
    """Swaps that each spend the whole output of the one before, what their gas costs, and the pools they leave."""

    amount_out: int
    gas: float
    swaps: tuple[Swap, ...]
    pools: tuple[BasePool, ...]


@dataclass(frozen=True)
class Pools:
    """All pools, as the trades so far have left them."""

    by_name: Mapping[str, BasePool]
    by_token: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, pools: Iterable[BasePool]) -> Pools:
        """The pools before any trade."""
        by_name = {pool.name: pool for pool in pools}
        by_token: dict[str, list[str]] = {}
        for pool in by_name.values():
            for token in pool.tokens:
                by_token.setdefault(token, []).append(pool.name)
        return cls(by_name, {token: tuple(names) for token, names in by_token.items()})

    def after(self, path: Path) -> Pools:
        """The pools after ``path``."""
        return Pools({**self.by_name, **{pool.name: pool for pool in path.pools}}, self.by_token)

    def trading(self, token: str) -> list[BasePool]:
        """The pools that trade ``token``."""
        return [self.by_name[name] for name in self.by_token.get(token, ())]

    def neighbours(self, token: str) -> set[str]:
        """The tokens one swap away from ``token``."""
        return {other for pool in self.trading(token) for other in pool.tokens if other != token}


def best_path(
    market: Pools,
    token_in: str,
    token_out: str,
    amount_in: int,
    *,
    max_hops: int,
    gas_of: Callable[[str], float],
    unit_value: float,
) -> Path | None:
    """The path of at most ``max_hops`` (1 to 3) swaps that is worth most after gas; None if none takes the amount.

    Paths are grown hop by hop. Of those that reach a token only the ones that no other beats in both amount and gas
    are kept, and nothing is lost by it: a pool pays no less for more. No path visits a token twice, because no
    swap stays on its token, three hops have two stops, and neither end is a stop.

    Args:
        market: the pools.
        token_in: what is sold.
        token_out: what is bought, another token.
        amount_in: raw units.
        max_hops: most swaps in a path.
        gas_of: dollars for one more swap, by name of the pool.
        unit_value: dollars per raw unit of ``token_out``.
    """
    found: list[Path] = []
    frontier: dict[str, list[Path]] = {token_in: [Path(amount_in, 0.0, (), ())]}
    for hops_left in range(max_hops - 1, -1, -1):
        # A stop is of use only if what is left of the path can end at token_out.
        stops = {0: set(), 1: market.neighbours(token_out)}.get(hops_left)
        reached: dict[str, list[Path]] = {}
        for token, paths in frontier.items():
            for pool in market.trading(token):
                for target in pool.tokens:
                    if target in (token, token_in) or not (target == token_out or stops is None or target in stops):
                        continue
                    grown = [longer for path in paths if (longer := _grow(path, pool, token, target, gas_of))]
                    (found if target == token_out else reached.setdefault(target, [])).extend(grown)
        frontier = {token: _undominated(paths) for token, paths in reached.items()}
    return max(found, key=lambda path: path.amount_out * unit_value - path.gas, default=None)


def _grow(path: Path, pool: BasePool, token: str, target: str, gas_of: Callable[[str], float]) -> Path | None:
    if any(swap.pool == pool.name for swap in path.swaps):
        return None  # the market holds the pool as it was before the path
    try:
        amount_out, after = pool.swap(token, target, path.amount_out)
    except SwapError:
        return None
    swap = Swap(
        pool=pool.name,
        token_in=token,
        token_out=target,
        amount_in=path.amount_out,
        amount_out=amount_out,
    )
    return Path(amount_out, path.gas + gas_of(pool.name), (*path.swaps, swap), (*path.pools, after))


def _undominated(paths: list[Path]) -> list[Path]:
    """Those that no other beats in both amount and gas, cheapest gas first."""
    kept: list[Path] = []
    for path in sorted(paths, key=lambda path: (path.gas, -path.amount_out)):
        if not kept or path.amount_out > kept[-1].amount_out:
            kept.append(path)
    return kept


@dataclass(frozen=True)
class Exchange:
    """So much of one token for another."""

    token_in: str
    token_out: str
    amount_in: int


class Exchanged(NamedTuple):
    """Raw units bought by each exchange, and the pools that were swapped through, once for each exchange."""

    amounts_out: tuple[int, ...]
    hops: int


def one_by_one(
    pools: Iterable[BasePool],
    exchanges: Iterable[Exchange],
    unit_values: Mapping[str, float],
    *,
    hop_usd: float,
    parts: int,
) -> Exchanged:
    """Each exchange after the other over its best path, in so many equal parts, each over what is best by then.

    A pool that an exchange already goes through costs its later parts no gas, since they would be one swap.

    Raises:
        ValueError: there is no path for some exchange.
    """
    market = Pools.of(pools)
    amounts_out = []
    hops = 0
    for exchange in exchanges:
        bought = 0
        used: set[str] = set()
        for part in range(parts):
            amount = exchange.amount_in * (part + 1) // parts - exchange.amount_in * part // parts
            path = best_path(
                market,
                exchange.token_in,
                exchange.token_out,
                amount,
                max_hops=3,
                gas_of=lambda name: 0.0 if name in used else hop_usd,  # noqa: B023  called before the loop goes on
                unit_value=unit_values[exchange.token_out],
            )
            if path is None:
                raise ValueError(f"no path from {exchange.token_in} to {exchange.token_out}")
            market = market.after(path)
            bought += path.amount_out
            used |= {swap.pool for swap in path.swaps}
        amounts_out.append(bought)
        hops += len(used)
    return Exchanged(tuple(amounts_out), hops)
