"""`keeper dispatch` and `keeper work`: vaults spread over processes."""

# Imported when a command runs: web3 alone takes a second.
# ruff: noqa: PLC0415

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from keeper.commands.options import Command, as_json, configs_option, log_option
from keeper.commands.running import complain, muster_files, reporter, say, until_told_to_stop, watch_of


def queue_options(command: Command) -> Command:
    """`--queue` and `--live`, the same for both ends of the queue."""
    command = click.option("--live", is_flag=True, help="Sign and send; the same for dispatcher and workers.")(command)
    return click.option(
        "--queue",
        "queue_url",
        required=True,
        envvar="BALLAST_QUEUE",
        metavar="URL",
        help="The Redis that tasks go through, as redis://HOST:PORT (or set BALLAST_QUEUE).",
    )(command)


@click.command()
@configs_option
@queue_options
@click.option(
    "--at-once",
    type=click.IntRange(1, 1000),
    default=10,
    show_default=True,
    help="Vaults in one task, which are read together. Those of one signer are never taken apart.",
)
@log_option
def dispatch(config_paths: tuple[Path, ...], queue_url: str, live: bool, at_once: int, level: str | None) -> int:
    """Queue every vault for `keeper work` at each block, until SIGTERM or SIGINT.

    Signs nothing and needs no key. Serves health and metrics, and sends alerts, from what workers write down.
    """
    from keeper.workers import Dispatcher, check_shared
    from keeper.workers import dispatch as run

    say(level)
    keepers = muster_files(config_paths)
    check_shared(keepers, "live" if live else "dry")
    stop = until_told_to_stop()
    with closing(watch_of(keepers)) as watch:
        dispatcher = Dispatcher(keepers, "live" if live else "dry", watch, complain, at_once)
        with closing(dispatcher):
            run(queue_url, dispatcher, stop)
    return 0


@click.command()
@configs_option
@queue_options
@log_option
@as_json
def work(config_paths: tuple[Path, ...], queue_url: str, live: bool, level: str | None, as_json: bool) -> int:
    """Tick the vaults that `keeper dispatch` queues, until SIGTERM or SIGINT; start as many as there is work for."""
    from keeper.fleet import man
    from keeper.workers import Worker, check_shared
    from keeper.workers import work as run

    say(level)
    keepers = muster_files(config_paths)
    check_shared(keepers, "live" if live else "dry")
    worker = Worker(man(keepers, live=live), "live" if live else "dry", reporter(as_json, indent=None), complain)
    run(queue_url, worker, until_told_to_stop())
    return 0
