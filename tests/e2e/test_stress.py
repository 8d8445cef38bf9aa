"""Bad days on the embedded chain: the real vault, a live keeper, and a thief."""

import json
from decimal import Decimal

import pytest

from keeper.chain import artifacts
from keeper.cli import main
from keeper.config import Config
from keeper.policy.bound import Bound
from keeper.stress import onchain
from keeper.stress.arena import Arena
from keeper.submit.deployer import DeployConfig
from keeper.units import WAD

EXAMPLES = artifacts.ROOT / "examples"
DELTA = Decimal("0.05")


@pytest.fixture
def arena(devnet, tmp_path) -> Arena:
    deployment = DeployConfig.load(EXAMPLES / "deploy.yaml")
    return Arena(devnet, deployment, Config.load(EXAMPLES / "keeper.yaml"), tmp_path)


def check(result, name):
    return next(check for check in result.checks if check.name == name)


def told(result, who):
    return [event.what for event in result.events if event.who == who]


def test_a_thief_with_a_frozen_feed_takes_something_and_stays_within_the_bound(arena):
    result = onchain.play(arena, "feed frozen, key stolen", DELTA, seed=1)
    assert result.trades >= 1
    assert result.loss > 0
    assert result.delta > 0.01
    assert result.held
    # What he tries beyond the guard is refused, and so is everything once the price is stale.
    assert any("UnfairTrade" in what for what in told(result, "vault"))
    assert any("stale" in what for what in told(result, "oracle"))


def test_in_a_depeg_that_no_feed_sees_the_turnover_budget_is_the_bound(arena):
    result = onchain.play(arena, "depeg that the feed does not see, key stolen", DELTA, seed=1)
    assert result.delta == pytest.approx(0.5, abs=1e-3)
    # Half of what was bought, and what the guard gives away.
    assert result.loss_bp > 200
    assert check(result, "losses at true prices").limit == pytest.approx(0.42 * WAD, rel=1e-3)
    assert result.held


def test_a_live_keeper_stops_when_the_stable_coin_leaves_its_bounds(arena):
    result = onchain.play(arena, "depeg", DELTA, seed=1)
    assert result.trades >= 1
    assert any("out of bounds" in what for what in told(result, "oracle"))
    assert result.held


def test_a_live_keeper_with_a_wrong_feed_stays_within_the_bound(arena):
    result = onchain.play(arena, "feed wrong", DELTA, seed=1)
    assert result.trades >= 1
    assert result.delta == pytest.approx(float(DELTA), rel=0.1)
    assert result.held


def test_a_sandwich_takes_no_more_than_the_minima_let_it(arena):
    result = onchain.play(arena, onchain.SANDWICH, DELTA, seed=1)
    beyond = check(result, "lost beyond the plan, against its minima")
    assert result.trades == 1
    # It does take: one of the minima is all but reached.
    assert beyond.measured > beyond.limit // 10
    assert result.held
    # And whoever puts in more makes the batch revert.
    assert any("BelowMinOut" in what for what in told(result, "vault"))


def test_a_scene_leaves_no_trace(arena):
    before = arena.keeper.read()
    onchain.play(arena, "feed frozen, key stolen", DELTA, seed=1)
    assert arena.keeper.read() == before


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as exited:
        main(["stress", "--where", "chain", *map(str, arguments)])
    return int(exited.value.code or 0), *capsys.readouterr()


def test_the_command_writes_what_it_prints(capsys, tmp_path, devnet):
    out = tmp_path / "deep" / "stress.json"
    code, printed, said = run(capsys, "--scenario", "feed frozen, key stolen", "--out", out, "--json")
    report = json.loads(printed)
    assert code == 0
    assert json.loads(out.read_text()) == report
    assert report["ok"] is True
    assert [result["scenario"] for result in report["results"]] == ["feed frozen, key stolen"]
    assert "chain 1 of 1" in said


def test_a_bound_that_did_not_hold_is_exit_code_1(capsys, devnet, monkeypatch):
    monkeypatch.setattr(Bound, "losses", lambda *_: 0)
    code, printed, said = run(capsys, "--scenario", "feed frozen, key stolen")
    assert code == 1
    assert "NO" in printed
    assert "above the bound of 0%" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--scenario", "rain"), 'there is no scenario "rain"'),
        (("--delta", "1"), "--delta must be at least 0 and below 1"),
        (("--delta", "much"), "--delta must be a fraction"),
        (("--delta", "nan"), "--delta must be at least 0 and below 1"),
        (("--seed", "-1"), "-1 is not in the range"),
        (("--out", "/dev/null/x.json"), "cannot write /dev/null/x.json"),
        (("--policy", "nowhere.yaml"), "nowhere.yaml"),
        (("--deploy", "nowhere.yaml"), "nowhere.yaml"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_exit_code_2(capsys, arguments, says):
    code, printed, said = run(capsys, *arguments)
    assert (code, printed) == (2, "")
    assert said.count("\n") == 1
    assert says in said


def test_a_vault_of_tokens_that_the_chain_has_not_is_refused(capsys, tmp_path):
    text = (
        (EXAMPLES / "deploy.yaml").read_text().replace("0x1f9840a85d5aF5bf1D1762F925BDADdC4201F984", "0x" + "12" * 20)
    )
    (tmp_path / "deploy.yaml").write_text(text)
    code, _, said = run(capsys, "--deploy", tmp_path / "deploy.yaml")
    assert code == 2
    assert "the embedded chain has no" in said.splitlines()[-1]
