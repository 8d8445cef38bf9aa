"""The command `keeper train`."""

import json

import numpy as np
import pytest

from keeper.cli import main
from keeper.config import read_policy
from keeper.domain import Har

DAY = 86_400


@pytest.fixture
def prices(tmp_path):
    generator = np.random.default_rng(3)
    rows = ["date,symbol,close"]
    for symbol, start in (("ETH", 2000.0), ("BTC", 30_000.0)):
        price = start
        for day in np.datetime64("2019-01-01") + np.arange(400):
            price *= float(np.exp(generator.normal(0, 0.03)))
            rows.append(f"{day},{symbol},{price:.6f}")
    path = tmp_path / "prices.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def train(prices, tmp_path, capsys):
    """Runs the command; gives its exit code, what it printed and what it complained about."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main(["train", "--prices", str(prices), "--out", str(tmp_path / "model.json"), *arguments])
        said = capsys.readouterr()
        return stopped.value.code, said.out, said.err

    return run


def test_a_model_is_written_that_a_policy_can_name(train, tmp_path):
    code, out, _ = train("--kind", "har", "--symbols", "WETH,WBTC", "--name", "WETH=ETH", "--name", "WBTC=BTC")
    assert code == 0
    assert "WETH, WBTC, 400 prices from 2019-01-02 to before 2020-02-06" in out
    assert "qlike_ewma: " in out
    (tmp_path / "policy.yaml").write_text(
        "{trigger: {kind: volatility_band, forecast: {kind: har, model: model.json}}, tracking_penalty: {risk_aversion:"
        " 3, horizon_seconds: 86400}}"
    )
    assert isinstance(read_policy(tmp_path / "policy.yaml").trigger.forecast, Har)


def test_as_json_it_prints_the_model_itself(train, tmp_path):
    code, out, err = train("--kind", "garch", "--json")
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "model.json").read_text())
    assert "walking forward, 4 of 4" in err


def test_nothing_on_or_after_the_last_day_is_used(train, tmp_path):
    train("--kind", "har", "--until", "2019-12-01")
    whole = json.loads((tmp_path / "model.json").read_text())
    assert whole["trained"]["rows"] == 333  # closes of January 1st to November 29th, each seen at the next midnight
    assert whole["trained"]["until"] == "2019-12-01"


def test_cash_has_coefficients_without_prices(train, tmp_path):
    code, _, _ = train("--kind", "forecast", "--width", "0.03", "--cash", "USDC")
    assert code == 0
    assert json.loads((tmp_path / "model.json").read_text())["variance"]["symbols"] == ["ETH", "BTC", "USDC"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kind", "forecast"], "--kind forecast needs --width"),
        (["--kind", "har", "--width", "0.1"], "--width and --target are for --kind forecast, not har"),
        (["--kind", "arima"], "'arima' is not one of 'har', 'garch', 'forecast'"),
        (["--kind", "har", "--until", "soon"], "--until takes a day as 2021-01-01, not soon"),
        (["--kind", "har", "--until", "2019-02-01"], "prices before the end of the training, at least 300 are needed"),
        (["--kind", "har", "--symbols", "ETH,DOGE"], "DOGE"),
        (["--kind", "har", "--interval", "3600"], "further than the interval of 3600 s"),
        (["--kind", "forecast", "--width", "0.1", "--target", "ETH"], "--target takes SYMBOL=WEIGHT"),
        (["--kind", "har", "--samples", "10"], "10 samples are too few"),
    ],
)
def test_what_cannot_be_trained_is_one_line_and_exit_code_2(train, tmp_path, arguments, message):
    code, out, err = train(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "model.json").exists()


def test_a_model_that_cannot_be_written_is_one_line_before_anything_is_fitted(train, tmp_path):
    (tmp_path / "file").write_text("in the way")
    code, out, err = train("--kind", "har", "--out", str(tmp_path / "file" / "model.json"))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "cannot write" in err


def test_what_is_written_over_stands_until_there_is_a_model(train, tmp_path):
    (tmp_path / "model.json").write_text("an earlier one")
    assert train("--kind", "har", "--until", "2019-02-01")[0] == 2
    assert (tmp_path / "model.json").read_text() == "an earlier one"


def test_a_refusal_leaves_no_empty_file(train, tmp_path):
    assert train("--kind", "har", "--until", "2019-02-01")[0] == 2
    assert not (tmp_path / "model.json").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--kind", "har", "--cash", "ETH"), "--cash ETH: it is in the basket already"),
        (("--kind", "har", "--cash", "USDC", "--cash", "USDC"), "--cash USDC: it is in the basket already"),
        (("--kind", "har", "--symbols", "ETH,ETH"), "ETH is asked for twice"),
        (("--kind", "forecast", "--width", "nan"), "nan is no finite number"),
        (("--kind", "forecast", "--width", "0.03", "--target", "ETH=nan"), "--target takes SYMBOL=WEIGHT"),
        (("--kind", "forecast", "--width", "0.03", "--target", "ETH=much"), "--target takes SYMBOL=WEIGHT"),
        (("--kind", "forecast", "--width", "0.03", "--target", "ETH=0.5", "--target", "ETH=0.5"), "names ETH twice"),
    ],
)
def test_what_makes_no_sense_is_one_line_before_anything_is_fitted(train, arguments, says):
    code, out, err = train(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert says in err
