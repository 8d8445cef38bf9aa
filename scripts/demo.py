"""`ape run demo`: the whole of Ballast on the embedded chain, in under two minutes.

Starts the offline mainnet, deploys the vault of `examples/deploy.yaml`, lets a day of prices pass by the hour, and runs
the keeper of `examples/keeper.yaml` live after each of them.
"""

import json
import os
import random
import time
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from keeper.chain.lens import Reading
from keeper.config import Config
from keeper.devnet import DEV_KEYS, Devnet
from keeper.devnet.world import transact
from keeper.domain.snapshot import Snapshot
from keeper.loop import Keeper, Outcome, Service, tick
from keeper.report import print_decision
from keeper.submit.deployer import DeployConfig, deploy
from keeper.submit.keys import EnvironmentKey
from keeper.submit.sender import Realised
from keeper.submit.unlock import unlock
from keeper.units import BPS, WAD, format_units, percent, usd, value_of

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / ".ballast"
HOURS = 24
# A day in which ether runs ahead and LINK falls behind. Drift and noise per hour, as fractions.
TRENDS = {"WETH": (0.009, 0.006), "WBTC": (0.001, 0.004), "LINK": (-0.008, 0.008), "UNI": (0.003, 0.008)}


@dataclass
class Run:
    """What happened, for the file and the picture: weights (twice for an hour with a batch), batches by hour."""

    symbols: list[str]
    targets: list[float]
    weights: list[tuple[int, list[float]]] = field(default_factory=list)
    batches: dict[int, Outcome] = field(default_factory=dict)


@click.command()
def cli() -> None:
    """Rebalances a real basket through real DEX bytecode, on a chain that starts here."""
    started = time.monotonic()
    with Devnet.start(progress=_say) as devnet:
        _say(f"the offline mainnet runs at {devnet.url}: chain 1, {len(devnet.pools())} pools of Uniswap and Balancer")
        keeper = _deploy(devnet)
        run = _simulate(devnet, keeper)
    if not run.batches:
        raise click.ClickException("the keeper never rebalanced; this should not happen: please report it")
    _save(run)
    _say(f"done in {time.monotonic() - started:.0f} s")


def _deploy(devnet: Devnet) -> Keeper:
    config = DeployConfig.load(ROOT / "examples" / "deploy.yaml")
    deployer = DEV_KEYS[0].address
    deployment = deploy(
        devnet.endpoint, config, deployer, lambda to, data: transact(devnet.endpoint, to, data, sender=deployer), _say
    )
    deployment.save(OUT / "demo-deployment.json")
    _say(f"vault {deployment.vault}: {config.name} ({config.symbol})")

    example = Config.load(ROOT / "examples" / "keeper.yaml")
    for left_over in OUT.glob("demo-journal-*"):
        left_over.unlink()
    return Keeper.assemble(
        example.model_copy(
            update={
                "chain": example.chain.model_copy(update={"rpc_url": devnet.url}),
                "deployment": OUT / "demo-deployment.json",
                "journal": f"sqlite:///{OUT}/demo-journal-{{mode}}.sqlite",
                "sending": example.sending.model_copy(update={"poll_seconds": 0.05}),
            }
        )
    )


def _simulate(devnet: Devnet, keeper: Keeper) -> Run:
    """Lets hours of prices pass; after each, one tick of the live keeper."""
    os.environ["BALLAST_KEEPER_KEY"] = DEV_KEYS[1].private_key
    signer = unlock(EnvironmentKey(kind="environment", variable="BALLAST_KEEPER_KEY"))
    keeper.check_chain()
    basket = keeper.read().snapshot()
    run = Run(_symbols(basket), [asset.target_weight / WAD for asset in basket.vault.assets])
    service = Service.open(keeper, signer)
    prices, chance = devnet.prices(), random.Random(5)  # noqa: S311 - a made-up market, reproducible
    for hour in range(1, HOURS + 1):
        for symbol, (trend, noise) in TRENDS.items():
            prices[symbol] = round(prices[symbol] * Decimal(1 + chance.gauss(trend, noise)), 8)
        devnet.mine(seconds=3600)
        devnet.refresh_feeds()
        devnet.move_prices({symbol: prices[symbol] for symbol in TRENDS})
        before = keeper.read()
        outcome = tick(service, devnet.endpoint.header())
        run.weights.append((hour, _weights(before)))
        click.echo(f"hour {hour:2}  drift {percent(_drift(before)):>7}  {_in_short(outcome)}")
        if outcome.status == "confirmed":
            run.batches[hour] = outcome
            after = keeper.read()
            run.weights.append((hour, _weights(after)))
            _explain(before, after, outcome)
    service.close()
    return run


