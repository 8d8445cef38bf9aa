"""The command `keeper stress`."""

# What a command needs it imports when it runs, as in `keeper.cli`.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keeper.commands.options import as_json, print_json, written_later
from keeper.domain.errors import InputError

if TYPE_CHECKING:
    from keeper.config import Config
    from keeper.stress.result import Result
    from keeper.submit.deployer import DeployConfig

FAILED = 1


@click.command()
@click.option("--policy", "policy_path", type=click.Path(path_type=Path), help="The policy that is tried.")
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help="Configuration file: policy, venues and breakers; examples/keeper.yaml without it.",
)
@click.option(
    "--deploy",
    "deploy_path",
    type=click.Path(path_type=Path),
    help="The vault and its limits, as `ape run deploy` takes it; examples/deploy.yaml without it.",
)
@click.option("--scenario", "names", multiple=True, help="Only this one; may be given more than once.")
@click.option(
    "--where",
    type=click.Choice(["chain", "simulation", "both"]),
    default="both",
    show_default=True,
    help="On the embedded chain, in the backtest's simulated market, or both.",
)
@click.option("--delta", default="0.05", show_default=True, help="By how much a wrong feed is wrong; fraction.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of whatever is random.")
@click.option(
    "--out", "out_path", type=click.Path(path_type=Path), help="Also write the results, as JSON, into this file."
)
@as_json
def stress(  # noqa: PLR0917  click passes them by name
    policy_path: Path | None,
    config_path: Path | None,
    deploy_path: Path | None,
    names: tuple[str, ...],
    where: str,
    delta: str,
    seed: int,
    out_path: Path | None,
    as_json: bool,
) -> int:
    """Put a policy and a vault through bad days. Exit code 1 if a published bound did not hold.

    On the embedded chain, against the real contracts: a feed frozen, a feed wrong, a depeg, a sandwich around our
    block, a stolen key that takes all the guard lets it, and many at once. In the backtest's market: a flash crash, a
    depeg, feeds frozen and wrong, gas times 100, liquidity gone, correlation to one, and many at once. Losses are held
    against the theorem of docs/threat-model.md, with the limits of the vault that was deployed.
    """
    from keeper.stress.report import print_results

    if out_path is not None:
        written_later(out_path)
    config, deployment = _given(policy_path, config_path, deploy_path)
    wrong = _fraction(delta)
    on_chain, simulated = _chosen(names, where)
    results = [
        *(_on_chain(config, deployment, on_chain, wrong, seed) if on_chain else ()),
        *(_simulated(config, deployment, simulated, wrong, seed) if simulated else ()),
    ]
    report = {
        "delta": float(delta),
        "seed": seed,
        "limits": {name: str(value) for name, value in deployment.limits.model_dump().items()},
        "policy": json.loads(config.policy.model_dump_json()),
        "ok": all(result.held for result in results),
        "results": [result.to_json() for result in results],
    }
    if out_path is not None:
        out_path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if as_json:
        print_json(report)
    else:
        print_results(results)
    broken = [(result, check) for result in results for check in result.checks if not check.held]
    for result, check in broken[:1]:
        click.echo(
            f"keeper: {result.scenario}: {check.name} are {check.measured / 1e16:.4g}% of NAV, above the bound of"
            f" {(check.limit or 0) / 1e16:.4g}%",
            err=True,
        )
    return FAILED if broken else 0


def _given(policy: Path | None, config: Path | None, deploy: Path | None) -> tuple[Config, DeployConfig]:
    from keeper.chain.artifacts import ROOT
    from keeper.config import Config, read_policy
    from keeper.domain import check_basket
    from keeper.stress.arena import symbols_of
    from keeper.submit.deployer import DeployConfig

    examples = ROOT / "examples"
    chosen = Config.load(config or examples / "keeper.yaml")
    if policy is not None:
        chosen = chosen.model_copy(update={"policy": read_policy(policy)})
    deployment = DeployConfig.load(deploy or examples / "deploy.yaml")
    tokens = [asset.token for asset in deployment.assets]
    check_basket(chosen.policy, list(zip(symbols_of(deployment), tokens, strict=True)))
    return chosen, deployment


def _chosen(names: tuple[str, ...], where: str) -> tuple[list[str], list[str]]:
    """The scenarios to play on the chain, and those to simulate."""
    from keeper.stress import onchain, simulated

    found = [
        list(known) if where in (place, "both") else []
        for place, known in (("chain", onchain.NAMES), ("simulation", simulated.NAMES))
    ]
    known = list(dict.fromkeys(name for place in found for name in place))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f'there is no scenario "{unknown[0]}" here: choose from {"; ".join(known)}')
    on_chain, in_simulation = ([name for name in place if not names or name in names] for place in found)
    return on_chain, in_simulation


def _simulated(
    config: Config, deployment: DeployConfig, chosen: Sequence[str], delta: Decimal, seed: int
) -> Iterator[Result]:
    from keeper.backtest import Setup
    from keeper.stress import simulated
    from keeper.stress.arena import symbols_of

    basket = dict(zip(symbols_of(deployment), (asset.weight for asset in deployment.assets), strict=True))
    setup = Setup(basket=basket, limits=deployment.limits, seed=seed)
    for number, name in enumerate(chosen, 1):
        _say(f"simulation {number} of {len(chosen)}: {name}")
        yield simulated.play(setup, config.policy, name, delta, seed)


def _on_chain(
    config: Config, deployment: DeployConfig, chosen: Sequence[str], delta: Decimal, seed: int
) -> Iterator[Result]:
    import tempfile

    from keeper.devnet import Devnet
    from keeper.stress import onchain
    from keeper.stress.arena import Arena

    with tempfile.TemporaryDirectory() as directory, Devnet.start(progress=_say) as devnet:
        _say("deploying the vault on the embedded chain")
        arena = Arena(devnet, deployment, config, Path(directory))
        for number, name in enumerate(chosen, 1):
            _say(f"chain {number} of {len(chosen)}: {name}")
            yield onchain.play(arena, name, delta, seed)


def _fraction(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise InputError(f"--delta must be a fraction, got {text!r}") from None
    if not (value.is_finite() and 0 <= value < 1):
        raise InputError(f"--delta must be at least 0 and below 1, got {text}")
    return value


def _say(line: str) -> None:
    click.echo(f"· {line}", err=True)
