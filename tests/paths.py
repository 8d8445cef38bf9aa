"""A peer of the router: the best single path for one trade, by exact simulation of every simple path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from keeper.domain import Swap
from keeper.pools import BasePool, SwapError


class Path(NamedTuple):
    """Swaps that each spend the whole output of the one before, and the pools that they leave behind."""

    amount_out: int
    gas_units: int
    swaps: tuple[Swap, ...]
    pools: tuple[BasePool, ...]


@dataclass(frozen=True)
class Market:
    """All pools, as the trades so far have left them."""

    pools: Mapping[str, BasePool]
    by_token: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, pools: Iterable[BasePool]) -> Market:
        """The market before any trade."""
        by_name = {pool.name: pool for pool in pools}
        by_token: dict[str, list[str]] = {}
        for pool in by_name.values():
            for token in pool.tokens:
                by_token.setdefault(token, []).append(pool.name)
        return cls(by_name, {token: tuple(names) for token, names in by_token.items()})

    def after(self, path: Path) -> Market:
        """The market after ``path``."""
        return Market({**self.pools, **{pool.name: pool for pool in path.pools}}, self.by_token)

    def trading(self, token: str) -> list[BasePool]:
        """The pools that trade ``token``, in the order of the snapshot."""
        return [self.pools[name] for name in self.by_token.get(token, ())]

    def neighbours(self, token: str) -> set[str]:
        """The tokens one swap away from ``token``."""
        return {other for pool in self.trading(token) for other in pool.tokens if other != token}


def best_path(
    market: Market,
    token_in: str,
    token_out: str,
    amount_in: int,
    *,
    max_hops: int,
    gas_of: Callable[[str], int],
    worth: Callable[[int, int], float],
) -> Path | None:
    """The path of at most ``max_hops`` (1 to 3) swaps that is worth most, or None if none can take the amount.

    Paths are grown hop by hop. Of those that reach a token only the ones that no other beats in both amount and gas
    are kept, and nothing is lost by it: a pool pays no less for more. No path visits a token twice, because no
    swap stays on its token, three hops have two stops, and neither end is a stop.

    Args:
        market: the pools.
        token_in: what is sold.
        token_out: what is bought, another token.
        amount_in: raw units.
        max_hops: most swaps in a path.
        gas_of: units of gas for one swap, by kind of pool.
        worth: value of a raw amount of ``token_out`` after paying for units of gas.
    """
    found: list[Path] = []
    frontier: dict[str, list[Path]] = {token_in: [Path(amount_in, 0, (), ())]}
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
    return max(found, key=lambda path: worth(path.amount_out, path.gas_units), default=None)


def _grow(path: Path, pool: BasePool, token: str, target: str, gas_of: Callable[[str], int]) -> Path | None:
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
    return Path(amount_out, path.gas_units + gas_of(pool.kind), (*path.swaps, swap), (*path.pools, after))


def _undominated(paths: list[Path]) -> list[Path]:
    """Those that no other beats in both amount and gas, cheapest gas first."""
    kept: list[Path] = []
    for path in sorted(paths, key=lambda path: (path.gas_units, -path.amount_out)):
        if not kept or path.amount_out > kept[-1].amount_out:
            kept.append(path)
    return kept
