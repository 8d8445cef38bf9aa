"""What commands that look after vaults have in common: their files, their voice, and how they end."""

# Imported when a command runs: web3 alone takes a second.
# ruff: noqa: PLC0415

from __future__ import annotations

import io
import json
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keeper.domain.errors import InputError

if TYPE_CHECKING:
    from types import FrameType

    from keeper.loop import Keeper, Outcome
    from keeper.ops.watch import Watch


def complain(reason: str) -> None:
    """One line on stderr."""
    click.echo(f"keeper: {' '.join(reason.split())}", err=True)


def until_told_to_stop() -> threading.Event:
    """An event that SIGTERM and SIGINT set, so that what is under way is finished first."""
    stop = threading.Event()

    def finish(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, finish)
    return stop


def say(level: str | None) -> None:
    """Logs to stderr as far as anybody asked for it."""
    from keeper.ops.log import configure_logging

    configure_logging(sys.stderr if level else _Nowhere(), level or "warning")  # type: ignore[arg-type]  # click checks


def reporter(as_json: bool, indent: int | None) -> Callable[[Outcome], None]:
    """What says what a tick came to."""
    from keeper.report import print_outcome

    def report(outcome: Outcome) -> None:
        if as_json:
            click.echo(json.dumps(outcome.to_json(), indent=indent))
        else:
            print_outcome(outcome)

    return report


def watch_of(keepers: Sequence[Keeper]) -> Watch:
    """Eyes and voice of a process, which has one port and one list of people: those of its first vault."""
    from importlib.metadata import version

    from keeper.ops.watch import Watch

    config = keepers[0].config
    return Watch(config.health, config.alerts, [keeper.name for keeper in keepers], version("ballast"))


def muster_files(config_paths: Sequence[Path], *, met: bool = True) -> list[Keeper]:
    """The keepers of these files, and of those in these directories; each has `met` its chain and its vault there."""
    from keeper.config import Config
    from keeper.fleet import muster

    keepers = muster([Config.load(path) for path in _config_files(config_paths)])
    for keeper in keepers if met else ():
        keeper.check_chain()
    return keepers


def _config_files(paths: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(path.glob("*.yaml"))
            if not found:
                raise InputError(f"there is no .yaml file in the directory {path}")
            files += found
        else:
            files.append(path)
    return files


class _Nowhere(io.StringIO):
    """Takes log lines that nobody asked for."""

    def write(self, line: str) -> int:
        return len(line)
