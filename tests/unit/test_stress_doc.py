"""What the pages on stress and sweeps show as a file is one."""

import re
from pathlib import Path

import pytest

from keeper.backtest.sweep import load_sweep
from keeper.domain import load_policy
from keeper.domain.stress import DearGas, Fall, OracleError, Sandwich, ThinPools
from keeper.stress import onchain, simulated

DOCS = Path(__file__).parents[2] / "docs"
KINDS = {model.model_fields["kind"].default for model in (OracleError, Fall, Sandwich, ThinPools, DearGas)}


def block(page: str, first: str) -> str:
    found = re.findall(r"```yaml\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    return next(text for text in found if text.startswith(first))


def test_the_scenarios_before_a_trade_are_a_policy_and_all_that_there_are():
    policy = load_policy("trigger: {kind: always}\ntracking_penalty: 1\n" + block("stress.md", "stress:"))
    assert policy.stress is not None
    assert {scenario.kind for scenario in policy.stress.before_trade} == KINDS


def test_the_sweep_is_one(tmp_path):
    (tmp_path / "sweep.yaml").write_text(block("backtest.md", "policy:"))
    sweep = load_sweep(tmp_path / "sweep.yaml")
    assert len(sweep.all_seeds) == 100
    assert [market.label for market in sweep.markets] == ["crash", "the past"]


@pytest.mark.parametrize("name", [*onchain.NAMES, *simulated.NAMES])
def test_every_scenario_is_in_the_tables(name):
    text = (DOCS / "stress.md").read_text()
    assert f"| {name.removesuffix(', key stolen')} |" in text
