"""Cost at the same tracking error, and whether a difference is more than chance: for `benchmarks.strategies`. Pure.

A strategy's settings give a frontier: mean cost against tracking variance. Between two settings, and a little beyond
the outermost, it is taken to be straight in logarithms, and read off at one tracking variance for all strategies.
What that reading is worth is found by bootstrap: synthetic paths are drawn with replacement, the same for every
strategy; of real prices, blocks of days of random length (the stationary bootstrap of Politis and Romano, 1994),
again the same for all. Every draw is read off anew.

Tested is, for every other strategy, whether it costs less than the default. p is one-sided, from the draws around their
own mean; Holm's correction is for the number of strategies tried, and the reality check (White, 2000, with each
difference over its standard error as Hansen, 2005, has it) asks of all of them at once. The minimum detectable
difference is the one that would have been found with a probability of 80% at a level of 5% over the number tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Any

import numpy as np
from arch.bootstrap import IIDBootstrap, StationaryBootstrap
from numpy.typing import NDArray
from scipy.stats import norm
from statsmodels.stats.multitest import multipletests

Floats = NDArray[np.float64]

DRAWS = 2_000
LEVEL, POWER = 0.05, 0.8
BLOCK = 20
"""Mean length of a block of days."""
_LEAST = 1e-12
"""Of a cost or a variance, where none was."""


@dataclass(frozen=True)
class Sample:
    """What was observed on one market: for each strategy, cost (bp a year) and squared active return (a year), by
    observation and setting, shapes (observations, settings). ``days``: whether observations follow each other."""

    costs: Mapping[str, Floats]
    squares: Mapping[str, Floats]
    days: bool

    @property
    def count(self) -> int:
        """Observations."""
        return len(next(iter(self.costs.values())))

    def frontiers(self, rows: NDArray[np.int64]) -> dict[str, tuple[Floats, Floats]]:
        """Tracking variance and cost of every setting over some observations, by strategy."""
        return {
            name: (self.squares[name][rows].mean(axis=0), self.costs[name][rows].mean(axis=0)) for name in self.costs
        }


def level_of(frontiers: Mapping[str, tuple[Floats, Floats]], default: str) -> tuple[float, list[str]]:
    """The tracking variance in the middle, in logarithm, of what all strategies reach, and which those are.

    Where there is none for all, the strategy is left out that begins last, or if that is the default, ends first.
    """
    names = list(frontiers)
    while True:
        first = max(names, key=lambda name: float(frontiers[name][0].min()))
        last = min(names, key=lambda name: float(frontiers[name][0].max()))
        low, high = float(frontiers[first][0].min()), float(frontiers[last][0].max())
        if low <= high:
            return exp((log(low) + log(high)) / 2), names
        names.remove(last if first == default else first)


def read_off(variance: Floats, cost: Floats, level: float) -> float:
    """Cost at a tracking variance, straight in logarithms between the two settings around it, or the nearest two."""
    order = np.argsort(variance)
    x, y = np.log(np.maximum(variance[order], _LEAST)), np.log(np.maximum(cost[order], _LEAST))
    k = int(np.clip(np.searchsorted(x, log(level)), 1, len(x) - 1))
    slope = (y[k] - y[k - 1]) / (x[k] - x[k - 1]) if x[k] > x[k - 1] else 0.0
    return exp(float(y[k - 1] + slope * (log(level) - x[k - 1])))


def _read(frontiers: Mapping[str, tuple[Floats, Floats]], level: float) -> Floats:
    return np.array([read_off(variance, cost, level) for variance, cost in frontiers.values()])


def draws_of(sample: Sample, level: float, seed: int) -> tuple[Floats, Floats]:
    """Costs at ``level`` as observed, shape (strategies,), and of every draw, shape (draws, strategies)."""
    everything = np.arange(sample.count)
    kind = StationaryBootstrap(BLOCK, everything, seed=seed) if sample.days else IIDBootstrap(everything, seed=seed)
    drawn = [_read(sample.frontiers(rows), level) for (rows,), _ in kind.bootstrap(DRAWS)]
    return _read(sample.frontiers(everything), level), np.array(drawn)


def judge(names: Sequence[str], default: str, observed: Floats, drawn: Floats) -> dict[str, Any]:
    """Every strategy against the default. ``saves_bp``: by how much it costs less (below 0: more)."""
    place = names.index(default)
    others = [k for k in range(len(names)) if k != place]
    saves = observed[place] - observed[others]
    draws = drawn[:, [place]] - drawn[:, others]
    errors = draws.std(axis=0, ddof=1)
    centred = draws - draws.mean(axis=0)
    p = (1 + (centred >= saves).sum(axis=0)) / (1 + len(draws))
    holm = multipletests(p, method="holm")[1]
    scaled = np.divide(saves, errors, out=np.zeros_like(saves), where=errors > 0)
    worst = np.divide(centred, errors, out=np.zeros_like(centred), where=errors > 0).max(axis=1)
    reality = (1 + int((worst >= scaled.max()).sum())) / (1 + len(draws))
    detect = float(norm.ppf(1 - LEVEL / len(others)) + norm.ppf(POWER))
    low, high = np.quantile(draws, [LEVEL / 2, 1 - LEVEL / 2], axis=0)
    found = {names[place]: {"cost_bp": _short(observed[place]), "error_bp": _short(drawn[:, place].std(ddof=1))}}
    for at, k in enumerate(others):
        found[names[k]] = {
            "cost_bp": _short(observed[k]),
            "saves_bp": _short(saves[at]),
            "from_bp": _short(low[at]),
            "to_bp": _short(high[at]),
            "p": _short(p[at]),
            "p_holm": _short(holm[at]),
            "detectable_bp": _short(detect * errors[at]),
        }
    return {
        "strategies": found,
        "reality_check_p": _short(reality),
        "beaten_by": [name for name, row in found.items() if row.get("p_holm", 1.0) < LEVEL],
    }


def verdict(samples: Mapping[str, Sample], default: str, seed: int = 1) -> dict[str, Any]:
    """Every market by itself, and all synthetic ones together."""
    found: dict[str, Any] = {}
    together: list[tuple[list[str], Floats, Floats]] = []
    # Whatever order a market has them in.
    names = sorted(next(iter(samples.values())).costs)
    for number, (market, unsorted) in enumerate(samples.items()):
        costs, squares = ({name: part[name] for name in names} for part in (unsorted.costs, unsorted.squares))
        sample = Sample(costs, squares, unsorted.days)
        frontiers = sample.frontiers(np.arange(sample.count))
        level, reaching = level_of(frontiers, default)
        reached = Sample(
            {name: costs[name] for name in reaching}, {name: squares[name] for name in reaching}, unsorted.days
        )
        observed, drawn = draws_of(reached, level, seed + number)
        found[market] = {
            "observations": sample.count,
            "tracking_error": _short(sqrt(level)),
            "frontiers": {
                name: [
                    {"tracking_error": _short(sqrt(v)), "cost_bp": _short(c)}
                    for v, c in sorted(zip(variance.tolist(), cost.tolist(), strict=True))
                ]
                for name, (variance, cost) in frontiers.items()
            },
            "out_of_reach": [name for name in names if name not in reaching],
            **judge(reaching, default, observed, drawn),
        }
        if not sample.days:
            together.append((reaching, observed, drawn))
    if len(together) > 1:
        common = [name for name in names if all(name in reaching for reaching, _, _ in together)]
        places = [[reaching.index(name) for name in common] for reaching, _, _ in together]
        observed = np.mean([part[at] for at, (_, part, _) in zip(places, together, strict=True)], axis=0)
        drawn = np.mean([part[:, at] for at, (_, _, part) in zip(places, together, strict=True)], axis=0)
        found["all regimes"] = judge(common, default, observed, drawn)
    return found


def _short(value: float) -> float:
    """Four digits: more would be noise."""
    return float(f"{value:.4g}")
