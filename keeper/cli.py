"""The command `keeper`.

Exit codes: 0 done or nothing to do, 1 failed, 2 bad usage or configuration, 3 refused by a breaker. Whatever goes
wrong is one line on stderr.
"""

# Commands import what they need when they run: web3 alone takes a second, and `plan --snapshot` needs no chain.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keeper.chain.errors import Refused, RpcError, WrongChainError
from keeper.commands.backtest import backtest
from keeper.commands.options import Command, as_json, config_option, configs_option, log_option
from keeper.commands.options import print_json as _print_json
from keeper.commands.running import complain, muster_files, reporter, say, until_told_to_stop, watch_of
from keeper.commands.stress import stress
from keeper.commands.sweep import sweep
from keeper.commands.targets import targets
from keeper.commands.train import train
from keeper.commands.workers import dispatch, work
from keeper.domain.errors import InputError

if TYPE_CHECKING:
    from keeper.chain.lens import Reading
    from keeper.domain import Past, Snapshot
    from keeper.loop import Keeper
    from keeper.ops.preflight import Surroundings
    from keeper.ops.status import Slices
    from keeper.submit.journal import Journal

FAILED, BAD_USAGE, REFUSED = 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and exits with its code."""
    sys.exit(_main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    from keeper.submit.errors import SendError

    try:
        code: int | None = app.main(args=arguments, prog_name="keeper", standalone_mode=False)
    except click.ClickException as error:
        return _stop(error.format_message(), BAD_USAGE)
    except (InputError, WrongChainError) as error:
        return _stop(str(error), BAD_USAGE)
    except Refused as refusal:
        return _stop(f"refused: {refusal}", REFUSED)
    except (RpcError, SendError) as error:
        return _stop(str(error), FAILED)
    except click.Abort:
        return _stop("interrupted", FAILED)
    return code or 0


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ballast", message="%(version)s")
def app() -> None:
    """Keeps an on-chain index on its target weights. Nothing is sent without --live."""


app.add_command(backtest)
app.add_command(targets)
app.add_command(stress)
app.add_command(sweep)
app.add_command(dispatch)
app.add_command(work)
app.add_command(train)


@app.command()
@config_option
@as_json
def check(config_path: Path, as_json: bool) -> int:
    """Look at everything that must be in order before the keeper may send."""
    from rich.text import Text

    from keeper.ops.preflight import preflight
    from keeper.report import print_table, table
    from keeper.submit.unlock import address_of

    keeper = _assemble(config_path)
    signer = keeper.config.signer
    locate = None if signer is None else lambda: address_of(signer)
    checks = preflight(keeper.endpoint, keeper.deployment, keeper.lens, locate, _surroundings(keeper, config_path))
    failed = next((found for found in checks if not found.ok), None)
    if as_json:
        _print_json(
            {
                "ok": failed is None,
                "checks": [{"name": c.name, "ok": c.ok, "detail": c.detail} for c in checks],
            }
        )
    else:
        lines = table("", "check", "what was found")
        for found in checks:
            verdict = Text("ok", style="green") if found.ok else Text("no", style="red")
            lines.add_row(verdict, found.name, found.detail)
        print_table(lines)
    return 0 if failed is None else _stop(f"{failed.name}: {failed.detail}", failed.exit_code)


@app.command()
@config_option
@as_json
def status(config_path: Path, as_json: bool) -> int:
    """Show the vault: weights against targets, drift, what its limits still allow, slices that are under way."""
    from keeper.ops.status import status_json, status_of
    from keeper.report import print_status

    keeper = _connect(config_path)
    reading = keeper.read()
    found = status_of(reading, _slices(keeper, config_path, reading))
    if as_json:
        _print_json(status_json(reading, found))
    else:
        print_status(reading, found)
    return 0


@app.command()
@config_option
@as_json
def snapshot(config_path: Path, as_json: bool) -> int:
    """Print every fact that a decision needs, at the latest block, as a snapshot file."""
    del as_json  # a snapshot has one form; the flag is there because every command has it
    click.echo(_facts(_connect(config_path), config_path).model_dump_json(indent=2))
    return 0


@app.command()
@config_option
@click.option("--snapshot", "snapshot_path", type=click.Path(path_type=Path), help="Decide on this file, offline.")
@click.option("--policy", "policy_path", type=click.Path(path_type=Path), help="Decide by this policy file.")
@click.option("--explain", is_flag=True, help="Also say where the cost goes and how good the plan is.")
@click.option("--picture", type=click.Path(path_type=Path), help="Draw the swaps into this .svg, .png or .pdf file.")
@as_json
def plan(  # noqa: PLR0917  click passes them by name
    config_path: Path,
    snapshot_path: Path | None,
    policy_path: Path | None,
    explain: bool,
    picture: Path | None,
    as_json: bool,
) -> int:
    """Decide and show the decision; send nothing. With --snapshot and --policy, touch no network either."""
    from keeper.config import read_policy, read_snapshot
    from keeper.domain import check_basket
    from keeper.picture import check_format, draw_plan
    from keeper.policy import consider
    from keeper.report import print_decision, print_explanation

    if picture is not None:
        check_format(picture)
    if as_json and explain:
        raise click.UsageError("--explain is for people: leave out --json")

    if snapshot_path is None:
        keeper = _connect(config_path)
        facts = _facts(keeper, config_path)
        policy = keeper.config.policy if policy_path is None else read_policy(policy_path)
    elif policy_path is None:
        raise click.UsageError("--snapshot needs --policy")
    else:
        facts, policy = read_snapshot(snapshot_path), read_policy(policy_path)
    check_basket(policy, facts.names)
    considered = consider(facts, policy)
    decision = considered.decision
    if as_json:
        click.echo(decision.model_dump_json(indent=2))
    else:
        print_decision(facts, decision)
    if explain:
        print_explanation(facts, considered)
    if picture is not None:
        if decision.action == "rebalance" and considered.plan is not None:
            draw_plan(facts, decision, considered.plan, picture)
        else:
            complain(f"a hold has no swaps to draw: {picture} was not written")
    return _stop(f"refused: {decision.reason}", REFUSED) if decision.refused else 0


@app.command()
@click.argument("plan_path", metavar="PLAN", type=click.Path(path_type=Path))
@click.option(
    "--snapshot", "snapshot_path", required=True, type=click.Path(path_type=Path), help="What it was made from."
)
@click.option("--policy", "policy_path", required=True, type=click.Path(path_type=Path), help="What it was made by.")
@as_json
def verify(plan_path: Path, snapshot_path: Path, policy_path: Path, as_json: bool) -> int:
    """Simulate a plan (as `plan --json` printed it) again and recompute its bound. Exit code 1 if it does not hold."""
    from keeper.config import read_plan, read_policy, read_snapshot
    from keeper.domain import check_basket
    from keeper.policy import verify as check_plan
    from keeper.report import print_verdict

    facts, policy, decision = read_snapshot(snapshot_path), read_policy(policy_path), read_plan(plan_path)
    if facts.nav == 0:
        raise InputError(f"{snapshot_path}: the vault holds nothing of value, there is nothing to verify")
    check_basket(policy, facts.names)
    verdict = check_plan(facts, policy, decision)
    if as_json:
        _print_json(
            {
                "ok": not verdict.problems,
                "problems": verdict.problems,
                "objective_usd": verdict.objective,
                "upper_bound_usd": verdict.bound,
                "gap_usd": verdict.gap,
            }
        )
    else:
        print_verdict(facts, verdict)
    return 0 if not verdict.problems else _stop(verdict.problems[0], FAILED)


@app.command()
@configs_option
@click.option("--once", is_flag=True, help="One tick, then exit.")
@click.option("--live", is_flag=True, help="Sign and send. Without it the batch is only simulated.")
@log_option
@as_json
def run(config_paths: tuple[Path, ...], once: bool, live: bool, level: str | None, as_json: bool) -> int:
    """Read, decide and rebalance: once, or at every new block until SIGTERM or SIGINT."""
    from keeper import fleet, loop

    say(level)
    report = reporter(as_json, indent=2 if once else None)
    crews = fleet.man(muster_files(config_paths, met=once), live=live)
    if not once:
        stop = until_told_to_stop()
        with closing(watch_of([keeper for keeper, _ in crews])) as watch:
            fleet.serve_all(crews, stop=stop, report=report, complain=complain, watch=watch)
        return 0
    refused = ""
    for keeper, signer in crews:
        with closing(loop.Service.open(keeper, signer)) as service:
            outcome = loop.tick(service, keeper.endpoint.header())
        report(outcome)
        refused = refused or (outcome.reason if outcome.status == "refused" else "")
    return _stop(f"refused: {refused}", REFUSED) if refused else 0


def mode_option(command: Command) -> Command:
    """`--live`: which of the two journals."""
    return click.option("--live", is_flag=True, help="The journal of --live, not that of dry runs.")(command)


@app.command()
@config_option
@mode_option
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How many, newest first.")
@as_json
def history(config_path: Path, live: bool, limit: int, as_json: bool) -> int:
    """Show what was decided and sent, and what became of it."""
    from keeper.report import history_json, print_history

    with _journal(config_path, live) as journal:
        decisions, intents = journal.decisions(limit), journal.intents(limit)
        if as_json:
            _print_json(history_json(decisions, intents))
        else:
            print_history(decisions, intents)
    return 0


@app.command()
@click.argument("decision_id", metavar="ID", type=int)
@config_option
@mode_option
@as_json
def replay(decision_id: int, config_path: Path, live: bool, as_json: bool) -> int:
    """Decide again on the facts of a decision, and say whether it comes out the same. Exit code 1 if not."""
    from keeper.policy import decide

    with _journal(config_path, live) as journal:
        facts, policy, before = journal.facts(decision_id)
    again = decide(facts, policy)
    same = again == before
    if as_json:
        _print_json(
            {"same": same, "then": json.loads(before.model_dump_json()), "now": json.loads(again.model_dump_json())}
        )
    else:
        click.echo(f"then: {before.action}: {before.reason}")
        click.echo(f"now:  {'the same' if same else f'{again.action}: {again.reason}'}")
    return 0 if same else _stop(f"decision {decision_id} comes out differently now", FAILED)


@app.command()
@click.argument("why")
@config_option
@click.option("--live", is_flag=True, help="Only the keeper that runs with --live, not the one that runs dry.")
@as_json
def halt(why: str, config_path: Path, live: bool, as_json: bool) -> int:
    """Let the keeper trade no more, for the reason WHY; it goes on watching and reporting."""
    _control(config_path, live, lambda journal: journal.halt(why))
    click.echo(json.dumps({"halted": why}) if as_json else f"halted: {why}")
    return 0


@app.command()
@config_option
@click.option("--live", is_flag=True, help="Only the keeper that runs with --live, not the one that runs dry.")
@as_json
def resume(config_path: Path, live: bool, as_json: bool) -> int:
    """Take a halt back, and the breakers that wait for a person."""
    _control(config_path, live, lambda journal: journal.resume())
    click.echo(json.dumps({"halted": None}) if as_json else "resumed")
    return 0


def _control(config_path: Path, live: bool, act: Callable[[Journal], None]) -> None:
    """Acts on the live keeper's journal and, unless only ``live``, on the dry one's: whoever halts means both."""
    from keeper.submit.journal import NoJournalYet

    absent = []
    for mode in (True,) if live else (True, False):
        try:
            with _journal(config_path, mode) as journal:
                act(journal)
        except NoJournalYet:
            absent.append(mode)
    if len(absent) == (1 if live else 2):  # no keeper has run yet: the first one finds it said
        for mode in absent:
            with _journal(config_path, mode, create=True) as journal:
                act(journal)


@app.command()
@click.argument("out_path", metavar="FILE", type=click.Path(path_type=Path))
@config_option
@mode_option
@as_json
def export(out_path: Path, config_path: Path, live: bool, as_json: bool) -> int:
    """Write all batches and what they did into a .csv or .parquet FILE."""
    from keeper.ops.export import export_intents

    with _journal(config_path, live) as journal:
        count = export_intents(journal.intents(10**9), out_path)
    click.echo(json.dumps({"batches": count}) if as_json else f"{count} batches written to {out_path}")
    return 0


@contextmanager
def _journal(config_path: Path, live: bool, *, create: bool = False) -> Iterator[Journal]:
    """The journal of a mode; the chain is not asked. Who only looks does not ``create`` it."""
    import time

    from keeper.chain.deployment import Deployment
    from keeper.config import Config
    from keeper.submit.journal import Journal, Store

    config = Config.load(config_path)
    deployment = Deployment.load(config.deployment)
    store = Store(config.journal_url("live" if live else "dry"), create=create)
    try:
        yield Journal(store, deployment.chain_id, deployment.vault, deployment.deployment_block.hash, time.time)
    finally:
        store.close()


@app.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8545, show_default=True, help="0 for any free port.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same chain.")
@click.option("--load", "load_path", type=click.Path(path_type=Path), help="Start from a state written by --dump.")
@click.option("--dump", "dump_path", type=click.Path(path_type=Path), help="Write the state here when it ends.")
@as_json
def devnet(port: int, seed: int, load_path: Path | None, dump_path: Path | None, as_json: bool) -> int:
    """Run the offline mainnet until SIGTERM or SIGINT: real bytecode at real addresses, chain id 1."""
    from keeper.devnet import serve

    def progress(line: str) -> None:
        click.echo(json.dumps({"event": line}) if as_json else line)

    serve(port=port, seed=seed, state=load_path, dump=dump_path, progress=progress)
    return 0


def _facts(keeper: Keeper, config_path: Path) -> Snapshot:
    """What the chain says now, with what the keeper's journal, if there is one, knows of the time before."""
    facts = keeper.read().snapshot()
    return facts.model_copy(update={"past": _past(keeper, config_path, facts)})


