"""A policy that names assets, or has models of them, is held against the basket before anything is decided."""

import json
from decimal import Decimal

import pytest
import yaml
from builders import POOLS, USDC, WBTC, snapshot
from models import DRIFT, GARCH, HAR

from keeper.backtest import Setup, simulate
from keeper.backtest.sweep import cells, load_sweep
from keeper.cli import main
from keeper.domain import InputError, Policy, check_basket, names_assets
from keeper.market import PricePath

QUIET = {"trigger": {"kind": "band", "absolute": 0.5}, "tracking_penalty": 0.5}
"""Would never ask for what is wrong: it has to be found without a decision."""
SETUP = Setup(basket={"WETH": Decimal("0.5"), "LINK": Decimal("0.5")})
UNKNOWN = "the model was trained for USDC, WETH, WBTC and does not know LINK: train one for this basket"


def both(trigger):
    return QUIET | {"trigger": {"kind": "all", "of": [QUIET["trigger"], trigger]}}


CASES = {
    "drift": (both({"kind": "forecast", "model": DRIFT}), UNKNOWN),
    "har": (
        both({"kind": "volatility_band", "forecast": {"kind": "har", "model": HAR}}) | {"horizon_seconds": 604_800},
        UNKNOWN,
    ),
    "garch": (
        QUIET | {"tracking_penalty": {"risk_aversion": 2.0, "forecast": {"kind": "garch", "model": GARCH}}},
        UNKNOWN,
    ),
    "score": (both({"kind": "score", "parts": {"probability": {"model": DRIFT}}}), UNKNOWN),
    "band": (
        both({"kind": "band", "assets": {"WBTC": {"absolute": 0.1}}}),
        "trigger: a band is for wbtc, which is not in the basket",
    ),
    "covariance": (
        QUIET | {"covariance": {"tokens": ["WETH", "WBTC"], "matrix": [[1, 0.5], [0.5, 1]]}},
        "covariance does not list LINK: add it to tokens",
    ),
    "stress": (
        QUIET | {"stress": {"before_trade": [{"kind": "fall", "asset": "USDC", "fall": 0.5, "max_loss": 0.05}]}},
        "stress names USDC, which is not in the basket: correct it",
    ),
}
cases = pytest.mark.parametrize(("data", "message"), CASES.values(), ids=CASES)


def policy(data) -> Policy:
    return Policy.model_validate(data)


@cases
def test_what_a_policy_says_of_assets_must_be_of_the_baskets(data, message):
    assert names_assets(policy(data))
    with pytest.raises(InputError, match=message):
        check_basket(policy(data), SETUP.names)


@cases
def test_a_policy_of_the_basket_itself_is_taken(data, message):
    del message
    # The matrix is of two.
    names = ("WETH", "WBTC") if "covariance" in data else ("USDC", "WETH", "WBTC")
    check_basket(policy(data), [(name.lower(), f"0x{k:040x}") for k, name in enumerate(names)])


def test_assets_of_covariance_and_stress_may_be_addresses():
    basket = [("WETH", f"0x{0xAB:040x}"), ("LINK", f"0x{0xCD:040x}")]
    data = QUIET | {
        "covariance": {
            "tokens": [address.upper().replace("X", "x") for _, address in basket],
            "matrix": [[1, 0], [0, 1]],
        },
        "stress": {"before_trade": [{"kind": "fall", "asset": basket[1][1], "fall": 0.5, "max_loss": 0.05}]},
    }
    check_basket(policy(data), basket)


def test_a_policy_that_names_nothing_fits_every_basket():
    plain = policy(QUIET | {"stress": {"before_trade": [{"kind": "fall", "fall": 0.5, "max_loss": 0.05}]}})
    assert not names_assets(plain)
    check_basket(plain, SETUP.names)


@cases
def test_a_simulation_does_not_begin(data, message):
    with pytest.raises(InputError, match=message):
        simulate(SETUP, PricePath(symbols=SETUP.symbols, steps=3), policy(data))


@pytest.fixture
def keeper(capsys):
    def keeper(*arguments):
        with pytest.raises(SystemExit) as exited:
            main([*map(str, arguments)])
        return int(exited.value.code or 0), *capsys.readouterr()

    return keeper


@pytest.fixture
def files(tmp_path):
    (tmp_path / "drift.json").write_text(json.dumps(DRIFT))
    named = both({"kind": "forecast", "model": "drift.json"})
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(named))
    (tmp_path / "good.yaml").write_text(yaml.safe_dump(QUIET))
    return tmp_path


def test_a_plan_says_so_before_it_looks_at_the_trigger(keeper, files):
    facts = snapshot({USDC: (0.5, 0.5), WBTC: (0.5, 0.5)}, POOLS)
    (files / "snapshot.json").write_text(facts.model_dump_json().replace('"WBTC"', '"LINK"'))
    of = ("--snapshot", files / "snapshot.json", "--policy")
    assert keeper("plan", *of, files / "policy.yaml") == (2, "", f"keeper: policy: {UNKNOWN}\n")
    (files / "plan.json").write_text(keeper("plan", *of, files / "good.yaml", "--json")[1])
    assert keeper("verify", files / "plan.json", *of, files / "policy.yaml")[0::2] == (
        2,
        f"keeper: policy: {UNKNOWN}\n",
    )


def test_a_backtest_says_which_of_its_policies_it_is_before_any_is_run(keeper, files):
    given = ("--basket", "WETH=0.5,LINK=0.5", "--policy", files / "good.yaml", "--compare", files / "policy.yaml")
    answer = keeper("backtest", *given, "--days", 1, "--out", files / "out")
    assert answer == (2, "", f"keeper: policy: policy: {UNKNOWN}\n")
    assert not (files / "out").exists()


def test_a_sweep_says_which_of_its_strategies_it_is_before_any_is_run(files):
    data = {
        "policy": QUIET,
        "strategies": {"plain": {}, "clever": {"changes": {"trigger": {"kind": "forecast", "model": "drift.json"}}}},
        "setup": {"basket": {"WETH": 0.5, "LINK": 0.5}},
        "markets": [{"regime": "gbm", "days": 1}],
        "seeds": [1],
    }
    (files / "sweep.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(InputError, match=f"^strategy clever: policy: {UNKNOWN}$"):
        cells(load_sweep(files / "sweep.yaml"))


@pytest.mark.parametrize("where", ["chain", "simulation"])
def test_a_stress_test_says_so_before_it_deploys_anything(keeper, files, where):
    code, out, err = keeper("stress", "--policy", files / "policy.yaml", "--where", where)
    assert (code, out) == (2, "")
    assert err.startswith("keeper: policy: the model was trained for USDC, WETH, WBTC and does not know ")
    assert err.count("\n") == 1
