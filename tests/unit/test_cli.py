import json
import subprocess
import sys

import pytest

from keeper.cli import main

WETH, USDC = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2", "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
SNAPSHOT = {
    "version": 1,
    "chain_id": 1,
    "block": {
        "number": 1,
        "hash": "0x" + "ab" * 32,
        "timestamp": 1_760_000_000,
        "base_fee_per_gas": "0",
        "priority_fee_per_gas": "0",
    },
    "native_price": str(4000 * 10**18),
    "tokens": [
        {"address": WETH, "symbol": "WETH", "decimals": 18},
        {"address": USDC, "symbol": "USDC", "decimals": 6},
    ],
    "vault": {
        "address": "0x" + "11" * 20,
        "nonce": 0,
        "total_supply": str(10**18),
        "assets": [
            {
                "token": WETH,
                "balance": str(3 * 10**18),
                "target_weight": str(5 * 10**17),
                "price": str(4000 * 10**18),
                "price_updated_at": 1_760_000_000,
            },
            {
                "token": USDC,
                "balance": str(4000 * 10**6),
                "target_weight": str(5 * 10**17),
                "price": str(10**18),
                "price_updated_at": 1_760_000_000,
            },
        ],
    },
    "pools": [
        {
            "kind": "uniswap_v2",
            "address": "0x" + "22" * 20,
            "token0": USDC,
            "token1": WETH,
            "fee_pips": 3000,
            "reserve0": str(4_000_000 * 10**6),
            "reserve1": str(1000 * 10**18),
        }
    ],
}
POLICY = {"trigger": {"kind": "always"}, "tracking_penalty": 1.0, "gas_price_wei": "0"}


@pytest.fixture
def keeper(capsys):
    """Runs the command; returns its exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exited:
            main([str(argument) for argument in arguments])
        return int(exited.value.code or 0), *capsys.readouterr()

    return run


@pytest.fixture
def snapshot(tmp_path):
    path = tmp_path / "snapshot.json"
    path.write_text(json.dumps(SNAPSHOT))
    return path


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(POLICY))
    return path


@pytest.fixture
def config(tmp_path):
    """A configuration whose node is not there."""
    (tmp_path / "vault.json").write_text(
        json.dumps(
            {
                "version": 1,
                "chain_id": 1,
                "deployment_block": {"number": 5, "hash": "0x" + "ab" * 32},
                "vault": "0x" + "01" * 20,
                "oracle": "0x" + "02" * 20,
                "admin": "0x" + "05" * 20,
                "executor": "0x" + "03" * 20,
                "native_token": WETH,
                "code_hashes": dict.fromkeys(("vault", "admin", "oracle", "executor"), "0x" + "cd" * 32),
            }
        )
    )
    path = tmp_path / "ballast.yaml"
    path.write_text(
        json.dumps(
            {
                "chain": {"rpc_url": "http://127.0.0.1:9/s3cret", "chain_id": 1},
                "deployment": "vault.json",
                "venues": [{"kind": "uniswap_v2", "factory": "0x" + "05" * 20}],
                "policy": POLICY,
            }
        )
    )
    return path


def assert_one_line(stderr: str, *parts: str) -> None:
    assert stderr.count("\n") == 1
    assert stderr.startswith("keeper: ")
    for part in parts:
        assert part in stderr


def test_an_offline_plan_prints_the_decision(keeper, snapshot, policy):
    code, out, err = keeper("plan", "--snapshot", snapshot, "--policy", policy, "--json")
    decision = json.loads(out)
    assert (code, err) == (0, "")
    assert set(decision) == {"action", "reason", "swaps", "sells", "buys", "estimate", "certificate"}
    assert decision["action"] == "rebalance"
    assert [sell["token"] for sell in decision["sells"]] == [WETH]
    assert isinstance(decision["swaps"][0]["amount_in"], str)


def test_an_offline_plan_is_readable_without_json(keeper, snapshot, policy):
    code, out, _ = keeper("plan", "--snapshot", snapshot, "--policy", policy)
    assert code == 0
    assert "uniswap_v2 0.3%" in out
    assert "sell " in out


def test_a_symbol_is_printed_as_it_is(keeper, snapshot, policy):
    snapshot.write_text(json.dumps(SNAPSHOT).replace('"WETH"', '"[red]WETH"'))
    assert "[red]WETH  " in keeper("plan", "--snapshot", snapshot, "--policy", policy)[1]


def test_a_plan_refused_by_a_breaker_exits_3(keeper, snapshot, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(json.dumps(POLICY | {"max_price_age": 1}))
    snapshot.write_text(json.dumps(SNAPSHOT | {"block": SNAPSHOT["block"] | {"timestamp": 1_760_000_100}}))
    code, out, err = keeper("plan", "--snapshot", snapshot, "--policy", policy, "--json")
    assert code == 3
    assert json.loads(out)["action"] == "hold"
    assert_one_line(err, "refused")


def test_a_plan_touches_neither_web3_nor_ape(snapshot, policy):
    arguments = ["plan", "--snapshot", str(snapshot), "--policy", str(policy), "--json"]
    script = f"""
