"""A backtest: every policy through the same market, what it came to, and the files that say so."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import length_hint
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from keeper.backtest.engine import check_rows, simulate
from keeper.backtest.metrics import Meter, Metrics
from keeper.backtest.record import Record
from keeper.backtest.setup import Setup
from keeper.domain import InputError, Policy, check_basket
from keeper.market.source import Prices
from keeper.pools.base import Model

RESULT = "result.json"
REPORT = "report.html"
_OURS = {RESULT, REPORT}

Progress = Callable[[str, int, int], None]
"""What is run, how many steps of it are done, and about how many there are (0: unknown)."""
_EVERY = 100
"""Steps between two looks at the progress."""


class Entry(Model):
    """A policy that is run, by a name that no other has."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$")]
    policy: Policy


class Ran(Model):
    """What became of a policy; ``steps`` is the Parquet file beside the result."""

    name: str
    policy: Policy
    steps: str
    metrics: Metrics


class Variation(Model):
    """Other frictions than the setup's, to see how much hangs on them; None: the setup's own."""

    name: str
    noise_volume: float | None = Field(default=None, description="times the setup's noise volume")
    refill_half_life: float | None = Field(default=None, description="times the setup's half life of refill")

    def of(self, setup: Setup) -> Setup:
        """The setup with these frictions."""
        frictions, changes = setup.frictions, {}
        if self.noise_volume is not None:
            changes["noise_volume_per_day"] = frictions.noise_volume_per_day * self.noise_volume
        if self.refill_half_life is not None and frictions.refill_half_life_seconds is not None:
            changes["refill_half_life_seconds"] = frictions.refill_half_life_seconds * self.refill_half_life
        return setup.model_copy(update={"frictions": frictions.model_copy(update=changes)})


_NOISE = (("no noise flow", 0.0), ("noise flow tripled", 3.0))
_REFILL = (("refill 4 times faster", 0.25), ("refill 4 times slower", 4.0))

SENSITIVITY: dict[str, tuple[Variation, ...]] = {
    "none": (),
    "small": (
        *(Variation(name=name, noise_volume=by) for name, by in _NOISE),
        *(Variation(name=name, refill_half_life=by) for name, by in _REFILL),
    ),
    "grid": tuple(
        Variation(name=", ".join(filter(None, (noise, refill))), noise_volume=by, refill_half_life=times)
        for noise, by in (_NOISE[0], ("", None), _NOISE[1])
        for refill, times in (_REFILL[0], ("", None), _REFILL[1])
        if noise or refill
    ),
}
"""Which variations are run: one thing at a time, or all combinations."""


class Varied(Model):
    """What a variation came to: metrics by name of the policy."""

    variation: Variation
    metrics: dict[str, Metrics]


class Result(Model):
    """All of a backtest but its steps; the JSON form is ``result.json``."""

    kind: Literal["ballast backtest"] = "ballast backtest"
    version: Literal[1] = 1
    prices: dict[str, Any] = Field(description="where the prices came from: file, or parameters of a generated path")
    setup: Setup
    policies: tuple[Ran, ...]
    sensitivity: tuple[Varied, ...]


def run(
    setup: Setup,
    prices: Prices,
    entries: Sequence[Entry],
    folder: Path,
    *,
    source: dict[str, Any],
    band: float = 0.05,
    variations: Sequence[Variation] = (),
    progress: Progress = lambda _what, _done, _of: None,
) -> Result:
    """Run every policy, its steps into ``folder``, and then again with each of ``variations``.

    Raises:
        InputError: a policy or the prices do not fit the setup, or there are fewer than two rows.
    """
    for entry in entries:
        try:
            check_basket(entry.policy, setup.names)
        except InputError as error:
            raise InputError(f"{entry.name}: {error}") from None
    check_rows(setup, prices)
    policies = []
    for number, entry in enumerate(entries, 1):
        steps = f"steps-{number}-{entry.name.replace(' ', '-')}.parquet"
        with Record(folder / steps, tuple(setup.basket)) as record:
            metrics = _measure(setup, prices, entry, band=band, progress=progress, what=entry.name, record=record)
        policies.append(Ran(name=entry.name, policy=entry.policy, steps=steps, metrics=metrics))
    sensitivity = []
    for variation in variations:
        other = variation.of(setup)
        found = {}
        for entry in entries:
            what = f"{entry.name}, {variation.name}"
            found[entry.name] = _measure(other, prices, entry, band=band, progress=progress, what=what)
        sensitivity.append(Varied(variation=variation, metrics=found))
    return Result(prices=source, setup=setup, policies=tuple(policies), sensitivity=tuple(sensitivity))


def _measure(
    setup: Setup,
    prices: Prices,
    entry: Entry,
    *,
    band: float,
    progress: Progress,
    what: str,
    record: Record | None = None,
) -> Metrics:
    meter, about = Meter(band), length_hint(prices, 0)
    progress(what, 0, about)
    for number, step in enumerate(simulate(setup, prices, entry.policy), 1):
        meter.add(step)
        if record is not None:
            record.add(step)
        if number % _EVERY == 0:
            progress(what, number, about)
    progress(what, meter.steps, meter.steps)
    return meter.metrics()


_MANY = 0.1
"""Part of the batches that may be reverted without a word."""
_LATE = 300
"""Seconds after which an order of a live keeper is worth nothing: the default of `sending.deadline_seconds`."""


def remarks(result: Result) -> list[str]:
    """What to know before believing the figures, one sentence or two each."""
    found = []
    for ran in result.policies:
        m = ran.metrics
        batches = m.trades + m.reverted
        if not batches or m.reverted <= _MANY * batches:
            continue
        waited = result.setup.latency_seconds
        if waited is None:
            waited = result.setup.latency_steps * (m.end - m.start) // (m.steps - 1)
        words = (
            f"{ran.name}: {m.reverted} of {batches} batches were reverted. They met the pools {waited} s after they"
            f" were decided, with minima {float(ran.policy.slippage):.2%} below what was quoted."
        )
        if waited > _LATE:
            words += (
                f" An order of a live keeper is worth nothing after {_LATE} s: --latency 24 (seconds; latency_seconds"
                " of a setup) is nearer to what one does."
            )
        found.append(words)
    return found


@contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """A folder to write into that takes the name ``path`` when all is written, in the place of an earlier result.

    Until then, and if something goes wrong, what stood at ``path`` stands.

    Raises:
        InputError: something else than an earlier result stands at ``path``, or nothing can be written there.
    """
    path = path.absolute()
    _refuse_foreign(path)
    part, old = path.with_name(f".{path.name}.part"), path.with_name(f".{path.name}.old")
    try:
        if old.exists() and not path.exists():  # killed between the two renames below
            old.rename(path)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"cannot write to {path}: {error.strerror}") from None
    try:
        yield part
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
            path.rename(old)
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)


def _refuse_foreign(path: Path) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise InputError(f"{path} is no folder: give another --out")
    foreign = next((f.name for f in sorted(path.iterdir()) if f.name not in _OURS and not _is_steps(f)), None)
    if foreign is not None:
        raise InputError(f"{path} holds {foreign}, which is no result of a backtest: give another --out")


def _is_steps(file: Path) -> bool:
    return file.name.startswith("steps-") and file.suffix == ".parquet" and file.is_file()
