"""What is wrong with a snapshot or a policy is said in one line, and the exit code is 2."""

import json

import pytest
from builders import LINK, UNI, USDC, WETH, as_file, snapshot, v2_pool, v3_pool

from keeper.cli import main

POLICY = {"trigger": {"kind": "always"}, "tracking_penalty": 1.0, "gas_price_wei": "0"}
FACTS = as_file(
    snapshot(
        {USDC: (0.6, 0.5), WETH: (0.4, 0.5)},
        (v2_pool(1, USDC, WETH, 1e7), v3_pool(2, USDC, WETH, 1e7)),
        limits=None,
    )
)
STRANGER = "0x" + "77" * 20


@pytest.fixture
def plan(capsys, tmp_path):
    """Runs `keeper plan` on these facts and policy; returns its exit code, stdout and stderr."""

    def run(facts, policy=POLICY) -> tuple[int, str, str]:
        for name, content in (("snapshot.json", facts), ("policy.json", policy)):
            (tmp_path / name).write_text(json.dumps(content))
        with pytest.raises(SystemExit) as exited:
            main(
                [
                    *("plan", "--snapshot", str(tmp_path / "snapshot.json")),
                    *("--policy", str(tmp_path / "policy.json"), "--json"),
                ]
            )
        return int(exited.value.code or 0), *capsys.readouterr()

    return run


def changed(path: str, value):
    """The facts with another value at a path such as ``pools.0.reserve0``."""
    facts = json.loads(json.dumps(FACTS))
    *parents, last = (int(key) if key.isdecimal() else key for key in path.split("."))
    place = facts
    for key in parents:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return facts


MISTAKES = {
    "unknown token in a pool": ("pools.0.token1", STRANGER, STRANGER),
    "unknown token in the basket": ("vault.assets.0.token", STRANGER, STRANGER),
    "zero reserve": ("pools.0.reserve0", "0", "reserve0"),
    "no reserve": ("pools.0.reserve1", None, "reserve1"),
    "liquidity that does not match its ticks": ("pools.1.liquidity", "12345", "does not match the ticks"),
    "price of zero": ("vault.assets.1.price", "0", "the price is zero"),
    "no price": ("vault.assets.1.price", None, "price"),
    "the same pool twice": ("pools.1", FACTS["pools"][0], "duplicate pool"),
    "the same token twice": ("tokens.1", FACTS["tokens"][0], "duplicate token"),
    "targets that do not add up": ("vault.assets.0.target_weight", "1", "target weights sum to"),
    "unknown field": ("chain", 1, "chain"),
}


@pytest.mark.parametrize(("path", "value", "said"), MISTAKES.values(), ids=MISTAKES)
def test_an_inconsistent_snapshot_is_one_line_and_exit_2(plan, path, value, said):
    code, out, err = plan(changed(path, value))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


@pytest.mark.parametrize("penalty", [0, -1, float("nan"), float("inf"), "much", None], ids=str)
def test_a_tracking_penalty_that_is_no_positive_number_is_one_line_and_exit_2(plan, penalty):
    code, out, err = plan(FACTS, POLICY | {"tracking_penalty": penalty})
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "tracking_penalty" in err


def test_a_policy_without_tracking_penalty_is_one_line_and_exit_2(plan):
    code, out, err = plan(FACTS, {"trigger": {"kind": "always"}})
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "tracking_penalty: missing" in err


def test_assets_that_no_path_joins_are_held_and_named(plan):
    apart = snapshot({USDC: (0.6, 0.5), UNI: (0.4, 0.5)}, (v2_pool(1, WETH, LINK, 1e7),), limits=None)
    code, out, err = plan(as_file(apart))
    decision = json.loads(out)
    assert (code, err, decision["action"]) == (0, "", "hold")
    assert decision["reason"].endswith("no route for UNI, USDC")