import sys
from keeper.cli import main
try:
    main({arguments!r})
except SystemExit as exited:
    assert not exited.code
loaded = [name for name in ("web3", "ape", "requests", "matplotlib") if name in sys.modules]
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own script


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "snapshot.json"),
        ("", "snapshot.json"),
        ("[]", "snapshot.json"),
        (json.dumps(SNAPSHOT | {"version": 2}), "version"),
        (json.dumps(SNAPSHOT | {"colour": "red"}), "colour"),
        (json.dumps(SNAPSHOT | {"pools": [{"kind": "sushi"}]}), "pools.0"),
        (json.dumps(SNAPSHOT | {"tokens": []}), "unknown token"),
    ],
    ids=["not JSON", "empty", "a list", "another version", "unknown field", "unknown pool", "unlisted token"],
)
def test_a_malformed_snapshot_is_one_line(keeper, snapshot, policy, text, part):
    snapshot.write_text(text)
    code, out, err = keeper("plan", "--snapshot", snapshot, "--policy", policy)
    assert (code, out) == (2, "")
    assert_one_line(err, "snapshot.json", part)


def test_a_snapshot_that_is_not_there_is_one_line(keeper, tmp_path, policy):
    code, _, err = keeper("plan", "--snapshot", tmp_path / "gone.json", "--policy", policy)
    assert code == 2
    assert_one_line(err, "cannot read the snapshot file", "gone.json")


def test_a_snapshot_that_is_not_text_is_one_line(keeper, snapshot, policy):
    snapshot.write_bytes(b"\xff\xfe\x00")
    code, _, err = keeper("plan", "--snapshot", snapshot, "--policy", policy)
    assert code == 2
    assert_one_line(err, "is not text")


def test_an_unknown_policy_key_is_one_line(keeper, snapshot, policy):
    policy.write_text(json.dumps(POLICY | {"slipage": 1}))
    code, _, err = keeper("plan", "--snapshot", snapshot, "--policy", policy)
    assert code == 2
    assert_one_line(err, "policy.json", "slipage")


def test_an_offline_plan_needs_a_policy(keeper, snapshot):
    code, _, err = keeper("plan", "--snapshot", snapshot)
    assert code == 2
    assert_one_line(err, "--snapshot needs --policy")


@pytest.mark.parametrize("arguments", [["fly"], ["run", "--liv"], ["devnet", "--port", "x"]])
def test_bad_usage_is_one_line(keeper, arguments):
    code, out, err = keeper(*arguments)
    assert (code, out) == (2, "")
    assert_one_line(err)


@pytest.mark.parametrize("command", ["check", "status", "snapshot", "plan", "run"])
def test_a_missing_configuration_is_one_line(keeper, tmp_path, command):
    code, _, err = keeper(command, "--config", tmp_path / "gone.yaml", "--json")
    assert code == 2
    assert_one_line(err, "cannot read the configuration file", "gone.yaml")


@pytest.mark.parametrize("command", [["check"], ["status"], ["snapshot"], ["plan"], ["run", "--once"]])
def test_an_unreachable_node_is_one_line_without_credentials(keeper, config, command):
    code, _, err = keeper(*command, "--config", config)
    assert code == 1
    assert_one_line(err, "cannot reach the node at http://127.0.0.1:9: no connection")
    assert "s3cret" not in err


def test_check_says_in_json_what_failed(keeper, config):
    code, out, _ = keeper("check", "--config", config, "--json")
    assert code == 1
    found = json.loads(out)
    assert found["ok"] is False
    assert [check["name"] for check in found["checks"]] == ["database", "node"]


def test_the_configuration_may_be_named_by_the_environment(keeper, config, monkeypatch):
    monkeypatch.setenv("BALLAST_CONFIG", str(config))
    code, _, err = keeper("status")
    assert code == 1
    assert_one_line(err, "cannot reach the node")


def test_a_deployment_on_another_chain_than_configured_is_one_line(keeper, config):
    config.write_text(config.read_text().replace('"chain_id": 1', '"chain_id": 10'))
    code, _, err = keeper("status", "--config", config)
    assert code == 2
    assert_one_line(err, "vault.json is a deployment on chain 1, but the configuration says chain_id 10")


def test_help_is_no_error(keeper):
    code, out, _ = keeper("--help")
    assert code == 0
    assert "devnet" in out
