"""`keeper targets` without a chain."""

import json

import pytest

from keeper.cli import main


@pytest.fixture
def prices(tmp_path):
    path = tmp_path / "prices.csv"
    rows = [
        f"{86_400 * day},{symbol},{10 + (day * step) % 7}"
        for day in range(100)
        for symbol, step in (("A", 3), ("B", 2))
    ]
    path.write_text("\n".join(["time,symbol,close", *rows]) + "\n")
    return path


@pytest.fixture
def run(prices, capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as exited:
            main(["targets", "--prices", str(prices), *map(str, arguments)])
        return int(exited.value.code or 0), *capsys.readouterr()

    return run


def test_weights_are_printed_for_people_and_for_programs(run):
    code, out, _ = run("--method", "equal")
    assert code == 0
    assert "50%" in out
    found = json.loads(run("--method", "equal", "--json")[1])
    assert found == {
        "method": {"kind": "equal"},
        "until": 99 * 86_400,
        "weights": {"A": "500000000000000000", "B": "500000000000000000"},
    }


def test_a_symbol_may_be_called_otherwise_in_the_file(run):
    found = json.loads(run("--method", "equal", "--symbols", "WA, B", "--name", "WA=A", "--json")[1])
    assert list(found["weights"]) == ["WA", "B"]


def test_parameters_come_from_a_file(run, tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text("kind: cppi\nsafe: B\nfloor: 0.5\nmultiplier: 1\n")
    found = json.loads(run("--method", path, "--value", "2", "--json")[1])
    assert found["weights"] == {"A": "750000000000000000", "B": "250000000000000000"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--method", "magic"), "--method magic is none of fixed, equal,"),
        (("--method", "none.yaml"), "cannot read the targets file none.yaml"),
        (("--method", "fixed"), "targets: fixed.weights: missing"),
        (("--method", "equal", "--symbols", "A,C"), "there are no prices of C; the file has A, B"),
        (("--method", "equal", "--name", "A"), "--name takes SYMBOL=NAME, as WETH=ETH, not A"),
        (("--method", "equal", "--duration", "5"), "--duration is of a vault's glide: give its --config"),
        (("--method", "equal", "--config", "x.yaml", "--symbols", "A"), "leave --symbols out"),
        (("--method", "equal", "--value", "0"), "Invalid value for '--value'"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(run, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_file_that_is_no_mapping_is_refused(run, tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text("- equal\n")
    code, _, err = run("--method", path)
    assert code == 2
    assert "must be a mapping of fields" in err


def test_prices_that_are_too_far_apart_are_refused(run, prices):
    prices.write_text("time,symbol,close\n0,A,1\n604800,A,2\n")
    code, _, err = run("--method", "equal")
    assert code == 2
    assert "prices that are 604800 s apart have none that are 86400 s apart" in err


@pytest.mark.parametrize("value", ["nan", "inf", "0"])
def test_a_value_that_is_no_value_is_refused(run, value):
    code, out, err = run("--method", "equal", "--value", value)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--value" in err
