"""Sweeps: every cell once, whatever happens in between; and what they say of cells that make no sense."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import distributed
import pyarrow.parquet as pq
import pytest
import yaml

from keeper.backtest import sweep as sweeps
from keeper.backtest.frontier import draw_frontier, points
from keeper.backtest.sweep import Results, cells, load_sweep, run_cell, run_sweep
from keeper.cli import main
from keeper.domain import InputError

SWEEP = {
    "policy": {"trigger": {"kind": "band", "absolute": 0.01}, "tracking_penalty": 0.5},
    "strategies": {
        "band": {"grid": {"trigger.absolute": [0.01, 0.03]}},
        "weekly": {"changes": {"trigger": {"kind": "calendar", "every_seconds": 604_800}}},
    },
    "setup": {
        "basket": {"WETH": 0.5, "WBTC": 0.5},
        "depth": [{"kind": "uniswap_v2", "tokens": ["WETH", "WBTC"], "usd": 2e7}],
        "latency_seconds": 24,
    },
    "markets": [{"regime": "gbm", "days": 3, "step_seconds": 43_200}],
    "seeds": {"first": 5, "count": 2},
}


def written(folder: Path, **changes: object) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(SWEEP | changes))
    return path


def loaded(folder: Path, **changes: object) -> list[sweeps.Cell]:
    return cells(load_sweep(written(folder, **changes)))


def test_every_point_meets_every_market_and_seed_once(tmp_path):
    found = loaded(tmp_path, markets=[{"regime": "gbm", "days": 3}, {"regime": "crash", "days": 3}])
    assert len(found) == 3 * 2 * 2
    assert len({cell.key for cell in found}) == len(found)
    assert {(cell.strategy, cell.point) for cell in found} == {
        ("band", "trigger.absolute=0.01"),
        ("band", "trigger.absolute=0.03"),
        ("weekly", ""),
    }


def test_a_cell_is_named_by_what_it_depends_on_and_not_by_what_it_is_called(tmp_path):
    before = {cell.key for cell in loaded(tmp_path)}
    renamed = SWEEP["strategies"] | {"seven days": SWEEP["strategies"]["weekly"]}
    del renamed["weekly"]
    market = SWEEP["markets"][0] | {"name": "quiet"}
    assert {cell.key for cell in loaded(tmp_path, strategies=renamed, markets=[market])} == before
    assert before.isdisjoint({cell.key for cell in loaded(tmp_path, setup=SWEEP["setup"] | {"capital_usd": 2e6})})


def test_a_change_of_the_code_makes_every_result_old(tmp_path, monkeypatch):
    before = {cell.key for cell in loaded(tmp_path)}
    monkeypatch.setattr(sweeps, "code_version", lambda: "another")
    assert before.isdisjoint({cell.key for cell in loaded(tmp_path)})


def test_a_price_file_counts_by_its_content(tmp_path):
    rows = [f"{86_400 * day},{symbol},{100 + day}" for day in range(1, 5) for symbol in ("WETH", "WBTC")]
    prices = tmp_path / "prices.csv"
    prices.write_text("\n".join(["time,symbol,close", *rows]) + "\n")
    market = {"prices_file": "prices.csv"}
    before = {cell.key for cell in loaded(tmp_path, markets=[market])}
    prices.write_text(prices.read_text().replace("104", "105"))
    sweeps._content.cache_clear()
    assert before.isdisjoint({cell.key for cell in loaded(tmp_path, markets=[market])})


def test_a_cell_run_again_comes_out_the_same(tmp_path):
    cell = loaded(tmp_path, daily=True)[0]
    first, again = run_cell(cell.spec), run_cell(cell.spec)
    assert first == again
    assert first["metrics"]["steps"] == 7
    assert len(first["daily"]["active"]) == len(first["daily"]["cost_bp"]) == 3


def test_days_add_up_to_what_the_metrics_say(tmp_path):
    market = {"regime": "gbm", "days": 20, "step_seconds": 43_200}
    (cell, *_) = loaded(tmp_path, markets=[market], daily=True)
    found = run_cell(cell.spec)
    assert found["metrics"]["trades"] > 0
    cost, years = found["metrics"]["cost_bp"]["total"], found["metrics"]["years"]
    assert sum(found["daily"]["cost_bp"]) == pytest.approx(cost * years, rel=1e-9)


_KILLED = """
import os, signal, sys
from pathlib import Path
from keeper.backtest.sweep import Results, cells, load_sweep, run_sweep

