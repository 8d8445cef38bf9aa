"""`history`, `replay`, `export`, `halt` and `resume` on journals that a keeper wrote on the offline mainnet."""

import csv
import json
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from pyarrow import parquet

from keeper.devnet import DEV_KEYS

OWNER, KEEPER = DEV_KEYS[:2]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(place) -> Run:
    """The command `keeper` beside a vault that is off its weights."""
    return place.run


def history(run: Run, *options: object):
    code, out, err = run("history", "--json", *options)
    assert (code, err) == (0, "")
    return json.loads(out)


@pytest.fixture
def traded(run, devnet) -> Run:
    """A keeper that has traded once, and a few blocks later found nothing more to do."""
    assert run("run", "--once", "--live")[0] == 0
    devnet.mine(4)
    assert run("run", "--once", "--live")[0] == 0
    return run


def test_history_tells_what_was_decided_sent_and_done(traded):
    told = history(traded, "--live")
    assert [row["status"] for row in told["decisions"]] == ["hold", "rebalance"]
    assert all(row["replayable"] for row in told["decisions"])
    (batch,) = told["batches"]
    assert batch["state"] == "done"
    (attempt,) = batch["attempts"]
    assert attempt["kind"] == "batch"
    assert attempt["hash"] in batch["why"]


def test_history_has_no_bytes_that_could_be_sent(traded):
    _, out, _ = traded("history", "--json", "--live")
    assert max(map(len, out.split('"'))) < 200


def test_history_is_as_long_as_asked_for(traded):
    told = history(traded, "--live", "--limit", 1)
    assert ([row["status"] for row in told["decisions"]], len(told["batches"])) == (["hold"], 1)


def test_history_is_two_tables_for_people_with_a_line_for_each_entry(traded):
    code, out, _ = traded("history", "--live")
    assert code == 0
    told = history(traded, "--live")
    lines = [line.rstrip() for line in out.splitlines() if re.match(r" *\d+  \d{4}-", line)]
    for line, row in zip(lines, told["decisions"], strict=False):
        assert line.endswith(row["reason"])
    assert len(lines) == len(told["decisions"]) + len(told["batches"])
    assert lines[-1].endswith(told["batches"][0]["why"])


def test_rehearsals_and_trades_are_kept_apart(traded, tmp_path):
    code, _, err = traded("history")
    assert code == 2
    assert err == f"keeper: journal: there is none at {tmp_path / 'journal-dry.sqlite'} yet: `keeper run` starts it\n"


def test_check_leaves_no_journal_behind(run, tmp_path):
    """Whoever checks may be root, and the keeper not: it could not open the file."""
    before = set(tmp_path.iterdir())
    code, out, _ = run("check", "--json")
    (database,) = [check for check in json.loads(out)["checks"] if check["name"] == "database"]
    assert (code, database["ok"]) == (0, True)
    assert database["detail"].endswith("journal-live.sqlite yet: `keeper run` starts it")
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("command", [["history"], ["replay", "1"], ["export", "out.csv"]])
def test_who_looks_at_a_journal_that_is_not_there_leaves_none_behind(run, tmp_path, command):
    before = set(tmp_path.iterdir())
    code, _, err = run(*command)
    assert (code, err.count("\n")) == (2, 1)
    assert set(tmp_path.iterdir()) == before


def test_the_journal_is_nobody_elses_to_read(traded, tmp_path):
    assert stat.S_IMODE((tmp_path / "journal-live.sqlite").stat().st_mode) == 0o600


def test_every_decision_replays_the_same(traded):
    for row in history(traded, "--live")["decisions"]:
        code, out, _ = traded("replay", row["id"], "--live")
        assert code == 0
        assert out.splitlines() == [f"then: {'hold' if row['status'] == 'hold' else 'rebalance'}: {row['reason']}",
                                    "now:  the same"]  # fmt: skip


def test_a_decision_that_comes_out_differently_is_told(traded, monkeypatch):
    row = history(traded, "--live")["decisions"][-1]
    hold = history(traded, "--live")["decisions"][0]
    from keeper import policy  # noqa: PLC0415 - what is replaced

    (_, out, _) = traded("replay", hold["id"], "--live", "--json")
    then = json.loads(out)["then"]
    real = policy.decide
    monkeypatch.setattr(policy, "decide", lambda *facts: real(*facts).model_copy(update={"reason": then["reason"]}))
    code, out, err = traded("replay", row["id"], "--live")
    assert code == 1
    assert err == f"keeper: decision {row['id']} comes out differently now\n"
    assert then["reason"] in out


