"""`make study`: which trigger costs least at the same tracking error, and whether the difference is more than chance.

Every trigger of the keeper runs through 200 synthetic paths in each of four regimes, and through the prices of five
tokens that are real: to the end of 2020 for whatever is chosen, then once through 2021 and 2022. Seeded, and resumable:
runs are kept under their inputs (see `keeper.backtest.sweep`). Writes benchmarks/strategies.json, and the tables of
docs/strategies.md from it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.judge import LEVEL, Floats, Sample, verdict
from keeper.backtest.sweep import Cell, Results, Sweep, cells, run_sweep
from keeper.backtest.training import Closes, train
from keeper.domain import InputError
from keeper.market import PriceFile, PricePath

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "strategies.json"
DOC = ROOT / "docs" / "strategies.md"
BEGIN, END = "<!-- made by `make study` from benchmarks/strategies.json -->", "<!-- end -->"
DEFAULT = "relative band"
"""The kind of trigger of examples/keeper.yaml, and of `keeper backtest` where none is given."""
DATA = Path(os.environ.get("BALLAST_DATA", ROOT.parent / "shared" / "data"))
DAY = 86_400

BASKET = {"BTC": "0.3", "ETH": "0.3", "LINK": "0.15", "MKR": "0.15", "SNX": "0.1"}
REGIMES = ("gbm", "jumps", "regimes", "crash")
SEEDS = 200
DAYS = 75
HISTORY_SEEDS = 3
"""Of what happens between two days: the prices are the same."""
SPLIT = "2021-01-01"
PERIODS = {"history to 2020": (None, SPLIT), "history 2021-2022": (SPLIT, None)}
WIDTHS = (0.015, 0.027, 0.04)
"""Of the bands that the drift models are about."""
MODEL_SEED = 999_983
"""Of the path that the models for synthetic markets are trained on; no other path has it."""

SETUP: dict[str, Any] = {
    "basket": BASKET,
    "native": "ETH",
    "capital_usd": 1_000_000,
    "depth": [
        {"kind": "uniswap_v2", "tokens": ["BTC", "ETH"], "fee_pips": 3000, "usd": 4e7},
        *(
            {"kind": "uniswap_v2", "tokens": [symbol, "ETH"], "fee_pips": 3000, "usd": 1e7}
            for symbol in ("LINK", "MKR")
        ),
        {"kind": "uniswap_v2", "tokens": ["SNX", "ETH"], "fee_pips": 3000, "usd": 1e7},
    ],
    "latency_seconds": 24,
}
POLICY: dict[str, Any] = {
    "trigger": {"kind": "band", "absolute": 0.03},
    "tracking_penalty": 0.5,
    # Else a pool that differs from a lagging oracle looks like a gain, and costs turnover.
    "feed_deviation": 0.01,
}


def strategies(models: Sequence[Path]) -> dict[str, Any]:
    """Every trigger, with a few settings from narrow to wide."""
    score = {"kind": "score", "parts": {"deviation": {"scale": 0.03}, "volatility": {"scale": 0.8, "weight": -0.5}}}
    drift = [{"kind": "forecast", "model": json.loads(model.read_text(encoding="utf-8"))} for model in models]
    return {
        "band": {"grid": {"trigger.absolute": [0.015, 0.025, 0.04]}},
        "relative band": {"changes": {"trigger": {"kind": "band"}}, "grid": {"trigger.relative": [0.12, 0.18, 0.25]}},
        "calendar": {
            "changes": {"trigger": {"kind": "calendar"}},
            "grid": {"trigger.every_seconds": [4 * DAY, 9 * DAY, 18 * DAY]},
        },
        "volatility band": {
            "changes": {"trigger": {"kind": "volatility_band"}, "horizon_seconds": 30 * DAY},
            "grid": {"trigger.cost": [0.0003, 0.003, 0.02]},
        },
        **{
            f"forecast {width:.3f}": {"changes": {"trigger": trigger}}
            for width, trigger in zip(WIDTHS, drift, strict=True)
        },
        "score": {"changes": {"trigger": score}, "grid": {"trigger.threshold": [0.35, 0.6, 1.0]}},
        "always": {"changes": {"trigger": {"kind": "always"}}, "grid": {"tracking_penalty": [0.05, 0.25]}},
    }


def family(strategy: str) -> str:
    """Settings that are strategies of their own, since a model is no number, belong together."""
    return "forecast" if strategy.startswith("forecast") else strategy


def synthetic(models: Sequence[Path], seeds: int) -> Sweep:
    """All strategies on all regimes."""
    return Sweep.model_validate_json(
        json.dumps(
            {
                "policy": POLICY,
                "strategies": strategies(models),
                "setup": SETUP,
                "markets": [
                    {"kind": "simulated", "regime": regime, "days": DAYS, "step_seconds": DAY} for regime in REGIMES
                ],
                "seeds": {"first": 1, "count": seeds},
            }
        )
    )


def history(models: Sequence[Path], period: str) -> Sweep:
    """All strategies on real prices of one period."""
    start, stop = (None if day is None else _seconds(day) for day in PERIODS[period])
    return Sweep.model_validate_json(
        json.dumps(
            {
                "policy": POLICY,
                "strategies": strategies(models),
                "setup": SETUP,
                "markets": [
                    {"kind": "file", "name": period, "prices_file": str(_prices()), "start": start, "stop": stop}
                ],
                "seeds": {"first": 1, "count": HISTORY_SEEDS},
                "daily": True,
            }
        )
    )


def _prices() -> Path:
    return DATA / "prices" / "daily_close_train.csv"


def _seconds(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


def fitted(folder: Path, name: str, closes: Closes | None) -> list[Path]:
    """The drift models, trained unless they are there. ``closes`` may be None if they are."""
    paths = [folder / f"drift-{name}-{width:.3f}.json" for width in WIDTHS]
    for path, width in zip(paths, WIDTHS, strict=True):
        if not path.exists():
            assert closes is not None  # noqa: S101  who asks for models that are not there has prices
            weights = {symbol: float(weight) for symbol, weight in BASKET.items()}
            model = train("forecast", closes, samples=90, width=width, targets=weights, progress=_say)
            path.write_text(model.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return paths


def models_of(folder: Path, name: str) -> list[Path]:
    """The models for synthetic markets, or for real prices: trained on nothing that they are tried on."""
    folder.mkdir(parents=True, exist_ok=True)
    if all((folder / f"drift-{name}-{width:.3f}.json").exists() for width in WIDTHS):
        return fitted(folder, name, None)
    symbols = tuple(BASKET)
    if name == "synthetic":
        path = PricePath(regime="regimes", symbols=symbols, seed=MODEL_SEED, steps=6 * 365, step=DAY)
        return fitted(folder, name, Closes.of(path, DAY, path.start + 6 * 365 * DAY))
    return fitted(folder, name, Closes.of(PriceFile(_prices(), symbols), DAY, _seconds(SPLIT)))


def runs(sweep: Sweep, folder: Path, workers: int | None) -> list[dict[str, Any]]:
    """The results of a sweep; what is in the folder is not run again."""
    wanted: list[Cell] = cells(sweep)
    results = Results(folder)
    told = -1

    def report(done: int, of: int) -> None:
        nonlocal told
        if 50 * done // of > told:
            told = 50 * done // of
            _say(f"{done} of {of} runs")

    try:
        failures = run_sweep(wanted, results, report, workers=workers)
        for failure in failures:
            _say(f"failed: {failure.cell.strategy} {failure.cell.point} seed {failure.cell.seed}: {failure.why}")
        return results.of(wanted)
    finally:
        results.close()


def samples_of(found: Sequence[Mapping[str, Any]]) -> dict[str, Sample]:
    """Results as the judge wants them: by market, and by path or, of real prices, by day."""
    markets: dict[str, Sample] = {}
    for market in dict.fromkeys(entry["market"] for entry in found):
        here = [entry for entry in found if entry["market"] == market]
        settings = list(dict.fromkeys((entry["strategy"], entry["point"]) for entry in here))
        by_cell = {(entry["strategy"], entry["point"], entry["seed"]): entry for entry in here}
        seeds = [
            seed
            for seed in dict.fromkeys(entry["seed"] for entry in here)
            if all((*setting, seed) in by_cell for setting in settings)
        ]
        days = "daily" in here[0]
        read = _days if days else _paths
        columns = {setting: read([by_cell[(*setting, seed)] for seed in seeds]) for setting in settings}
        names = list(dict.fromkeys(family(strategy) for strategy, _ in settings))
        costs, squares = (
            {
                name: np.column_stack([columns[setting][k] for setting in settings if family(setting[0]) == name])
                for name in names
            }
            for k in (0, 1)
        )
        markets[market] = Sample(costs, squares, days)
    return markets


def _paths(entries: Sequence[Mapping[str, Any]]) -> tuple[Floats, Floats]:
    """Cost and tracking variance of every path."""
    metrics = [entry["metrics"] for entry in entries]
    return (
        np.array([found["cost_bp"]["total"] for found in metrics]),
        np.array([found["tracking_error"] ** 2 for found in metrics]),
    )


def _days(entries: Sequence[Mapping[str, Any]]) -> tuple[Floats, Floats]:
    """Cost and squared active return of every day, a year, in the mean over what may have happened between days."""
    costs = np.mean([entry["daily"]["cost_bp"] for entry in entries], axis=0)
    active = np.array([entry["daily"]["active"] for entry in entries])
    return costs * 365, ((active - active.mean(axis=1, keepdims=True)) ** 2).mean(axis=0) * 365


def summary(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What benchmarks/strategies.json says."""
    judged = verdict(samples_of(found), DEFAULT)
    return {
        "default": DEFAULT,
        "strategies": len({family(entry["strategy"]) for entry in found}),
        "runs": len(found),
        "days_of_a_path": DAYS,
        "level": LEVEL,
        "markets": judged,
        "beaten_by": sorted({name for market in judged.values() for name in market["beaten_by"]}),
    }


