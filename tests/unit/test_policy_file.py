import json
from decimal import Decimal
from typing import get_args

import pytest

from keeper.chain import artifacts
from keeper.domain import Always, Band, GasUnits, InputError, Policy, load_policy
from keeper.domain.parse import load_decision, read_yaml
from keeper.pools import Pool


def test_trigger_penalty_and_free_gas_are_a_complete_policy_that_switches_off_all_the_rest():
    policy = load_policy('{"trigger": {"kind": "always"}, "tracking_penalty": 0.1, "gas_price_wei": "0"}')
    assert policy.trigger == Always()
    assert (policy.tracking_penalty, policy.gas_price_wei) == (0.1, 0)
    assert (policy.max_price_age, policy.max_gas_price_wei, policy.min_pool_liquidity_usd) == (None, None, None)


def test_the_defaults_are_those_of_the_documentation():
    policy = load_policy("{trigger: {kind: always}, tracking_penalty: 1}")
    assert (policy.slippage, policy.headroom_share) == (Decimal("0.005"), Decimal("0.9"))
    assert policy.gas_price_wei is None


def test_yaml_and_json_say_the_same():
    yaml = "trigger: {kind: band, absolute: 0.05, relative: 0.25}\ntracking_penalty: 1e-3\nslippage: 0.003\n"
    json = (
        '{"trigger": {"kind": "band", "absolute": "0.05", "relative": 0.25},'
        ' "tracking_penalty": 1e-3, "slippage": 3e-3}'
    )
    assert load_policy(yaml) == load_policy(json)
    assert load_policy(yaml).trigger == Band(absolute=Decimal("0.05"), relative=Decimal("0.25"))


def test_a_policy_survives_its_file():
    policy = load_policy("{trigger: {kind: band, relative: 0.1}, tracking_penalty: 2, max_price_age: 60}")
    assert load_policy(policy.model_dump_json()) == policy


def test_yaml_may_merge_mappings_and_give_a_key_of_theirs_anew():
    text = "gas_units: {<<: &units {base: 1, uniswap_v2: 2}, base: 3}\ntrigger: {kind: always}\ntracking_penalty: 1\n"
    units = load_policy(text).gas_units
    assert (units.base, units.uniswap_v2) == (3, 2)


def test_a_ceiling_on_gas_may_be_what_gas_is_said_to_cost():
    text = "{trigger: {kind: always}, tracking_penalty: 1, gas_price_wei: 100, max_gas_price_wei: 100}"
    assert load_policy(text).max_gas_price_wei == 100


def test_a_covariance_can_be_written_in_yaml():
    rows = "{tokens: [WETH, USDC], matrix: [[1, 0.5], [0.5, 1]]}"
    asked = load_policy(f"{{trigger: {{kind: always}}, tracking_penalty: 1, covariance: {rows}}}")
    assert asked.covariance.matrix == ((1, 0.5), (0.5, 1))


MISTAKES = [
    ("", "must be a mapping of fields"),
    ("[1]", "must be a mapping of fields"),
    ("a: [", "it is not YAML"),
    ("&a [*a]", "contains itself"),
    ("[" * 100_000, "nested too deeply"),
    ("{tracking_penalty: 1}", "trigger: missing"),
    ("{trigger: {}, tracking_penalty: 1}", "trigger: kind is missing"),
    ("{trigger: always, tracking_penalty: 1}", "trigger: must be a mapping of fields"),
    (
        "{trigger: {kind: always}, tracking_penalty: 1, tracking_penalty: 2}",
        "it is not YAML: tracking_penalty is given twice",
    ),
    ('{"trigger": {"kind": "always"}, "slippage": 0.1, "slippage": 0.2}', "policy: slippage is given twice"),
    ("{trigger: {kind: always}, tracking_penalty: 1, 2020-01-01: 1}", "has a key that is no text"),
    ("{trigger: {kind: always}, tracking_penalty: 2020-13-45}", "it is not YAML: month must be in"),
    ('{"tracking_penalty": ' + "9" * 5000 + "}", "it is not YAML: Exceeds the limit"),
    (
        "{trigger: {kind: any, of: [{kind: calendar}]}, tracking_penalty: 1}",
        r"trigger\.any\.of\.0\.calendar\.every_seconds: missing$",
    ),
    (
        "{trigger: {kind: band, assets: {WETH: {absolute: 0.1}, weth: {absolute: 0.2}}}, tracking_penalty: 1}",
        "assets: WETH and weth are the same: keep one of them",
    ),
    (
        "{trigger: {kind: always}, tracking_penalty: 1, covariance: {tokens: [A, a], matrix: [[1, 0], [0, 1]]}}",
        "covariance: tokens: A is listed twice",
    ),
    (
        "{trigger: {kind: always}, tracking_penalty: 1, gas_price_wei: 101, max_gas_price_wei: 100}",
        "max_gas_price_wei is 100, below the 101 that gas_price_wei says",
    ),
    ("{trigger: {kind: always}}", "tracking_penalty: missing"),
    ("{trigger: {kind: always}, tracking_penalty: 0}", "tracking_penalty: Input should be greater than 0"),
    ("{trigger: {kind: always}, tracking_penalty: -1}", "tracking_penalty: Input should be greater than 0"),
    ("{trigger: {kind: always}, tracking_penalty: .nan}", "tracking_penalty: Input should be "),
    ('{"trigger": {"kind": "always"}, "tracking_penalty": NaN}', "tracking_penalty: Input should be "),
    ("{trigger: {kind: always}, tracking_penalty: .inf}", "tracking_penalty: Input should be "),
    ("{trigger: {kind: always}, tracking_penalty: much}", 'tracking_penalty: must be a number, got "much"'),
    ("{trigger: {kind: monthly}, tracking_penalty: 1}", "trigger: Input tag 'monthly'"),
    ("{trigger: {kind: band}, tracking_penalty: 1}", "a band needs absolute or relative"),
    ("{trigger: {kind: band, absolute: -0.1}, tracking_penalty: 1}", "trigger.band.absolute: "),
    ("{trigger: {kind: always}, tracking_penalty: 1, penalty: 2}", "penalty: unknown field"),
    ("{trigger: {kind: always}, tracking_penalty: 1, slippage: 1}", "slippage: "),
    ("{trigger: {kind: always}, tracking_penalty: 1, slippage: 0.5%}", 'slippage: must be a number, got "0.5%"'),
    ("{trigger: {kind: always}, tracking_penalty: 1, headroom_share: 0}", "headroom_share: "),
    ("{trigger: {kind: always}, tracking_penalty: 1, headroom_share: 1.1}", "headroom_share: "),
    ("{trigger: {kind: always}, tracking_penalty: 1, max_hops: 3}", "max_hops: unknown field"),
    ("{trigger: {kind: always}, tracking_penalty: 1, gas_price_wei: -1}", "gas_price_wei: "),
    ("{trigger: {kind: always}, tracking_penalty: 1, gas_price_wei: 1.5}", "gas_price_wei: "),
    ("{trigger: {kind: always}, tracking_penalty: 1, gas_units: {base: -1}}", "gas_units.base: "),
]


