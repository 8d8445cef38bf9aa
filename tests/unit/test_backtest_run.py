"""`keeper backtest`: runs, files, folder, report and what is refused."""

import io
import json
import os
from contextlib import redirect_stdout
from decimal import Decimal
from html.parser import HTMLParser
from operator import length_hint
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet
from simulated import made_fill, made_step

from keeper.backtest import Setup, load_setup
from keeper.backtest.metrics import Meter
from keeper.backtest.record import Record
from keeper.backtest.report import _dollars, write_report
from keeper.backtest.run import Entry, Ran, Result, Variation, output_folder, remarks, run
from keeper.backtest.run import simulate as simulated
from keeper.cli import main
from keeper.domain import InputError, load_policy
from keeper.market import PriceFile, PricePath, Window

SMALL = """
basket: {WETH: 0.5, USDC: 0.5}
capital_usd: 100000
depth:
  - {kind: uniswap_v2, tokens: [WETH, USDC], usd: 20000000}
limits: {cooldown: 60}
"""
POLICY = "trigger: {kind: band, absolute: 0.01}\ntracking_penalty: 0.5\n"


def write_files(folder):
    (folder / "setup.yaml").write_text(SMALL)
    (folder / "narrow.yaml").write_text(POLICY)
    (folder / "wide.yaml").write_text(POLICY.replace("0.01", "0.2"))


@pytest.fixture
def files(tmp_path):
    write_files(tmp_path)
    return tmp_path


@pytest.fixture
def keeper(files, capsys):
    def keeper(*arguments):
        with pytest.raises(SystemExit) as exited:
            main(["backtest", "--out", str(files / "out"), *map(str, arguments)])
        return int(exited.value.code or 0), *capsys.readouterr()

    return keeper


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """A short run of two policies with four variations: its folder, and what the command printed."""
    folder = tmp_path_factory.mktemp("backtest")
    write_files(folder)
    out = io.StringIO()
    with redirect_stdout(out), pytest.raises(SystemExit) as exited:
        main(
            [
                "backtest", "--setup", str(folder / "setup.yaml"), "--policy", str(folder / "narrow.yaml"),
                "--compare", str(folder / "wide.yaml"), "--days", "6", "--json", "--out", str(folder / "out"),
            ]
        )  # fmt: skip
    assert exited.value.code == 0
    return folder / "out", json.loads(out.getvalue())