if __name__ == "__main__":
    folder = Path(sys.argv[1])

    def report(done, of):
        if done > 4:
            os.kill(os.getpid(), signal.SIGKILL)

    run_sweep(cells(load_sweep(folder / "sweep.yaml")), Results(folder / "out"), report, workers=1)
"""


def test_a_sweep_that_is_killed_does_only_the_rest_when_started_again(tmp_path, capsys):
    script = tmp_path / "killed.py"
    script.write_text(_KILLED)
    path = written(tmp_path, seeds={"first": 1, "count": 4})  # 12 cells, by fours
    killed = subprocess.run([sys.executable, script, tmp_path], cwd=Path.cwd(), check=False)  # noqa: S603  ours
    assert killed.returncode == -signal.SIGKILL
    kept = (tmp_path / "out" / "results.jsonl").read_text()
    assert kept.count("\n") == 8
    with (tmp_path / "out" / "results.jsonl").open("a") as file:
        file.write('{"key": "half a li')  # what a kill in the middle of a line leaves

    with pytest.raises(SystemExit) as exited:
        main(["sweep", str(path), "--out", str(tmp_path / "out"), "--workers", "1", "--json"])
    assert not exited.value.code
    printed, said = capsys.readouterr()
    assert said.splitlines()[0] == "· 8 of 12 runs"
    assert json.loads(printed)["runs"] == 12
    lines = (tmp_path / "out" / "results.jsonl").read_text()
    assert lines.startswith(kept)
    assert len({json.loads(line)["key"] for line in lines.splitlines()}) == lines.count("\n") == 12
    assert pq.read_table(tmp_path / "out" / "sweep.parquet").num_rows == 12
    assert (tmp_path / "out" / "sweep.csv").read_text().count("\n") == 13
    for picture in ("frontier.svg", "frontier.png"):
        assert (tmp_path / "out" / picture).stat().st_size > 5_000

    # And a third time there is nothing to do: not even a cluster is started.
    results = Results(tmp_path / "out")
    assert run_sweep(cells(load_sweep(path)), results, lambda *_: None, scheduler="tcp://127.0.0.1:1") == []
    results.close()


def test_a_cell_that_fails_is_named_and_loses_no_other(tmp_path, monkeypatch):
    wanted = loaded(tmp_path)
    broken = wanted[1]
    bad = sweeps.Cell(broken.strategy, broken.point, broken.market, broken.seed, '{"setup": {}}', "bad")
    found = sweeps._run_batch(sweeps.code_version(), [wanted[0].spec, bad.spec, wanted[2].spec])
    assert isinstance(found[1], str)
    assert [isinstance(result, dict) for result in found] == [True, False, True]


def test_a_worker_with_other_code_is_refused(tmp_path):
    with pytest.raises(InputError, match="another version"):
        sweeps._run_batch("another", [])


def test_a_scheduler_that_is_not_there_is_one_clear_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sweeps, "_PATIENCE", 1)
    with pytest.raises(SystemExit) as exited:
        main(["sweep", str(written(tmp_path)), "--out", str(tmp_path / "out"), "--scheduler", "tcp://127.0.0.1:1"])
    assert exited.value.code == 2
    assert "cannot reach the Dask scheduler at tcp://127.0.0.1:1" in capsys.readouterr().err.splitlines()[-1]


def test_a_cluster_by_address_gives_what_this_machine_gives(tmp_path):
    wanted = loaded(tmp_path)[:2]
    results = Results(tmp_path / "out")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", processes=False
    ) as there:
        assert run_sweep(wanted, results, lambda *_: None, scheduler=there.scheduler_address) == []
    assert [entry["metrics"] for entry in results.of(wanted)] == [run_cell(cell.spec)["metrics"] for cell in wanted]
    results.close()


def test_a_cluster_whose_workers_are_still_to_come_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(distributed.Client, "nthreads", lambda _: {})
    wanted = loaded(tmp_path)[:1]
    results = Results(tmp_path / "out")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", processes=False
    ) as there:
        assert run_sweep(wanted, results, lambda *_: None, scheduler=there.scheduler_address) == []
    assert len(results.of(wanted)) == 1
    results.close()


def test_points_are_means_over_seeds(tmp_path):
    def entry(strategy: str, cost: float, error: float) -> dict[str, object]:
        metrics = {"cost_bp": {"total": cost}, "tracking_error": error, "turnover": 1.0, "trades": 2, "reverted": 0}
        return {"market": "gbm", "strategy": strategy, "point": "", "metrics": metrics}

    found = points([entry("a", 10.0, 0.03), entry("b", 5.0, 0.01), entry("a", 20.0, 0.04)])
    assert [(point.strategy, point.runs, point.cost_bp) for point in found] == [("a", 2, 15.0), ("b", 1, 5.0)]
    assert found[0].tracking_error == pytest.approx(((0.03**2 + 0.04**2) / 2) ** 0.5)
    draw_frontier(found, [tmp_path / "frontier.svg"])
    picture = (tmp_path / "frontier.svg").read_bytes()
    draw_frontier(found, [tmp_path / "frontier.svg"])
    assert (tmp_path / "frontier.svg").read_bytes() == picture


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"markets": []}, "markets"),
        ({"markets": [{"regime": "storm"}]}, "regime"),
        ({"markets": [{"regime": "gbm"}, {"regime": "gbm"}]}, "two markets are called gbm"),
        ({"markets": [{"prices_file": "nowhere.csv"}]}, "nowhere.csv"),
        ({"seeds": []}, "seeds"),
        ({"grid": {"trigger.absolute": []}}, "grid"),
        ({"grid": {"trigger.absolute.deep": [1]}}, "trigger.absolute.deep leads through absolute"),
        ({"grid": {"trigger.absolute": [-1]}}, "strategy band at trigger.absolute=-1"),
        ({"setup": {"basket": {"WETH": 0.5}}}, "setup"),
        ({"policy": {"file": "nowhere.yaml"}}, "nowhere.yaml"),
        ({"colour": "red"}, "colour"),
        ({"markets": 5}, "markets"),
        ({"markets": [{"regime": "gbm", "assets": {"DOGE": {}}}]}, "gbm: assets: DOGE is neither in the basket nor in"),
        ({"policy": {"file": "broken.yaml"}}, "broken.yaml is not YAML"),
        ({"policy": {"file": "binary.yaml"}}, "binary.yaml is not text"),
        ({"setup": {"basket": {"WETH": 0.5, "WBTC": 0.5}, "gas": {"file": "nowhere.csv"}}}, "cannot read the gas file"),
        ({"setup": {"basket": {"WETH": 0.5, "WBTC": 0.5}, "latency_seconds": 10**6}}, "latency_seconds is 1000000"),
    ],
)
def test_what_makes_no_sense_is_one_line_with_its_place_and_exit_code_2(tmp_path, capsys, changes, says):
    changes = {"strategies": {"band": {}}} | changes
    (tmp_path / "broken.yaml").write_text("[")
    (tmp_path / "binary.yaml").write_bytes(b"\xff")
    with pytest.raises(SystemExit) as exited:
        main(["sweep", str(written(tmp_path, **changes)), "--out", str(tmp_path / "out")])
    printed, said = capsys.readouterr()
    assert exited.value.code == 2
    assert printed == ""
    assert said.count("\n") == 1
    assert says in said


def test_a_market_without_rows_is_refused_before_anything_runs(tmp_path):
    rows = "".join(f"{day * 86_400},{symbol},100\n" for day in range(10) for symbol in ("WETH", "WBTC"))
    (tmp_path / "prices.csv").write_text("time,symbol,close\n" + rows)
    market = {"prices_file": "prices.csv", "start": 20 * 86_400}
    with pytest.raises(InputError, match="two rows of prices at least, there are 0: widen its window"):
        loaded(tmp_path, markets=[market])


@pytest.mark.parametrize(
    ("text", "says"), [(None, "cannot read .*: No such file"), (b"[", "is not YAML"), (b"\xff", "not text")]
)
def test_a_sweep_file_that_cannot_be_read_is_one_line(tmp_path, text, says):
    path = tmp_path / "sweep.yaml"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(InputError, match=says):
        load_sweep(path)


@pytest.mark.parametrize("line", [b"what is this\n", b'{"metrics": 1}\n', b"5\n", b"\xff\xfe\n"])
def test_a_line_that_is_no_result_is_named_and_kept(tmp_path, line):
    good = b'{"key": "a"}\n'
    (tmp_path / "results.jsonl").write_bytes(good + line)
    with pytest.raises(InputError, match=r"results\.jsonl: line 2 is no result of a sweep: move the file away"):
        Results(tmp_path)
    assert (tmp_path / "results.jsonl").read_bytes() == good + line


def test_another_gas_file_is_another_run(tmp_path):
    def keys(wei: int) -> list[str]:
        sweeps._content.cache_clear()
        (tmp_path / "gas.csv").write_text(f"time,base_fee_wei\n0,{wei}\n")
        return [cell.key for cell in loaded(tmp_path, setup=SWEEP["setup"] | {"gas": {"file": "gas.csv"}})]

    assert keys(5) == keys(5)
    assert not set(keys(5)) & set(keys(6))


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot write into .*out: File exists"):
        Results(tmp_path / "out")