def test_a_decision_that_is_not_there_is_bad_usage(traded):
    code, _, err = traded("replay", 99, "--live")
    assert (code, err) == (2, "keeper: the journal has no decision 99: see `keeper history`\n")


def rows_of(path: Path) -> list[dict[str, str]]:
    if path.suffix == ".csv":
        return list(csv.DictReader(path.read_text().splitlines()))
    rows: list[dict[str, str]] = parquet.read_table(path).to_pylist()
    return rows


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_an_export_has_each_batch_with_what_it_cost(traded, tmp_path, suffix):
    out = tmp_path / f"batches{suffix}"
    assert traded("export", out, "--live") == (0, f"1 batches written to {out}\n", "")
    (row,) = rows_of(out)
    (batch,) = history(traded, "--live")["batches"]
    assert (row["intent"], row["state"], row["hash"]) == (str(batch["id"]), "done", batch["attempts"][0]["hash"])
    assert int(row["realised_cost"]) == int(row["nav_before"]) - int(row["nav_after"])
    assert int(row["drift_after"]) < int(row["drift_before"])


def test_an_export_to_a_file_of_no_known_kind_is_bad_usage(traded, tmp_path):
    code, _, err = traded("export", tmp_path / "batches.xls", "--live")
    assert code == 2
    assert err.endswith("the file must end in .csv or .parquet\n")


def test_an_export_that_cannot_be_written_is_one_line(traded, tmp_path):
    code, _, err = traded("export", tmp_path / "absent" / "batches.csv", "--live")
    assert (code, err.count("\n")) == (2, 1)


def test_a_halted_keeper_refuses_until_it_is_resumed(run):
    assert run("halt", "the feeds look wrong") == (0, "halted: the feeds look wrong\n", "")
    code, _, err = run("run", "--once")
    assert (code, err) == (3, "keeper: refused: halted: the feeds look wrong; `keeper resume` takes it back\n")
    assert history(run)["decisions"][0]["status"] == "refused"
    assert run("resume", "--json")[:2] == (0, '{"halted": null}\n')
    assert run("run", "--once")[0] == 0


def test_who_halts_halts_the_keeper_that_sends_too(run):
    assert run("run", "--once")[0] == 0
    run("resume", "--live")  # both have a journal now
    run("halt", "stop")
    assert [run("run", "--once", *mode)[0] for mode in ((), ("--live",))] == [3, 3]
    run("resume", "--live")
    assert [run("run", "--once", *mode)[0] for mode in ((), ("--live",))] == [3, 0]


def test_a_keeper_can_be_halted_before_it_runs(run):
    run("halt", "not yet", "--live")
    code, _, err = run("run", "--once", "--live")
    assert (code, err) == (3, "keeper: refused: halted: not yet; `keeper resume` takes it back\n")
    assert run("run", "--once")[0] == 0


def test_halting_leaves_no_journal_behind_for_a_keeper_that_never_ran(run, tmp_path):
    assert run("run", "--once")[0] == 0
    run("halt", "stop")
    assert not (tmp_path / "journal-live.sqlite").exists()


def test_the_same_in_postgres(run, devnet, tmp_path, postgres):
    path = tmp_path / "ballast.yaml"
    # A database for each mode in life; here the mode is only a label of the connection.
    url = postgres().render_as_string(hide_password=False) + "&application_name={mode}"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"journal": url.replace("%7B", "{")}))
    assert run("history", "--live")[0] == 2
    assert run("run", "--once", "--live")[0] == 0
    devnet.mine(4)
    assert run("run", "--once", "--live")[0] == 0
    told = history(run, "--live")
    assert [batch["state"] for batch in told["batches"]] == ["done"]
    assert [run("replay", row["id"], "--live")[0] for row in told["decisions"]] == [0, 0]
    assert run("export", tmp_path / "batches.csv", "--live")[0] == 0


def test_a_password_in_the_configuration_is_in_no_message(run, tmp_path):
    path = tmp_path / "ballast.yaml"
    for journal in ("postgresql://keeper:hunter2@127.0.0.1:1/{mode}", "postgresql://keeper:hunter2@127.0.0.1:1/db"):
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"journal": journal}))
        code, out, err = run("history")
        assert (code, err.count("\n")) == (2, 1)
        assert "hunter2" not in out + err