def _explain(before: Reading, after: Reading, outcome: Outcome) -> None:
    """Route, weights before and after, and what it cost."""
    decision, done = outcome.decision, outcome.realised
    if decision is None or done is None:
        raise ValueError(f"a {outcome.status} tick has nothing to explain")
    click.echo()
    print_decision(before.snapshot(), decision)
    table = Table("asset", "before", "after", "target", box=None)
    rows = zip(_symbols(before.snapshot()), _weights(before), _weights(after), before.vault.targets, strict=True)
    for symbol, old, new, target in rows:
        table.add_row(symbol, f"{old:.2%}", f"{new:.2%}", f"{target / WAD:.2%}")
    Console(highlight=False).print(table)
    gas_usd = done.gas_used * done.gas_price * before.snapshot().native_price // 10**18
    click.echo(
        f"cost {usd(done.nav_before - done.nav_after)} in the pools "
        f"({(done.nav_before - done.nav_after) / done.nav_before * BPS:.2f} bp of NAV), {usd(gas_usd)} for "
        f"{done.gas_used} gas; drift {percent(done.drift_before)} -> {percent(done.drift_after)}; every amount "
        f"{'as predicted, to the wei' if done.predicted == done.realised else 'NOT as predicted'}\n"
    )


def _in_short(outcome: Outcome) -> str:
    # A hold says first what the policy is, which is the same every hour, and then how near it came.
    return (
        outcome.status if outcome.status == "confirmed" else f"{outcome.status}: {outcome.reason.rpartition(': ')[2]}"
    )


def _save(run: Run) -> None:
    """`.ballast/demo.json` (the last batch, and all of them under `batches`) and `.ballast/demo.svg`."""
    batches = [{"hour": hour, **_record(outcome.realised)} for hour, outcome in run.batches.items() if outcome.realised]
    (OUT / "demo.json").write_text(json.dumps({**batches[-1], "batches": batches}, indent=2) + "\n", encoding="utf-8")
    _draw(run, OUT / "demo.svg")
    _say(f"wrote {OUT / 'demo.json'} and {OUT / 'demo.svg'}")


def _record(done: Realised) -> dict[str, Any]:
    """Drift as fractions, NAV in USD, raw token amounts as decimal strings."""
    return {
        "transaction": done.transaction,
        "drift_before": done.drift_before / WAD,
        "drift_after": done.drift_after / WAD,
        "nav_before": float(format_units(done.nav_before, 18)),
        "nav_after": float(format_units(done.nav_after, 18)),
        "predicted": {token: str(amount) for token, amount in done.predicted.items()},
        "realised": {token: str(amount) for token, amount in done.realised.items()},
        "gas_used": done.gas_used,
    }


def _draw(run: Run, path: Path) -> None:
    """How far each weight is from its target over the run; a batch pulls them back."""
    import matplotlib as mpl  # noqa: PLC0415 - a second to import, needed only at the end

    mpl.use("Agg")
    # The same run draws the same bytes.
    mpl.rcParams.update({"svg.hashsalt": "ballast", "font.family": "sans-serif", "font.size": 10})
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    axes.axhline(0, color="0.4", linewidth=1)
    for index, symbol in enumerate(run.symbols):
        hours = [hour for hour, _ in run.weights]
        points = [100 * (row[index] - run.targets[index]) for _, row in run.weights]
        axes.plot(hours, points, marker=".", label=f"{symbol}, target {run.targets[index]:.0%}")
    for number, hour in enumerate(run.batches):
        axes.axvline(hour, color="0.6", linestyle=":", label="rebalance" if number == 0 else None)
    axes.set(xlabel="hour", ylabel="weight off its target, percentage points", xlim=(1, HOURS + 0.5))
    axes.set_title("Weights of the demo vault: the keeper trades when one leaves its band", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(ncols=3, frameon=False, loc="outside lower center", fontsize=9)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _symbols(snapshot: Snapshot) -> list[str]:
    return [snapshot.symbol(asset.token) for asset in snapshot.vault.assets]


def _values(reading: Reading) -> list[int]:
    return [
        value_of(balance, facts.price, facts.token.decimals)
        for balance, facts in zip(reading.vault.balances, reading.basket, strict=True)
    ]


def _weights(reading: Reading) -> list[float]:
    values = _values(reading)
    return [value / sum(values) for value in values]


def _drift(reading: Reading) -> int:
    return int(WAD * sum(abs(w - t / WAD) for w, t in zip(_weights(reading), reading.vault.targets, strict=True)))


def _say(line: str) -> None:
    click.echo(f"· {line}")