def tables(summary: Mapping[str, Any]) -> str:
    """The part of docs/strategies.md that is made from the summary."""
    lines = []
    for name, market in summary["markets"].items():
        seen = f", {market['observations']} observations" if "observations" in market else ""
        at = f" at a tracking error of {market['tracking_error']:.2%} a year" if "tracking_error" in market else ""
        lines += [f"### {name[0].upper()}{name[1:]}", "", f"Cost{at}{seen}.", ""]
        lines += [
            "| trigger | cost, bp a year | saves over the default (95%) | p | Holm | detectable |",
            "|---|---|---|---|---|---|",
        ]
        for trigger, row in market["strategies"].items():
            cost = f"{row['cost_bp']:.1f}"
            if trigger == summary["default"]:
                lines.append(f"| **{trigger}**, the default | {cost} ± {row['error_bp']:.1f} | | | | |")
            else:
                lines.append(
                    f"| {trigger} | {cost} | {row['saves_bp']:+.1f} ({row['from_bp']:+.1f} to {row['to_bp']:+.1f}) |"
                    f" {row['p']:.3f} | {row['p_holm']:.3f} | {row['detectable_bp']:.1f} |"
                )
        if market.get("out_of_reach"):
            lines += ["", f"At no setting that near: {', '.join(market['out_of_reach'])}."]
        beaten = f"beaten by {', '.join(market['beaten_by'])}" if market["beaten_by"] else "not beaten"
        lines += [
            "",
            f"Reality check over all of them: p = {market['reality_check_p']:.3f}; the default is {beaten}.",
            "",
        ]
    return "\n".join(lines)


