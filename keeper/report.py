"""What people read: the vault's state, a decision, an outcome, as text. Programs read `--json` instead."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from keeper.units import WAD, format_units, percent, usd

if TYPE_CHECKING:
    from keeper.chain.lens import Reading
    from keeper.domain.decision import Decision
    from keeper.domain.snapshot import Snapshot
    from keeper.loop import Outcome
    from keeper.ops.status import Slices, Status
    from keeper.policy import Considered, Verdict
    from keeper.submit.journal import Intent
    from keeper.submit.journal.models import Decision as Decided

_PIPE_WIDTH = 10_000
_BINDING = 5e-5
"""USD for a dollar more of a limit; the solver leaves less than that where one does not bind."""


def table(*columns: str) -> Table:
    """A table without lines; columns named with a leading ">" are set flush right."""
    made = Table(box=None, pad_edge=False)
    for column in columns:
        made.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left")
    return made


def print_table(made: Table) -> None:
    """Prints to the width of the terminal, or to any width into a pipe."""
    # No markup: a token may call itself "[red]".
    Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(made)


def print_status(reading: Reading, found: Status) -> None:
    """Weights against targets, and what the vault would allow now."""
    vault = reading.vault
    assets = table("asset", ">balance", ">value", ">weight", ">target", ">off by", "price")
    for asset in found.assets:
        token = asset.facts.token
        age = reading.block.timestamp - asset.facts.price_updated_at
        off = None if asset.weight is None else asset.weight - asset.target
        assets.add_row(
            token.symbol,
            _rounded(asset.balance, token.decimals),
            "?" if asset.value is None else usd(asset.value),
            "?" if asset.weight is None else percent(asset.weight),
            percent(asset.target),
            "?" if off is None else f"{off * 100 / WAD:+.2f}",
            asset.refusal or f"{usd(asset.facts.price)}, {age} s old",
        )
    print_table(assets)
    drift = "?" if found.drift is None else percent(found.drift)
    lines = {
        "vault": vault.address + (" (rebalancing is paused)" if vault.paused else ""),
        "block": str(reading.block.number),
        "NAV": "?" if found.nav is None else usd(found.nav),
        "drift": f"{drift} (dead band {percent(vault.limits.dead_band)})",
        "headroom": f"loss {percent(vault.loss_headroom)}, turnover {percent(vault.turnover_headroom)}",
        "cooldown": f"{found.cooldown} s left" if found.cooldown else "over",
        "nonce": str(vault.nonce),
        "keeper": vault.keeper,
    }
    if found.slices is not None:
        lines["slices"] = _slices(found.slices, reading.block.timestamp)
    for name, text in lines.items():
        click.echo(f"{name:<10}{text}")


def _slices(slices: Slices, now: int) -> str:
    programme = slices.programme
    state = f"due in {programme.next_at - now} s" if programme.next_at > now else "due"
    return (
        f"{programme.done + 1} of {programme.slices} {'is sent and not final yet' if slices.in_flight else state};"
        f" down to a drift of {percent(programme.goal_drift)}, given up in {programme.deadline - now} s"
    )


def print_decision(facts: Snapshot, decision: Decision) -> None:
    """The action with its reason, and the route."""

    def amount(raw: int, token: str) -> str:
        return f"{_rounded(raw, facts.token[token].decimals)} {facts.symbol(token)}"

    click.echo(f"{decision.action}: {decision.reason}")
    if decision.swaps:
        kinds = {pool.name: f"{pool.kind} {100 * pool.fee_fraction:g}%" for pool in facts.pools}
        swaps = table("swap", ">in", ">out", "pool")
        for number, swap in enumerate(decision.swaps, 1):
            sent, received = amount(swap.amount_in, swap.token_in), amount(swap.amount_out, swap.token_out)
            swaps.add_row(str(number), sent, received, f"{kinds[swap.pool]} {swap.pool[:6]}…{swap.pool[-4:]}")
        print_table(swaps)
    for sell in decision.sells:
        click.echo(f"sell {amount(sell.amount, sell.token)}")
    for buy in decision.buys:
        click.echo(f"buy  {amount(buy.amount, buy.token)}, at least {amount(buy.min_amount, buy.token)}")


def print_explanation(facts: Snapshot, considered: Considered) -> None:
    """Where the cost goes, what the certificate says, which pools were left out and why."""
    from keeper.policy.costs import costs_of  # noqa: PLC0415 - the solver takes a second to import
    from keeper.routing.verify import upper_bound  # noqa: PLC0415

    decision, plan = considered.decision, considered.plan
    if plan is None or plan.certificate is None:
        click.echo("nothing was solved for: the reason above came first")
        return
    problem, certificate = plan.problem, plan.certificate
    basis = 1e4 / problem.nav_usd
    if decision.action == "rebalance":
        costs = costs_of(plan, {buy.token: buy.min_amount for buy in decision.buys})
        lines = table("where the cost goes", ">USD", ">bp of NAV")
        for name, value in (
            ("pool prices off the oracle's", costs.off_oracle),
            ("pool fees", costs.fees),
            ("price impact", costs.impact),
            (f"gas ({plan.gas_units:,} units)", costs.gas),
            ("sum", costs.off_oracle + costs.fees + costs.impact + costs.gas),
            ("the same with pool prices inside the feeds' band", costs.at_pools + costs.gas),
            ("a sandwich can take at most", costs.exposure),
        ):
            lines.add_row(name, f"{value:,.4f}", f"{value * basis:,.4f}")
        print_table(lines)
    held = decision.action == "hold"
    objective = problem.hold if held else certificate.objective
    proof = table("certificate", ">USD", ">bp of NAV")
    for name, value in (
        ("holding is worth", problem.hold),
        ("the plan is worth", objective),
        ("no plan is worth more than", max(certificate.bound, objective)),
        ("so it is short of the best by at most", max(certificate.bound - objective, 0.0)),
        ("of which from one pair per pool", certificate.structural),
        ("of which from value that nobody takes", certificate.unwanted),
    ):
        proof.add_row(name, f"{value:,.6f}", f"{value * basis:,.6f}")
    if considered.left_out:
        everything = upper_bound(replace(problem, pools=facts.pools), certificate.dual)
        proof.add_row("the bound with the pools left out", f"{everything:,.6f}", f"{everything * basis:,.6f}")
    print_table(proof)
    names = ("value for value", "loss", "turnover", "progress")
    for name, multiplier in zip(names, certificate.multipliers, strict=False):
        if multiplier >= _BINDING:
            click.echo(f"the vault's limit on {name} binds: a dollar more of it would be worth ${multiplier:.4f}")
    for entry in considered.left_out:
        click.echo(f"left out: {entry.pool}, {entry.why}")
    for name in dict.fromkeys(plan.dropped):
        click.echo(f"cut short: {name}, its input would come in only later")


def print_verdict(facts: Snapshot, verdict: Verdict) -> None:
    """What is wrong with a plan, and its figures as recomputed."""
    for problem in verdict.problems:
        click.echo(f"wrong: {problem}")
    click.echo(f"worth {_dollars(verdict.objective)}")
    if verdict.bound is not None and verdict.gap is not None:
        share = verdict.gap * WAD / facts.nav * 1e4
        click.echo(f"no plan is worth more than {_dollars(verdict.bound)}: the gap is {share:.6f} bp of NAV")
    if not verdict.problems:
        click.echo("every swap pays what the plan says")


def _dollars(value: float) -> str:
    return f"{'-' if value < 0 else ''}${abs(value):,.6f}"


def print_outcome(outcome: Outcome) -> None:
    """What a tick came to, and for a batch that was sent what it did."""
    click.echo(f"block {outcome.block_number}: {outcome.status}: {outcome.reason}")
    if outcome.status == "planned":
        click.echo("dry run: the batch passed its simulation and was not sent; --live sends it")
    if (done := outcome.realised) is not None:
        click.echo(
            f"transaction {done.transaction} in block {done.block_number}: drift {percent(done.drift_before)} -> "
            f"{percent(done.drift_after)}, NAV {usd(done.nav_before)} -> {usd(done.nav_after)}, "
            f"cost {usd(done.realised_cost)} in the pools ({usd(done.predicted_cost)} planned), "
            f"{done.gas_used} gas; amounts are {'' if done.predicted == done.realised else 'not '}those predicted"
        )


def print_history(decisions: Sequence[Decided], intents: Sequence[Intent]) -> None:
    """Decisions and batches, newest first."""
    lines = table(">id", "when", ">block", ">ticks", "what", "why")
    for row in decisions:
        lines.add_row(str(row.id), _when(row.at), str(row.block_number), str(row.ticks), row.status, row.reason)
    print_table(lines)
    batches = table(">batch", "when", "state", ">tries", ">nonces", "what became of it")
    for intent in intents:
        nonces = f"{intent.account_nonce}/{intent.vault_nonce}"
        batches.add_row(
            str(intent.id),
            _when(intent.created_at),
            intent.state,
            str(len(intent.attempts)),
            nonces,
            intent.why or "open",
        )
    if intents:
        print_table(batches)


def history_json(decisions: Sequence[Decided], intents: Sequence[Intent]) -> dict[str, object]:
    """The same for programs; nothing in it could be sent."""
    return {
        "decisions": [
            {
                "id": row.id,
                "at": row.at,
                "block_number": row.block_number,
                "ticks": row.ticks,
                "status": row.status,
                "reason": row.reason,
                "replayable": row.body is not None,
            }
            for row in decisions
        ],
        "batches": [
            {
                "id": intent.id,
                "created_at": intent.created_at,
                "closed_at": intent.closed_at,
                "state": str(intent.state),
                "why": intent.why,
                "account_nonce": intent.account_nonce,
                "vault_nonce": intent.vault_nonce,
                "attempts": [
                    {"kind": attempt.kind, "hash": attempt.hash, "route": attempt.route, "error": attempt.error}
                    for attempt in intent.attempts
                ],
            }
            for intent in intents
        ],
    }


def _when(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _rounded(raw: int, decimals: int) -> str:
    """A raw amount in whole tokens, cut to what a person reads; JSON has every digit."""
    whole, _, part = format_units(raw, decimals).partition(".")
    return f"{whole}.{part[:6]}" if part else whole