class Page(HTMLParser):
    """What is on a page: its tags with their attributes, its text, and whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_a_run_leaves_result_steps_and_report(generated):
    folder, printed = generated
    assert sorted(file.name for file in folder.iterdir()) == [
        "report.html", "result.json", "steps-1-narrow.parquet", "steps-2-wide.parquet",
    ]  # fmt: skip
    result = Result.model_validate_json((folder / "result.json").read_text())
    assert [ran.name for ran in result.policies] == ["narrow", "wide"]
    assert printed["policies"]["narrow"]["metrics"] == json.loads(result.policies[0].metrics.model_dump_json())
    assert printed["policies"]["narrow"]["metrics"]["trades"] > printed["policies"]["wide"]["metrics"]["trades"]
    assert parquet.ParquetFile(folder / "steps-1-narrow.parquet").metadata.num_rows == 145
    assert len(result.sensitivity) == 4


def test_the_files_say_what_the_engine_did(generated, files):
    folder, printed = generated
    setup = load_setup(json.dumps({"seed": 1} | json.loads(load_setup(SMALL).model_dump_json(exclude={"seed"}))))
    path = PricePath(regime="regimes", symbols=setup.symbols, steps=145)
    meter = Meter()
    navs = []
    for step in simulated(setup, path, load_policy(POLICY)):
        meter.add(step)
        navs.append(step.nav_usd)
    assert json.loads(meter.metrics().model_dump_json()) == printed["policies"]["narrow"]["metrics"]
    assert parquet.read_table(folder / "steps-1-narrow.parquet")["nav_usd"].to_pylist() == navs


def test_the_report_asks_for_nothing_from_outside_and_is_for_every_screen(generated):
    text = (generated[0] / "report.html").read_text()
    page = Page(text)
    assert page.open == []
    assert len(text) < 2_000_000
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "img", "iframe", "image", "use"}
        assert not {"src", "href", "srcset", "xlink:href"} & set(attributes)
    assert "url(" not in text
    assert "@import" not in text
    metas = [attributes for tag, attributes in page.tags if tag == "meta"]
    assert {"name": "viewport", "content": "width=device-width,initial-scale=1"} in metas
    assert any("default-src 'none'" in attributes.get("content", "") for attributes in metas)
    assert "prefers-color-scheme:dark" in text


def test_every_picture_of_the_report_has_a_text_alternative(generated):
    page = Page((generated[0] / "report.html").read_text())
    pictures = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(pictures) > 10
    for attributes in pictures:
        assert attributes.get("aria-hidden") == "true" or len(attributes["aria-label"]) > 20


def test_the_report_has_every_section_for_every_policy(generated):
    page = Page((generated[0] / "report.html").read_text())
    for expected in (
        "These prices are generated (regime regimes, seed 1, days 6)", "Ahead of the frictionless portfolio", "Drift",
        "What trading cost", "All figures", "How much hangs on the frictions", "refill 4 times slower",
        "narrow: trades on prices", "narrow: weights", "wide: trades on prices", "Definitions", "The 1 pools",
        "buy and hold", "CVaR",
    ):  # fmt: skip
        assert expected in page.text, expected


def test_a_report_of_many_policies_and_assets_stays_below_two_megabytes(tmp_path):
    """As large as one gets: six policies with charts, twelve assets that move at every step, batches all the time."""
    symbols = tuple(f"T{k}" for k in range(12))
    setup = Setup(basket={symbol: Decimal(1) / 8 if k < 4 else Decimal(1) / 16 for k, symbol in enumerate(symbols)})
    prices = np.array([found for _, found in PricePath(symbols=symbols, steps=2_000)])
    weights = prices / prices.sum(axis=1, keepdims=True)
    policy, meter = load_policy(POLICY), Meter()
    with Record(tmp_path / "steps.parquet", symbols) as record:
        for k in range(len(prices)):
            step = made_step(
                3_600 * k, float(prices[k].sum()), prices=prices[k], oracle=prices[k], weights=weights[k],
                targets=setup.targets, balances=(1,) * 12, executed=made_fill(turnover=1.0) if k % 5 == 0 else None,
            )  # fmt: skip
            meter.add(step)
            record.add(step)
    ran = [Ran(name=f"p{k}", policy=policy, steps="steps.parquet", metrics=meter.metrics()) for k in range(8)]
    write_report(tmp_path, Result(prices={}, setup=setup, policies=tuple(ran), sensitivity=()))
    assert (tmp_path / "report.html").stat().st_size < 2_000_000


def test_names_cannot_break_out_of_the_report(files):
    """A symbol is what somebody wrote into a file."""
    setup = load_setup(SMALL.replace("USDC", '"<b>&"').replace("usd: 2", "usd: 2") + "native: WETH\n")
    path = PricePath(symbols=setup.symbols, steps=30)
    result = run(setup, path, [Entry(name="a", policy=load_policy(POLICY))], files, source={"file": "</pre><script>"})
    write_report(files, result)
    text = (files / "report.html").read_text()
    assert "<b>" not in text
    assert "<script" not in text
    assert "&lt;b&gt;&amp;" in text


def test_other_frictions_make_another_outcome(files):
    setup = load_setup(SMALL)
    changed = Variation(name="x", noise_volume=3.0, refill_half_life=0.25).of(setup).frictions
    assert changed.noise_volume_per_day == pytest.approx(3 * setup.frictions.noise_volume_per_day)
    assert changed.refill_half_life_seconds == pytest.approx(setup.frictions.refill_half_life_seconds / 4)
    result = run(
        setup,
        PricePath(symbols=setup.symbols, steps=24 * 10),
        [Entry(name="a", policy=load_policy(POLICY))],
        files,
        source={},
        variations=[Variation(name="same"), Variation(name="x", noise_volume=20.0)],
    )
    same, other = (varied.metrics["a"] for varied in result.sensitivity)
    assert same == result.policies[0].metrics
    assert other != same


def test_progress_is_told(files):
    told = []
    setup = load_setup(SMALL)
    path = PricePath(symbols=setup.symbols, steps=250)
    run(
        setup, path, [Entry(name="a", policy=load_policy(POLICY))], files, source={},
        progress=lambda *what: told.append(what),
    )  # fmt: skip
    assert length_hint(path) == 250
    assert told == [("a", 0, 250), ("a", 100, 250), ("a", 200, 250), ("a", 250, 250)]


def test_prices_of_a_file_are_run_with_every_symbol_alike(files, keeper):
    path = PricePath(symbols=("BTC", "ETH", "USDC"), steps=60)
    lines = [f"{time},{s},{p}" for time, found in path for s, p in zip(path.symbols, found.tolist(), strict=True)]
    file = files / "prices.csv"
    file.write_text("\n".join(["time,symbol,close", *lines]) + "\n")
    code, out, err = keeper("--prices", file, "--sensitivity", "none", "--json")
    assert (code, err) == (0, "")
    result = Result.model_validate_json((files / "out" / "result.json").read_text())
    assert [float(weight) for weight in result.setup.basket.values()] == [0.333334, 0.333333, 0.333333]
    assert result.setup.native == "ETH"
    assert json.loads(out)["prices"] == {"file": str(file)}

    code, out, err = keeper("--prices", file, "--sensitivity", "none", "--json", "--basket", "BTC=0.5, ETH=0.5",
                            "--from", "2020-01-02")  # fmt: skip
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["policies"]["default"]["metrics"]["steps"] == 60 - 24
    assert found["prices"]["from"] == "2020-01-02"


def test_people_get_a_table_and_are_told_how_far_it_is(files, keeper):
    code, out, err = keeper("--setup", files / "setup.yaml", "--days", 2, "--sensitivity", "none")
    assert code == 0
    assert err == "· default: 49 steps\n"
    assert "frictionless" in out
    assert "report.html" in out


def test_a_gas_file_that_a_setup_names_lies_beside_it(files, keeper):
    (files / "gas.csv").write_text("time,base_fee_wei\n0,7\n")
    (files / "setup.yaml").write_text(SMALL + "gas: {file: gas.csv, priority_fee_wei: '1'}\n")
    assert keeper("--setup", files / "setup.yaml", "--days", 1, "--sensitivity", "none", "--json")[0] == 0
    prices = parquet.read_table(files / "out" / "steps-1-default.parquet")["gas_price_wei"].to_pylist()
    assert set(prices) == {8}


def test_a_batch_may_come_seconds_after_its_decision(files, keeper):
    assert keeper("--setup", files / "setup.yaml", "--policy", files / "narrow.yaml", "--days", 8, "--latency", 24,
                  "--sensitivity", "none", "--json")[0] == 0  # fmt: skip
    table = parquet.read_table(files / "out" / "steps-1-narrow.parquet")
    found = [(row["time"], row["decided_at"]) for row in table.to_pylist() if row["outcome"]]
    assert found
    assert all(time - decided_at == 3_600 for time, decided_at in found)  # seen at the end of the row it fell into
    result = Result.model_validate_json((files / "out" / "result.json").read_text())
    assert result.setup.latency_seconds == 24
    code, _, err = keeper("--days", 1, "--latency", 3_600)
    assert code == 2
    assert "must be shorter than the 3600 s between prices" in err


def test_batches_that_come_too_late_are_told_with_what_to_do_about_it(files, keeper):
    asked = ("--setup", files / "setup.yaml", "--policy", files / "narrow.yaml", "--sensitivity", "none")
    asked += ("--regime", "jumps", "--days", 20, "--seed", 3)
    code, out, _ = keeper(*asked)
    said = "batches were reverted. They met the pools 3600 s after they were decided, with minima 0.50% below what was"
    assert (code, said in " ".join(out.split())) == (0, True)
    assert said in (files / "out" / "report.html").read_text()
    (remark,) = json.loads(keeper(*asked, "--json")[1])["remarks"]
    assert "worth nothing after 300 s: --latency 24" in remark

    assert json.loads(keeper(*asked, "--latency", 24, "--json")[1])["remarks"] == []


def test_few_reverted_batches_are_not_worth_a_word_and_quick_ones_no_other_latency(generated):
    whole = Result.model_validate_json((generated[0] / "result.json").read_text())

    def said(trades, reverted, **setup):
        ran = whole.policies[0]
        metrics = ran.metrics.model_copy(update={"trades": trades, "reverted": reverted})
        changes = {
            "setup": whole.setup.model_copy(update=setup),
            "policies": (ran.model_copy(update={"metrics": metrics}),),
        }
        return remarks(whole.model_copy(update=changes))

    assert said(0, 0) == said(90, 10) == []
    assert "11 of 100 batches were reverted" in said(89, 11)[0]
    assert "--latency" in said(89, 11)[0]
    assert "--latency" not in said(89, 11, latency_seconds=300)[0]
    assert "0 s after" in said(0, 1, latency_steps=0)[0]


def test_pools_come_from_a_depth_file(files, keeper):
    (files / "depth.yaml").write_text("depth:\n  - {kind: uniswap_v2, tokens: [WETH, USDC], usd: 777777}\n")
    assert keeper("--basket", "WETH=0.5,USDC=0.5", "--depth", files / "depth.yaml", "--days", 1, "--json",
                  "--sensitivity", "none")[0] == 0  # fmt: skip
    result = Result.model_validate_json((files / "out" / "result.json").read_text())
    assert [venue.usd for venue in result.setup.venues] == [777_777]


@pytest.mark.data
def test_a_week_of_public_hourly_prices_is_run(keeper, files):
    data = Path(os.environ.get("BALLAST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    prices = data / "prices" / "hourly_btc_eth_train.csv.gz"
    if not prices.is_file():
        pytest.skip("the public data set is not here: set BALLAST_DATA to its folder")
    code, out, err = keeper(
        "--prices", prices, "--fill-gaps", 32, "--basket", "BTC=0.5,ETH=0.3,USDC=0.2", "--from", "2021-05-16",
        "--to", "2021-05-23", "--sensitivity", "none", "--json",
    )  # fmt: skip
    assert (code, err) == (0, "")
    metrics = json.loads(out)["policies"]["default"]["metrics"]
    assert metrics["steps"] == 7 * 24
    assert metrics["trades"] > 0  # ETH lost a third in that week
    (_, first), *_, (_, last) = Window(PriceFile(prices, ("BTC", "ETH"), fill_gaps=32), 1_621_123_200, 1_621_728_000)
    btc, eth = last / first
    assert metrics["hold"]["growth"] == pytest.approx(0.5 * btc + 0.3 * eth + 0.2 - 1, abs=1e-6)


def test_two_policies_of_one_name_are_told_apart(files, keeper):
    _, out, _ = keeper("--setup", files / "setup.yaml", "--days", 1, "--sensitivity", "none", "--json",
                       "--policy", files / "narrow.yaml", "--compare", files / "narrow.yaml")  # fmt: skip
    assert list(json.loads(out)["policies"]) == ["narrow", "narrow-2"]


def test_an_earlier_result_is_replaced_and_a_foreign_folder_is_not(files, keeper):
    arguments = ("--setup", files / "setup.yaml", "--days", 1, "--sensitivity", "none", "--json")
    assert keeper(*arguments)[0] == 0
    assert keeper(*arguments, "--policy", files / "wide.yaml")[0] == 0
    assert (files / "out" / "steps-1-wide.parquet").exists()
    assert not (files / "out" / "steps-1-default.parquet").exists()
    (files / "out" / "thesis.tex").write_text("years of work")
    code, _, err = keeper(*arguments)
    assert code == 2
    assert "out holds thesis.tex, which is no result of a backtest: give another --out" in err
    assert (files / "out" / "thesis.tex").read_text() == "years of work"


def test_what_fails_leaves_the_earlier_result_and_nothing_else(tmp_path):
    out = tmp_path / "out"
    with output_folder(out) as folder:
        (folder / "result.json").write_text("one")

    def fail():
        with output_folder(out) as folder:
            (folder / "result.json").write_text("two")
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail()
    assert (out / "result.json").read_text() == "one"
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_the_folder_one_stands_in_is_foreign_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").write_text("x")
    with pytest.raises(InputError, match="holds mine"), output_folder(Path()):
        pass


def test_a_result_that_a_kill_left_under_its_other_name_is_found_again(tmp_path):
    """The earlier result makes room for the new one by a rename, which a kill may follow."""
    (tmp_path / ".out.old").mkdir()
    (tmp_path / ".out.old" / "result.json").write_text("earlier")
    with pytest.raises(RuntimeError, match="again"), output_folder(tmp_path / "out"):
        raise RuntimeError("again")
    assert (tmp_path / "out" / "result.json").read_text() == "earlier"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_a_result_that_cannot_take_its_place_leaves_the_earlier_one(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "result.json").write_text("earlier")
    rename = Path.rename

    def refused(self, target):
        if self.name == ".out.part":
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(OSError, match="no"), output_folder(tmp_path / "out"):
        pass
    monkeypatch.undo()
    with output_folder(tmp_path / "out"):
        assert (tmp_path / "out" / "result.json").read_text() == "earlier"


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(InputError, match=r"cannot write to .*out: Not a directory"),
        output_folder(tmp_path / "file" / "out"),
    ):
        pass


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(InputError, match="is no folder"), output_folder(tmp_path / "out"):
        pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--prices", "none.csv"), "cannot read the price file none.csv"),
        (("--policy", "none.yaml"), "cannot read the policy file none.yaml"),
        (("--gas", "none.csv"), "cannot read the gas file none.csv"),
        (("--basket", "WETH=0.5,USDC=0.4"), "the targets sum to 0.9, they must sum to 1"),
        (("--basket", "WETH"), "--basket takes SYMBOL=WEIGHT"),
        (("--basket", "WETH=0.5,WETH=0.5"), "--basket names WETH twice"),
        (("--from", "soon"), "--from soon is no day"),
        (("--from", "2020-02-01", "--to", "2020-01-01"), "--from 2020-02-01 must come before --to 2020-01-01"),
        (("--from", "2030-01-01", "--days", "1"), "two rows of prices at least, there are 0"),
        (("--days", "0"), "Invalid value for '--days'"),
        (("--band", "nan"), "nan is no finite number"),
        (("--basket", "=1"), "--basket takes SYMBOL=WEIGHT"),
        (("--latency", "3600"), "latency_seconds is 3600, which must be shorter than the 3600 s between prices"),
    ],
)
def test_bad_usage_is_one_line_exit_code_2_and_no_folder(files, keeper, arguments, message):
    code, out, err = keeper(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (files / "out").exists()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("--setup", "- a\n", "must be a mapping of fields"),
        ("--setup", "bascet: {}\n", "bascet: unknown field"),
        ("--setup", "basket: {WETH: [\n", "is not YAML"),
        ("--setup", "basket: {WETH: 1}\nbasket: {WBTC: 1}\n", "basket is given twice"),
        ("--setup", "capital_usd: 0.5\n", "capital_usd: Input should be greater than or equal to 1"),
        ("--setup", "capital_usd: 1e13\n", "capital_usd: Input should be less than or equal to 1000000000000"),
        ("--setup", "depth_scale: 1e7\n", "depth_scale: Input should be less than or equal to 1000000"),
        ("--setup", "feeds: {WTH: {deviation: 0.01}}\n", "feeds: WTH is neither in the basket nor in a pool"),
        ("--setup", "decimals: {WTH: 6}\n", "decimals: WTH is neither in the basket nor in a pool"),
        ("--setup", "decimals: {LINK: 36}\n", "a pool of LINK/WETH with $3,000,000: reserve"),
        ("--setup", "gas: {file: nowhere.csv}\n", "cannot read the gas file"),
        ("--depth", "[]\n", "has no pools: list some, or leave --depth out"),
        (
            "--depth",
            "- {kind: uniswap_v2, tokens: [WETH, USDC], usd: 1e13}\n",
            "usd: Input should be less than or equal",
        ),
        ("--depth", "- {kind: uniswap_v2, tokens: [WETH, WETH], usd: 1}\n", "a pool of WETH against itself"),
        ("--policy", "trigger: {kind: band}\ntracking_penalty: 1\n", "a band needs absolute or relative"),
        ("--gas", "time,base_fee_wei\n5,x\n", "row 2: 'x' is no whole number"),
        ("--prices", "time,symbol,close\n0,BTC,1\n60,BTC,2\n", "has neither WETH nor ETH"),
        ("--prices", "time,symbol,close\n0,WETH,1\n60,WETH,0\n", "row 3: '0' is no price"),
    ],
)
def test_a_bad_file_is_one_line_and_exit_code_2(files, keeper, name, text, message):
    path = files / "bad.csv"
    path.write_text(text)
    code, out, err = keeper(name, path, "--days", 1)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


PRICES = "time,symbol,close\n" + "".join(
    f"{60 * k},{symbol},{9 + k % 2}\n" for k in range(3) for symbol in ("ETH", "A")
)


def test_a_name_that_stands_for_nothing_is_refused(files, keeper):
    (files / "prices.csv").write_text(PRICES)
    code, out, err = keeper("--prices", files / "prices.csv", "--name", "WETH=ETH", "--name", "WBTC=BTC")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--name WBTC=BTC: neither basket nor pools have WBTC" in err


def test_what_pays_for_gas_may_have_another_name_in_the_file(files, keeper):
    (files / "prices.csv").write_text(PRICES)
    (files / "pools.yaml").write_text("[{kind: uniswap_v2, tokens: [A, WETH], usd: 1e6}]")
    named = ("--prices", files / "prices.csv", "--name", "WETH=ETH", "--depth", files / "pools.yaml")
    assert keeper(*named, "--basket", "A=0.5,WETH=0.5", "--sensitivity", "none")[0] == 0


def test_a_basket_of_a_setup_that_is_no_mapping_is_not_replaced(files, keeper):
    (files / "prices.csv").write_text(PRICES)
    (files / "bad.yaml").write_text("basket: []\n")
    code, _, err = keeper("--prices", files / "prices.csv", "--setup", files / "bad.yaml")
    assert (code, err.count("\n")) == (2, 1)
    assert "basket: must be a mapping" in err


def test_no_default_policy_is_needed_to_read_a_setup_back():
    assert load_setup(Setup().model_dump_json()) == Setup()


def test_a_report_of_a_run_without_batches_and_variations_has_no_place_for_them(files, keeper):
    (files / "asleep.yaml").write_text(POLICY.replace("0.01", "0.9"))
    assert keeper("--setup", files / "setup.yaml", "--policy", files / "asleep.yaml", "--days", 2,
                  "--sensitivity", "none")[0] == 0  # fmt: skip
    page = Page((files / "out" / "report.html").read_text())
    assert "How much hangs on the frictions" not in page.text
    assert "All 0 batches" not in page.text


def test_dollars_are_written_in_the_unit_that_fits():
    assert [_dollars(value) for value in (5.0, 1500.0, -2.5e6, 3e9)] == ["$5.00", "$1.5k", "$-2.5M", "$3B"]