def write_doc(summary: Mapping[str, Any], path: Path = DOC) -> None:
    """Puts the tables between their marks."""
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{tables(summary)}{END}{after}", encoding="utf-8")


def _say(line: str) -> None:
    print(f"· {line}", file=sys.stderr, flush=True)


def main() -> int:
    """Runs what is missing, then judges."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / ".ballast" / "study", help="where runs are kept")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="synthetic paths in each regime")
    parser.add_argument("--workers", type=int, help="processes; one for each core without it")
    parser.add_argument("--only", choices=("synthetic", "history"), help="run one half and judge nothing")
    options = parser.parse_args()
    found: list[dict[str, Any]] = []
    if options.only != "history":
        found += runs(synthetic(models_of(options.out, "synthetic"), options.seeds), options.out, options.workers)
    if options.only != "synthetic":
        if not _prices().exists():
            raise InputError(f"{_prices()} is missing: set BALLAST_DATA to the folder of the public data set")
        for period in PERIODS:
            found += runs(history(models_of(options.out, "history"), period), options.out, options.workers)
    if options.only is not None:
        return 0
    result = summary(found)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    write_doc(result)
    print(tables(result))
    if result["beaten_by"]:
        _say(f"the default is beaten by {', '.join(result['beaten_by'])}: ship that instead")
    return 1 if result["beaten_by"] else 0


if __name__ == "__main__":
    sys.exit(main())
