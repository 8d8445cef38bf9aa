"""The command `keeper stress`."""

# What a command needs it imports when it runs, as in `keeper.cli`.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

import click

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
@click.option("--delta", default="0.05", show_default=True, help="By how much a wrong feed is wrong; fraction.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of whatever is random.")
@click.option(
    "--out", "out_path", type=click.Path(path_type=Path), help="Also write the results, as JSON, into this file."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def stress(  # noqa: PLR0917  click passes them by name
    policy_path: Path | None,
    config_path: Path | None,
    deploy_path: Path | None,
    names: tuple[str, ...],
    delta: str,
    seed: int,
    out_path: Path | None,
    as_json: bool,
) -> int:
    """Put a policy and a vault through bad days. Exit code 1 if a published bound did not hold.

    On the embedded chain, against the real contracts: a feed frozen, a feed wrong, a depeg, a sandwich around our
    block, a stolen key that takes all the guard lets it, and many at once. The losses are held against the theorem of
    docs/threat-model.md, with the limits of the vault that was deployed.
    """
    from keeper.stress.report import print_results

    config, deployment = _given(policy_path, config_path, deploy_path)
    results = list(_played(config, deployment, names, _fraction(delta), seed))
    report = {
        "delta": float(delta),
        "seed": seed,
        "limits": {name: str(value) for name, value in deployment.limits.model_dump().items()},
        "policy": json.loads(config.policy.model_dump_json()),
        "ok": all(result.held for result in results),
        "results": [result.to_json() for result in results],
    }
    if out_path is not None:
        _write(out_path, json.dumps(report, indent=2) + "\n")
    if as_json:
        click.echo(json.dumps(report, indent=2))
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
    from keeper.submit.deployer import DeployConfig

    examples = ROOT / "examples"
    chosen = Config.load(config or examples / "keeper.yaml")
    if policy is not None:
        chosen = chosen.model_copy(update={"policy": read_policy(policy)})
    return chosen, DeployConfig.load(deploy or examples / "deploy.yaml")


def _played(
    config: Config, deployment: DeployConfig, names: tuple[str, ...], delta: Decimal, seed: int
) -> Iterator[Result]:
    import tempfile

    from keeper.devnet import Devnet
    from keeper.stress import onchain
    from keeper.stress.arena import Arena

    unknown = [name for name in names if name not in onchain.NAMES]
    if unknown:
        raise InputError(f'there is no scenario "{unknown[0]}": choose from {", ".join(onchain.NAMES)}')
    chosen = [name for name in onchain.NAMES if not names or name in names]
    with tempfile.TemporaryDirectory() as directory, Devnet.start(progress=_say) as devnet:
        _say("deploying the vault on the embedded chain")
        arena = Arena(devnet, deployment, config, Path(directory))
        for number, name in enumerate(chosen, 1):
            _say(f"{number} of {len(chosen)}: {name}")
            yield onchain.play(arena, name, delta, seed)


def _fraction(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise InputError(f"--delta must be a fraction, got {text!r}") from None
    if not 0 <= value < 1:
        raise InputError(f"--delta must be at least 0 and below 1, got {text}")
    return value


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def _say(line: str) -> None:
    click.echo(f"· {line}", err=True)
