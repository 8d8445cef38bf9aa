"""Many policies through many markets: every point of a grid on every market and seed, once.

A run is a cell: one policy, one market, one seed. Its result is kept under the hash of all that it depends on (policy,
setup, market, seed, the content of price and gas files, this project's code), so a sweep that was killed does only what
is left, and one that has changed does only what has.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from keeper.backtest.engine import check_rows, simulate
from keeper.backtest.metrics import Meter
from keeper.backtest.setup import DOLLARS, Setup, read_setup
from keeper.domain import InputError, Policy, check_basket
from keeper.domain.errors import explain
from keeper.domain.parse import read_yaml, with_models
from keeper.market import PriceFile, PricePath, Prices, Regime, Window
from keeper.market.gas import GasFile
from keeper.market.paths import Asset
from keeper.pools.base import Model
from keeper.units import Number

DAY = 86_400
RESULTS = "results.jsonl"
_ROOMS = ("units.py", "pools", "domain", "routing", "policy", "market", "backtest")
"""What a result can depend on."""

Seed = Annotated[int, Field(ge=0)]


class Simulated(Model):
    """A generated market."""

    kind: Literal["simulated"] = "simulated"
    name: str | None = Field(default=None, description="what it is called in the results; the regime if absent")
    regime: Regime = Field(default="regimes", description="how prices move")
    days: Annotated[int, Field(ge=1)] = Field(default=365, description="how long")
    step_seconds: Annotated[int, Field(ge=1)] = Field(default=3600, description="between rows")
    assets: dict[str, Asset] = Field(default={}, description="by symbol, where not as usual")
    correlation: Annotated[Number, Field(ge=0, le=1)] = Field(default=0.6, description="of every pair in calm times")

    @property
    def label(self) -> str:
        return self.name or self.regime

    def prices(self, setup: Setup, seed: int) -> Prices:
        """The path of a seed, for the symbols that the setup needs. Raises `InputError` if it says more of others."""
        if strange := [symbol for symbol in self.assets if symbol not in setup.symbols]:
            raise InputError(f"markets: {self.label}: assets: {strange[0]} is neither in the basket nor in a pool")
        return PricePath(
            regime=self.regime,
            symbols=setup.symbols,
            seed=seed,
            steps=self.days * DAY // self.step_seconds + 1,
            step=self.step_seconds,
            assets=self.assets,
            correlation=self.correlation,
        )

    def digest(self) -> str:
        """Of what is not in the model itself."""
        return ""


class FromFile(Model):
    """A market of the past, as `keeper backtest --prices` takes it."""

    kind: Literal["file"] = "file"
    name: str | None = Field(default=None, description="what it is called in the results; the file's name if absent")
    prices_file: str = Field(description="CSV or Parquet: time, symbol, close; relative to the sweep file")
    symbols: dict[str, str] = Field(default={}, description="what the file calls a symbol, where it is not the same")
    start: Annotated[int, Field(ge=0)] | None = Field(default=None, description="first moment, unix seconds")
    stop: Annotated[int, Field(ge=0)] | None = Field(default=None, description="moment after the last, unix seconds")
    fill_gaps: Annotated[int, Field(ge=0)] = Field(default=0, description="rows in a row that may be missing")

    @property
    def label(self) -> str:
        return self.name or Path(self.prices_file).name

    def prices(self, setup: Setup, seed: int) -> Prices:
        """The rows of the file; the seed only counts between them."""
        del seed
        file = _read(self.prices_file, setup.symbols, tuple(sorted(self.symbols.items())), self.fill_gaps)
        return file if self.start is None and self.stop is None else Window(file, self.start, self.stop)

    def digest(self) -> str:
        """Of the file's content."""
        return _content(self.prices_file)


@cache
def _read(path: str, symbols: tuple[str, ...], names: tuple[tuple[str, str], ...], fill_gaps: int) -> PriceFile:
    return PriceFile(path, symbols, names=dict(names), optional=DOLLARS, fill_gaps=fill_gaps)