MATRICES = [
    ("[[1, 0.5]]", "covariance: the matrix must be 2 by 2, one row and column for each token"),
    ("[[1], [1]]", "covariance: the matrix must be 2 by 2"),
    ("[[1, 0.5], [0.4, 1]]", "covariance: the matrix is not symmetric"),
    ("[[1, 2], [2, 1]]", "covariance: the matrix is no covariance: its least eigenvalue is -1"),
    ("[[0, 0], [0, 0]]", "covariance: the matrix is no covariance: its least eigenvalue is 0"),
]
MISTAKES += [
    (f"{{trigger: {{kind: always}}, tracking_penalty: 1, covariance: {{tokens: [A, B], matrix: {matrix}}}}}", message)
    for matrix, message in MATRICES
]


@pytest.mark.parametrize(("text", "message"), MISTAKES, ids=[text[:150] for text, _ in MISTAKES])
def test_a_mistake_in_a_policy_gives_one_clear_line(text, message):
    with pytest.raises(InputError, match=message) as refused:
        load_policy(text)
    assert str(refused.value).startswith("policy: ")
    assert "\n" not in str(refused.value)


def test_every_field_of_the_policy_says_what_it_means():
    assert all(field.description for field in Policy.model_fields.values())


@pytest.mark.parametrize("kind", [pool.model_fields["kind"].default for pool in get_args(get_args(Pool)[0])])
def test_every_kind_of_pool_has_its_units_of_gas(kind):
    assert GasUnits().of(kind) >= GasUnits().uniswap_v2


MEASURED = json.loads((artifacts.ROOT / "benchmarks" / "gas.json").read_text())


@pytest.mark.parametrize(
    "row", MEASURED["rebalance_proxied_feeds"], ids=lambda row: f"{row['assets']} assets on {row['kind']}"
)
def test_the_units_of_gas_cover_every_rebalance_that_was_measured_and_little_more(row):
    expected = GasUnits().base + row["swaps"] * GasUnits().of(row["kind"])
    assert row["gas"] <= expected <= 1.1 * row["gas"]


@pytest.mark.parametrize("row", MEASURED["executor_swap"], ids=lambda row: row["kind"])
def test_the_units_of_gas_cover_what_a_kind_of_pool_takes_more_than_a_pair(row):
    (pair,) = (other for other in MEASURED["executor_swap"] if other["kind"] == "uniswap_v2")
    more = row["most"] - pair["least"]
    assert more <= GasUnits().of(row["kind"]) - GasUnits().uniswap_v2 + 1_000 <= more + 2_000


@pytest.mark.parametrize(
    ("text", "says"), [("&a [*a]", "nested too deeply, or contains itself"), ("? 2020-01-01\n: 1", "no text")]
)
def test_what_json_could_not_say_is_no_file_of_ours(text, says):
    with pytest.raises(InputError, match=f"the file .*{says}"):
        read_yaml(text, "the file")


def test_a_plan_that_is_none_is_one_line():
    with pytest.raises(InputError, match=r"plan: .*Invalid JSON"):
        load_decision("{")