def _past(keeper: Keeper, config_path: Path, facts: Snapshot) -> Past | None:
    from keeper.loop import past_of

    for live in (True, False):
        try:
            with _journal(config_path, live) as journal:
                if journal.past()[0] is not None:
                    return past_of(keeper, journal, facts)[0]
        except InputError:
            continue  # no journal yet, or one that the keeper has still to bring up to date
    return None


def _slices(keeper: Keeper, config_path: Path, reading: Reading) -> Slices | None:
    """The slices that are under way; None too while the oracle refuses, without which nothing can be decided."""
    from keeper.chain.errors import OracleRefused
    from keeper.loop import past_of
    from keeper.ops.status import slices_of
    from keeper.policy.schedule import under_way

    try:
        facts = reading.snapshot()
        with _journal(config_path, live=True) as journal:
            past, sent = past_of(keeper, journal, facts)[0], journal.open_batch()
            decision = None if sent is None else journal.decision_of(sent)
    except (OracleRefused, InputError):  # no journal yet, or one that the keeper has still to bring up to date
        return None
    return slices_of(under_way(past, facts, keeper.config.policy), decision, in_flight=sent is not None)


def _surroundings(keeper: Keeper, config_path: Path) -> Surroundings:
    """What `check` looks at beside the chain. A rehearsal on a development node has its own time and no secrets."""
    import time

    from keeper.chain.endpoints import Endpoints
    from keeper.ops.preflight import Surroundings
    from keeper.submit.journal import NoJournalYet, Store
    from keeper.submit.keys import Keystore

    config = keeper.config
    members = keeper.endpoint.members if isinstance(keeper.endpoint, Endpoints) else (keeper.endpoint,)

    def database() -> str:
        # Whoever looks may be another user than the keeper, who could then not open what was made here.
        try:
            store = Store(config.journal_url("live"), create=False)
        except NoJournalYet as none:
            return str(none)
        store.close()
        return store.name

    try:
        rehearsal = keeper.endpoint.is_development_node()
    except RpcError:  # `check` finds out by itself, and says so
        rehearsal = True
    signer = config.signer
    return Surroundings(
        endpoints=() if len(members) == 1 else members,
        clock=None if rehearsal else time.time,
        files=() if rehearsal else (config_path, *([signer.path] if isinstance(signer, Keystore) else [])),
        database=database,
        policy=config.policy,
    )


def _assemble(config_path: Path) -> Keeper:
    from keeper.config import Config
    from keeper.loop import Keeper

    return Keeper.assemble(Config.load(config_path))


def _connect(config_path: Path) -> Keeper:
    keeper = _assemble(config_path)
    keeper.check_chain()
    return keeper


def _stop(reason: str, code: int) -> int:
    complain(reason)
    return code