@cache
def _content(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


Market = Annotated[Simulated | FromFile, Field(discriminator="kind")]


class Strategy(Model):
    """Variants of the sweep's policy under one name."""

    changes: dict[str, Any] = Field(default={}, description="values by dotted key, as trigger.absolute, for all of it")
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(
        default={}, description="lists of values by dotted key: every combination is run"
    )


class SeedRange(Model):
    """So many seeds in a row."""

    first: Seed = 1
    count: Annotated[int, Field(ge=1)]


class Sweep(Model):
    """A sweep file."""

    policy: dict[str, Any] = Field(description="the policy that is varied, or `file`: one relative to this file")
    strategies: dict[str, Strategy] = Field(default={}, description="variants by name; one without changes if none")
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(
        default={}, description="lists of values by dotted key, for every strategy"
    )
    setup: dict[str, Any] = Field(default={}, description="as `keeper backtest --setup`, inline")
    markets: Annotated[tuple[Market, ...], Field(min_length=1)] = Field(description="where it is run")
    seeds: Annotated[list[Seed], Field(min_length=1)] | SeedRange = Field(description="a list, or {first, count}")
    daily: bool = Field(default=False, description="also keep each day's active return and cost in the results")

    @model_validator(mode="after")
    def _markets_are_distinct(self) -> Self:
        labels = [market.label for market in self.markets]
        twice = next((label for label in labels if labels.count(label) > 1), None)
        if twice is not None:
            raise ValueError(f"two markets are called {twice}: give one of them a name")
        return self

    @property
    def all_seeds(self) -> list[int]:
        """Every seed, in order."""
        if isinstance(self.seeds, SeedRange):
            return list(range(self.seeds.first, self.seeds.first + self.seeds.count))
        return list(dict.fromkeys(self.seeds))


@dataclass(frozen=True, slots=True)
class Cell:
    """One run, complete: `spec` is JSON, and `key` names it with all that it depends on."""

    strategy: str
    point: str
    market: str
    seed: int
    spec: str
    key: str


def load_sweep(path: Path) -> Sweep:
    """Reads a sweep file. Raises `InputError`."""
    data = read_yaml(_text(path), str(path))
    if isinstance(data, dict):
        _at_home(data, path.parent)
    try:
        return Sweep.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        raise InputError(f"{path}: {explain(error)}") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text") from None


def _at_home(data: dict[str, Any], home: Path) -> None:
    """Puts the files that a sweep names in their places: its policy, models of it, and paths of prices."""

    def text(name: str) -> str:
        return _text(home / name)

    policy = data.get("policy")
    if isinstance(policy, dict) and set(policy) == {"file"}:
        name = str(policy["file"])
        data["policy"] = with_models(read_yaml(text(name), str(home / name)), text)
    elif isinstance(policy, dict):
        data["policy"] = with_models(policy, text)
    strategies = data.get("strategies")
    for strategy in strategies.values() if isinstance(strategies, dict) else ():
        changes = strategy.get("changes") if isinstance(strategy, dict) else None
        if isinstance(changes, dict) and "trigger" in changes:
            strategy["changes"] = changes | with_models({"trigger": changes["trigger"]}, text)
    setup = data.get("setup")
    gas = setup.get("gas") if isinstance(setup, dict) else None
    if isinstance(gas, dict) and "file" in gas:
        gas["file"] = str((home / str(gas["file"])).resolve())
    markets = data.get("markets")
    for market in markets if isinstance(markets, list) else ():
        if isinstance(market, dict) and "prices_file" in market:
            market.setdefault("kind", "file")
            market["prices_file"] = str((home / str(market["prices_file"])).resolve())
        elif isinstance(market, dict):
            market.setdefault("kind", "simulated")


def cells(sweep: Sweep) -> list[Cell]:
    """Every run of the sweep, seed by seed: what is done is balanced at any time. All are checked before any runs.

    Raises:
        InputError: a policy or the setup is wrong, or a market has no prices for it.
    """
    setup = read_setup(sweep.setup)
    policies = [
        (name, _spelt(point), policy)
        for name, strategy in (sweep.strategies or {"policy": Strategy()}).items()
        for point, policy in _variants(sweep, setup, name, strategy)
    ]
    for market in sweep.markets:
        check_rows(setup, market.prices(setup, 0))
    code, described_setup = code_version(), setup.model_dump(mode="json")
    gas = _content(setup.gas.file) if isinstance(setup.gas, GasFile) else ""
    found = []
    for seed, market in product(sweep.all_seeds, sweep.markets):
        described = market.model_dump(mode="json", exclude={"name"})
        digest = market.digest()
        for name, point, policy in policies:
            spec = json.dumps(
                {
                    "setup": described_setup,
                    "policy": policy.model_dump(mode="json"),
                    "market": described,
                    "seed": seed,
                    "daily": sweep.daily,
                },
                sort_keys=True,
            )
            key = hashlib.sha256(f"{code}\n{digest}{gas}\n{spec}".encode()).hexdigest()[:32]
            found.append(Cell(name, point, market.label, seed, spec, key))
    return found


def _variants(sweep: Sweep, setup: Setup, name: str, strategy: Strategy) -> Iterator[tuple[dict[str, Any], Policy]]:
    grid = sweep.grid | strategy.grid
    for values in product(*grid.values()):
        point = dict(zip(grid, values, strict=True))
        data = deepcopy(sweep.policy)
        for key, value in (strategy.changes | point).items():
            _put(data, key, value)
        at = f" at {_spelt(point)}" if point else ""
        try:
            policy = Policy.model_validate(data)
            check_basket(policy, setup.names)
        except ValidationError as error:
            raise InputError(f"strategy {name}{at}: {explain(error)}") from None
        except InputError as error:
            raise InputError(f"strategy {name}{at}: {error}") from None
        yield point, policy


def _put(data: dict[str, Any], key: str, value: Any) -> None:
    """Sets a value by its dotted key. Raises `InputError` if the way there is no mapping."""
    *way, last = key.split(".")
    here: Any = data
    for part in way:
        here = here.setdefault(part, {})
        if not isinstance(here, dict):
            raise InputError(f"grid: {key} leads through {part}, which is no mapping")
    here[last] = deepcopy(value)


def _spelt(point: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in point.items())


@cache
def code_version() -> str:
    """Hash of the code that a result can depend on."""
    home = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for room in _ROOMS:
        path = home / room
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.relative_to(home).as_posix().encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def run_cell(spec: str) -> dict[str, Any]:
    """Runs one cell: its metrics (see `keeper.backtest.metrics`), and each day's figures if it asks for them.

    ``daily`` has, for every day, the return less that of the frictionless rebalanced portfolio, and what batches cost
    at the market's prices with gas, in basis points of the basket.
    """
    data = json.loads(spec)
    setup = Setup.model_validate_json(json.dumps(data["setup"])).model_copy(update={"seed": data["seed"]})
    policy = Policy.model_validate_json(json.dumps(data["policy"]))
    holder = _MarketOf.model_validate_json(json.dumps({"market": data["market"]}))
    meter, days = Meter(), _Days()
    for step in simulate(setup, holder.market.prices(setup, data["seed"]), policy):
        meter.add(step)
        if data["daily"]:
            days.add(step.time, step.nav_usd, step.ideal_value_usd, step.executed)
    found: dict[str, Any] = {"metrics": meter.metrics().model_dump(mode="json")}
    return found | ({"daily": days.found()} if data["daily"] else {})


class _MarketOf(Model):
    market: Market


class _Days:
    """What a run's days were like."""

    def __init__(self) -> None:
        self.active: list[float] = []
        self.cost_bp: list[float] = []
        self._last: tuple[float, float] | None = None
        self._gas = self._cost = 0.0
        self._over = 0

    def add(self, time: int, nav: float, ideal: float, fill: Any) -> None:
        """One step more."""
        if fill is not None:
            self._gas += fill.costs.gas
            self._cost += (fill.costs.shortfall + fill.costs.gas) / nav * 1e4
        value = nav - self._gas
        if self._last is None:
            self._last, self._over = (value, ideal), time
        elif time - self._over >= DAY:
            before, wanted = self._last
            self.active.append(value / before - ideal / wanted)
            self.cost_bp.append(self._cost)
            self._last, self._over, self._cost = (value, ideal), time, 0.0

    def found(self) -> dict[str, list[float]]:
        """By day, oldest first."""
        return {"active": self.active, "cost_bp": self.cost_bp}


# Results, and going on with them

Report = Callable[[int, int], None]
"""Told how many cells are done, of how many."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A cell that could not be run, and why."""

    cell: Cell
    why: str


class Results:
    """What is known in a folder: one line of JSON for each cell, written as it comes in."""

    def __init__(self, folder: Path) -> None:
        """Opens a folder, or makes one. Raises `InputError` if it cannot be written."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.path = folder / RESULTS
            self.known = dict(self._entries())
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write into {folder}: {error.strerror}") from None

    def _entries(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every whole line. What a kill left of the last one is cut off, or the next would be written behind it."""
        if not self.path.exists():
            return
        whole = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                try:
                    entry = json.loads(line)
                    yield entry["key"], entry
                except (ValueError, LookupError, TypeError):
                    raise InputError(
                        f"{self.path}: line {number} is no result of a sweep: move the file away"
                    ) from None
        with self.path.open("r+b") as file:
            file.truncate(whole)

    def add(self, cell: Cell, found: Mapping[str, Any]) -> None:
        """Writes down what a cell came to."""
        entry = {
            "key": cell.key,
            "strategy": cell.strategy,
            "point": cell.point,
            "market": cell.market,
            "seed": cell.seed,
            **found,
        }
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        self.known[cell.key] = entry

    def close(self) -> None:
        self._file.close()

    def of(self, wanted: Iterable[Cell]) -> list[dict[str, Any]]:
        """The results of those of these cells that are known, in their order, under their names of today."""
        return [
            self.known[cell.key]
            | {"strategy": cell.strategy, "point": cell.point, "market": cell.market, "seed": cell.seed}
            for cell in wanted
            if cell.key in self.known
        ]


_AT_ONCE = 8
"""Tasks that wait for each worker: enough that none is idle, few enough that a kill loses little."""
_BATCH = 4
"""Cells of a task."""
_PATIENCE = 30
"""Seconds to wait for a scheduler."""


def run_sweep(
    wanted: Sequence[Cell],
    results: Results,
    report: Report,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
) -> list[Failure]:
    """Runs what is not known yet, on all cores of this machine or on the Dask cluster at ``scheduler``.

    A cluster's workers need this very project installed, and the price files at the same paths. A cell that fails holds
    up no other; it is run again next time.

    Raises:
        InputError: the scheduler cannot be reached, or a worker has other code than this.
    """
    failures: list[Failure] = []
    left = list({cell.key: cell for cell in wanted if cell.key not in results.known}.values())
    done = len(wanted) - len(left)
    report(done, len(wanted))
    batches = [left[k : k + _BATCH] for k in range(0, len(left), _BATCH)]
    for batch, found in _spread(batches, scheduler, workers) if left else ():
        for cell, result in zip(batch, found, strict=True):
            if isinstance(result, str):
                failures.append(Failure(cell, result))
            else:
                results.add(cell, result)
        done += len(batch)
        report(done, len(wanted))
    return failures


_Found = dict[str, Any] | str
"""What a cell came to, or why it failed."""


def _spread(
    batches: Sequence[Sequence[Cell]], scheduler: str | None, workers: int | None
) -> Iterator[tuple[Sequence[Cell], list[_Found]]]:
    """Batches with their results, as they come."""
    # Typed in part, and a second to import.
    import distributed  # noqa: PLC0415

    dask: Any = distributed
    with ExitStack() as stack:
        try:
            where = scheduler or stack.enter_context(
                dask.LocalCluster(
                    n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=logging.ERROR
                )
            )
            client = stack.enter_context(dask.Client(where, timeout=_PATIENCE))
        except (OSError, ValueError) as error:
            raise InputError(f"cannot reach the Dask scheduler at {scheduler}: {error}") from None
        waiting = iter(batches)
        hands = max(len(client.nthreads()), 1)
        code = code_version()
        under_way: dict[str, Sequence[Cell]] = {}
        queue = dask.as_completed()

        def submit() -> None:
            batch = next(waiting, None)
            if batch is not None:
                future = client.submit(_run_batch, code, [cell.spec for cell in batch], pure=False)
                under_way[future.key] = batch
                queue.add(future)

        for _ in range(_AT_ONCE * hands):
            submit()
        for future in queue:
            yield under_way.pop(future.key), future.result()
            submit()


def _run_batch(code: str, specs: Sequence[str]) -> list[_Found]:
    """What a worker does. An error of one cell is its result."""
    if code != code_version():
        raise InputError("a worker of the cluster has another version of this project: install the same everywhere")
    found: list[_Found] = []
    for spec in specs:
        try:
            found.append(run_cell(spec))
        except Exception as error:  # whatever it was, it is told beside the others' results
            found.append(f"{type(error).__name__}: {' '.join(str(error).split())}")
    return found
