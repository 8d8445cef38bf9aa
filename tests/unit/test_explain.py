"""What a person is told of a plan: where its cost goes, what the certificate says, what was left out; a picture."""

import json

import pytest
from builders import LIMITS, LINK, USDC, WETH, as_file, snapshot, v2_pool, v3_pool

from keeper.cli import main
from keeper.units import WAD

BASKET = {USDC: (0.6, 0.4), WETH: (0.3, 0.4), LINK: (0.1, 0.2)}
SHALLOW = v2_pool(9, USDC, LINK, 1e4)
POOLS = (v2_pool(1, USDC, WETH, 1e7), v2_pool(2, USDC, WETH, 1e7), v3_pool(3, WETH, LINK, 1e7), SHALLOW)
POLICY = {"trigger": {"kind": "always"}, "tracking_penalty": 1.0, "gas_price_wei": "10000000000"}


@pytest.fixture
def plan(capsys, tmp_path):
    """Runs `keeper plan` with these options; returns its exit code, stdout and stderr."""

    def run(*options: str, limits=LIMITS, **more) -> tuple[int, str, str]:
        facts = as_file(snapshot(BASKET, POOLS, limits=limits))
        for name, content in (("snapshot.json", facts), ("policy.json", POLICY | more)):
            (tmp_path / name).write_text(json.dumps(content))
        files = ("--snapshot", str(tmp_path / "snapshot.json"), "--policy", str(tmp_path / "policy.json"))
        with pytest.raises(SystemExit) as exited:
            main(["plan", *files, *options])
        return int(exited.value.code or 0), *capsys.readouterr()

    return run


def figures(text: str, title: str, rows: int) -> dict[str, float]:
    """USD by name, of the table with this title."""
    lines = text[text.index(title) :].splitlines()[1 : rows + 1]
    return {" ".join(line.split()[:-2]): float(line.split()[-2].replace(",", "")) for line in lines}


def test_the_parts_of_the_cost_add_up_to_what_the_decision_says(plan):
    estimate = json.loads(plan("--json")[1])["estimate"]
    off_oracle, fees, impact, gas, total, *_ = figures(plan("--explain")[1], "where the cost goes", 7).values()
    assert off_oracle + fees + impact == pytest.approx(estimate["cost_usd"], abs=1e-3)
    assert (gas, total) == pytest.approx((estimate["gas_usd"], estimate["cost_usd"] + estimate["gas_usd"]), abs=1e-3)
    assert min(fees, impact, gas) > 1


def test_the_certificate_is_that_of_the_decision(plan):
    said = json.loads(plan("--json")[1])["certificate"]
    hold, worth, bound, short, structural, unwanted = figures(plan("--explain")[1], "certificate", 6).values()
    assert (worth, bound, short) == pytest.approx(
        (said["objective_usd"], said["upper_bound_usd"], said["gap_usd"]), abs=1e-5
    )
    assert hold < worth <= bound
    assert structural == unwanted == 0


WIDE = LIMITS.model_copy(update={"max_slippage": WAD // 20, "max_batch_loss": WAD // 20, "loss_headroom": WAD // 20})


@pytest.mark.parametrize(
    ("limits", "binding"),
    [
        (WIDE, []),
        (WIDE.model_copy(update={"turnover_headroom": WAD // 20}), ["turnover"]),
        (LIMITS, ["value for value"]),  # met by way of barriers, which leave a trace of the other limits
    ],
    ids=["none", "turnover", "value for value"],
)
def test_a_limit_is_said_to_bind_where_it_does(plan, limits, binding):
    lines = plan("--explain", limits=limits, gas_price_wei="0")[1].splitlines()
    assert [line.split(" binds")[0] for line in lines if "binds" in line] == [
        f"the vault's limit on {name}" for name in binding
    ]


def test_a_pool_that_was_left_out_is_named_with_the_reason(plan):
    text = plan("--explain", min_pool_liquidity_usd=1e5, gas_price_wei="0")[1]
    assert f"left out: {SHALLOW.name}, below the liquidity floor" in text
    proof = figures(text, "certificate", 7)
    assert proof["the bound with the pools left out"] > proof["no plan is worth more than"]


def test_the_picture_has_every_token_and_an_arrow_for_every_swap(plan, tmp_path):
    swaps = json.loads(plan("--json", "--picture", str(tmp_path / "flow.svg"))[1])["swaps"]
    drawn = (tmp_path / "flow.svg").read_text()
    assert all(f"<!-- {coin.symbol} -->" in drawn for coin in BASKET)
    assert drawn.count("<!-- uniswap v") == len(swaps) > 2
    plan("--picture", str(tmp_path / "again.svg"))
    assert (tmp_path / "again.svg").read_text() == drawn


def test_a_picture_of_no_known_format_is_one_line_and_exit_2(plan, tmp_path):
    code, _, err = plan("--picture", str(tmp_path / "flow.txt"))
    assert (code, err.count("\n")) == (2, 1)
    assert ".svg, .png or .pdf" in err
