"""`keeper targets` against a real vault: what it prints is what the timelock takes."""

import csv
import json

import numpy as np
import pytest
from stage import OWNER, STRANGER, Stage

from keeper.chain import bindings
from keeper.chain.errors import NodeError
from keeper.cli import main
from keeper.devnet.world import transact
from keeper.market import PricePath
from keeper.policy.targets import RiskParity, least_glide, propose

pytestmark = pytest.mark.chain


@pytest.fixture
def stage(devnet, tmp_path, monkeypatch):
    monkeypatch.setenv("KEEPER_KEY", Stage.key)
    return Stage(devnet, tmp_path)


@pytest.fixture
def prices(stage, tmp_path):
    """A price file of the vault's basket, and the path that is in it."""
    symbols = tuple(facts.token.symbol for facts in stage.keeper.read().basket)
    path = PricePath(symbols=symbols, steps=40, step=86_400, seed=4)
    file = tmp_path / "prices.csv"
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["time", "symbol", "close"])
        writer.writerows(
            (time, symbol, repr(price))
            for time, found in path
            for symbol, price in zip(symbols, found.tolist(), strict=True)
        )
    return file, path


@pytest.fixture
def method(tmp_path):
    file = tmp_path / "method.yaml"
    file.write_text("kind: risk_parity\ndays: 30\n")
    return file


@pytest.fixture
def run(stage, prices, method, capsys):
    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            main(
                [
                    "targets",
                    "--prices",
                    str(prices[0]),
                    "--config",
                    str(stage.path),
                    "--method",
                    str(method),
                    *arguments,
                ]
            )
        return int(exited.value.code or 0), *capsys.readouterr()

    return run


def view(stage, contract, function):
    return bindings.view(stage.endpoint, contract, stage.deployment.vault, function, block="latest")


def send(stage, call, sender):
    return transact(stage.endpoint, call["to"], bytes.fromhex(call["data"][2:]), sender=sender.address)


def test_the_timelock_takes_the_printed_calldata_and_the_targets_glide_to_what_was_proposed(stage, prices, run):
    code, out, _ = run("--json")
    found = json.loads(out)
    assert code == 0
    path = prices[1]
    expected = propose(RiskParity(days=30), path.symbols, np.array([row for _, row in path]))
    assert tuple(map(int, found["after"])) == expected
    before = view(stage, "IndexVault", "targets")
    assert tuple(map(int, found["before"])) == before

    send(stage, found["submit"], OWNER)
    stage.devnet.mine(seconds=found["timelock_seconds"])
    send(stage, found["accept"], STRANGER)
    assert view(stage, "IndexVault", "targets") == before
    stage.devnet.mine(seconds=found["duration_seconds"])
    assert view(stage, "IndexVault", "targets") == expected


def test_the_shortest_glide_is_the_vaults_own(stage, run):
    found = json.loads(run("--json")[1])
    weights, least = list(map(int, found["after"])), found["duration_seconds"]
    assert least == least_glide(weights, list(map(int, found["before"])))

    abi = bindings.interface("IVaultChanges")
    data = abi.encode("setTargets", found["tokens"], weights, least - 1)
    admin = bindings.interface("VaultAdmin")
    transact(stage.endpoint, found["vault"], admin.encode("submit", data), sender=OWNER.address)
    stage.devnet.mine(seconds=found["timelock_seconds"])
    call = {"from": OWNER.address, "to": found["vault"], "data": "0x" + admin.encode("accept", data).hex()}
    with pytest.raises(NodeError) as raised:
        stage.endpoint.request("eth_call", call, "latest")
    error = bindings.decode_error(raised.value.data)
    assert error == ("GlideTooShort", {"duration": least - 1, "min": least})

    code, _, err = run("--duration", str(least - 1))
    assert code == 2
    assert f"takes a glide of {least} to 31536000 s to these targets, not of {least - 1} s" in err


def test_a_glide_under_way_counts_from_its_farther_end(stage, run):
    """Accepted in the middle of another glide, the change is never more than from its beginning or its end."""
    found = json.loads(run("--json")[1])
    send(stage, found["submit"], OWNER)
    stage.devnet.mine(seconds=found["timelock_seconds"])
    send(stage, found["accept"], STRANGER)
    stage.devnet.mine(seconds=found["duration_seconds"] // 2)
    again = json.loads(run("--json")[1])
    now = list(map(int, again["before"]))
    weights = list(map(int, again["after"]))
    # It ends where this one wants to go, so the way from here is the longer one.
    assert again["duration_seconds"] == least_glide(weights, now) > 0


def test_people_see_the_change_and_both_calls(stage, run):
    code, out, _ = run()
    assert code == 0
    assert "risk_parity, from prices until" in out
    assert "submit:\n0x" in out
    assert "accept:\n0x" in out


def test_nothing_is_sent(stage, run):
    head = stage.endpoint.header().number
    run()
    assert stage.endpoint.header().number == head
