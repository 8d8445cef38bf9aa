"""What a price file may look like, and the one line that says what is wrong with it."""

import gzip
import os
import pickle
import tracemalloc
from datetime import UTC, date, datetime
from operator import length_hint
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from keeper.domain.errors import InputError
from keeper.market.history import PriceFile

DAY = 86_400
START = 1_577_836_800  # 2020-01-01


@pytest.fixture
def written(tmp_path):
    """Write text into a file and return its path."""

    def write(text, name="prices.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def csv(*rows, header="time,symbol,close"):
    return "\n".join([header, *rows]) + "\n"


def rows(prices):
    return [(time, *found.tolist()) for time, found in prices]


MIXED = csv("0,A,1.5", "0,B,20", "60,A,1.6", "60,B,21", "120,A,1.7", "120,B,22")
EXPECTED = [(0, 1.5, 20.0), (60, 1.6, 21.0), (120, 1.7, 22.0)]


def test_rows_come_with_every_symbol_at_once(written):
    prices = PriceFile(written(MIXED))
    assert (prices.symbols, prices.step) == (("A", "B"), 60)
    assert rows(prices) == EXPECTED
    assert rows(prices) == EXPECTED  # and again
    assert length_hint(prices) == 3


def test_symbols_may_come_one_after_the_other(written):
    grouped = csv("0,B,20", "60,B,21", "120,B,22", "0,A,1.5", "60,A,1.6", "120,A,1.7")
    assert rows(PriceFile(written(grouped), ("A", "B"))) == EXPECTED


def test_columns_may_stand_in_any_order_beside_others(written):
    text = csv("x,9,1.5,A,0", "x,9,1.6,A,60", header="source,volume,CLOSE, Symbol,Time")
    assert rows(PriceFile(written(text))) == [(0, 1.5), (60, 1.6)]


def test_a_gzipped_file_is_read(tmp_path):
    path = tmp_path / "prices.csv.gz"
    path.write_bytes(gzip.compress(MIXED.encode()))
    assert rows(PriceFile(path)) == EXPECTED


@pytest.mark.parametrize(
    "times",
    [
        [START, START + DAY],
        [float(START), float(START + DAY)],
        [datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC)],
        [datetime(2020, 1, 1), datetime(2020, 1, 2)],
        [date(2020, 1, 1), date(2020, 1, 2)],
        ["2020-01-01T00:00Z", "2020-01-02T00:00Z"],
    ],
    ids=["integers", "floats", "moments", "moments without a zone", "days", "text"],
)
def test_a_parquet_file_has_times_of_any_kind(tmp_path, times):
    path = tmp_path / "prices.parquet"
    parquet.write_table(pa.table({"time": times, "symbol": ["A", "A"], "close": [1.5, 1.6]}), path)
    assert rows(PriceFile(path)) == [(START, 1.5), (START + DAY, 1.6)]


@pytest.mark.parametrize(
    "times",
    [
        ("1577836800", "1577923200"),
        ("2020-01-01", "2020-01-02"),
        ("2020-01-01T00:00Z", "2020-01-02T00:00Z"),
        ("2020-01-01 00:00:00", "2020-01-02 00:00:00"),
        ("2020-01-01T01:00+01:00", "2020-01-02T00:00:00+00:00"),
        ("20200101T000000Z", "1577923200"),
    ],
)
def test_times_are_unix_seconds_or_iso_8601(written, times):
    first, second = times
    assert [time for time, _ in PriceFile(written(csv(f"{first},A,1", f"{second},A,2")))] == [START, START + DAY]


@pytest.mark.parametrize(
    ("column", "times", "seen"),
    [
        ("date", ("2020-01-01", "2020-01-02"), START + DAY),
        ("hour_open_utc", ("2020-01-01T00:00Z", "2020-01-01T01:00Z"), START + 3600),
        ("timestamp", ("1577836800", "1577836860"), START),
    ],
)
def test_a_close_is_seen_at_the_end_of_its_day_or_hour(written, column, times, seen):
    text = csv(*(f"{time},A,1" for time in times), header=f"{column},symbol,close")
    assert next(iter(PriceFile(written(text))))[0] == seen


def test_rows_begin_where_the_youngest_symbol_does_and_end_with_the_first_that_ends(written):
    text = csv("0,A,1", "10,A,2", "20,A,3", "30,A,4", "10,B,5", "20,B,6")
    assert rows(PriceFile(written(text))) == [(10, 2, 5), (20, 3, 6)]


def test_a_file_may_call_a_symbol_by_another_name(written):
    prices = PriceFile(written(MIXED), ("WETH", "A"), names={"WETH": "B"})
    assert prices.symbols == ("WETH", "A")
    assert rows(prices)[0] == (0, 20.0, 1.5)


def test_names_count_too_where_every_symbol_is_read(written):
    assert PriceFile(written(MIXED), names={"WETH": "B"}).symbols == ("A", "WETH")


def test_a_symbol_that_may_be_missing_is_left_out(written):
    path = written(MIXED)
    assert PriceFile(path, ("A", "USDC", "B"), optional=("USDC",)).symbols == ("A", "B")
    assert PriceFile(path, ("A", "B"), optional=("B",)).symbols == ("A", "B")


def test_what_is_wrong_with_a_symbol_that_is_not_asked_for_is_no_matter(written):
    text = csv("0,A,1", "0,B,zero", "10,A,2", "5,C,-1", "3,C,nan")
    assert rows(PriceFile(written(text), ("A",))) == [(0, 1), (10, 2)]


def test_a_gap_that_is_allowed_stands_at_the_close_before_it(written):
    path = written(csv("0,A,1", "10,A,2", "40,A,3", "50,A,4", "60,A,5"))
    assert rows(PriceFile(path, fill_gaps=2)) == [(0, 1), (10, 2), (20, 2), (30, 2), (40, 3), (50, 4), (60, 5)]
    with pytest.raises(InputError, match=r"row 4: A has a gap of 2 rows before 1970-01-01 00:00:40: --fill-gaps 2 "):
        PriceFile(path, fill_gaps=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (csv("0,A,1", "10,A,2", "10,A,3"), "row 4: A has a second price at 1970-01-01 00:00:10: keep one"),
        (csv("10,A,1", "0,A,2"), "row 3: A at 1970-01-01 00:00 comes after A at 1970-01-01 00:00:10: sort"),
        (csv("0,A,1", "10,A,0"), "row 3: '0' is no price"),
        (csv("0,A,1", "10,A,-2.5"), "row 3: '-2.5' is no price"),
        (csv("0,A,1", "10,A,nan"), "row 3: 'nan' is no price"),
        (csv("0,A,1", "10,A,inf"), "row 3: 'inf' is no price"),
        (csv("0,A,1", "10,A,"), "row 3: an empty cell is no price"),
        (csv("0,A,1", "10,A,cheap"), "row 3: 'cheap' is no price"),
        (csv("0,A,1", "10,A,1_000"), "row 3: '1_000' is no price"),
        (csv("0,A,1", "10,A,1e-9"), "row 3: '1e-9' is no price that a feed could say"),
        (csv("0,A,1", "10,A,2e10"), "row 3: '2e10' is no price that a feed could say"),
        (csv("0,A,1", "10,,2"), "row 3: there is no symbol"),
        (csv("0,A,1,2", "10,A,2,3", header="time,symbol,close,Close"), "there are two columns close: leave one of"),
        (csv("0,A,1", "noon,A,2"), "row 3: 'noon' is no time"),
        (csv("0,A,1", ",A,2"), "row 3: an empty cell is no time"),
        (csv("0,A,1", "0.5,A,2"), "row 3: '0.5' is no time: give whole unix seconds"),
        (csv("-5,A,1", "10,A,2"), "row 2: '-5' is no time"),
        (csv("1577836800000,A,1"), "row 2: '1577836800000' is no time: these look like milliseconds"),
        (csv("0,A,1", "10,A,2,extra"), "Row #3: Expected 3 columns, got 4: 10,A,2,extra"),
        (csv("0,A,1", "", "10,A,2"), "row 3: there is no symbol"),
        (
            csv("0,A,1", "10,A,2", "20,A,3", "25,A,4"),
            "row 5: A at 1970-01-01 00:00:25 comes 5 s after the row before it, most rows 10 s",
        ),
        (csv("0,A,1", "10,A,2", "5,B,1", "15,B,2"), "not whole steps of 10 s apart"),
        (csv("0,A,1", "10,A,2", "20,B,1", "30,B,2"), "A ends on 1970-01-01 00:00:10, before B begins"),
        (csv("0,A,1"), "there is one row for each symbol"),
        (csv(), "there are no rows"),
        (csv("0,A", header="time,symbol"), "there is no column close; the first row names time, symbol"),
        (csv("0,A,1", header="when,symbol,close"), "there is no column time or timestamp or date or hour_open_utc"),
        ("", "Empty CSV file"),
    ],
)
def test_bad_rows_are_named(written, text, message):
    path = written(text)
    with pytest.raises(InputError) as raised:
        PriceFile(path)
    assert message in str(raised.value)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("close", True, "bool"),
        ("close", [1.0], "list"),
        ("time", True, "bool"),
        ("time", [1], "list"),
        ("symbol", ["A"], "list"),
        ("symbol", 1.5, "double"),
    ],
)
def test_a_column_of_a_parquet_file_that_cannot_be_one_is_named(tmp_path, column, value, kind):
    path = tmp_path / "prices.parquet"
    cells = {"time": [0, 10], "symbol": ["A", "A"], "close": [1.0, 2.0]} | {column: [value, value]}
    parquet.write_table(pa.table(cells), path)
    with pytest.raises(InputError, match=f"the column {column} holds {kind}.*: write it as another type"):
        PriceFile(path)


@pytest.mark.parametrize(
    "cells",
    [
        {"close": pa.array([1, 2], pa.decimal128(10, 2))},
        {"close": ["1", "2"]},
        {"close": [1, 2]},
        {"time": pa.array([0, 10_000], pa.timestamp("ms"))},
        {"time": ["0", "10"]},
        {"symbol": pa.array(["A", "A"]).dictionary_encode()},
    ],
    ids=["decimals", "text", "whole numbers", "moments", "times as text", "dictionary"],
)
def test_a_parquet_file_may_spell_its_columns_in_many_ways(tmp_path, cells):
    path = tmp_path / "prices.parquet"
    parquet.write_table(pa.table({"time": [0, 10], "symbol": ["A", "A"], "close": [1.0, 2.0]} | cells), path)
    assert rows(PriceFile(path)) == [(0, 1), (10, 2)]


@pytest.mark.parametrize(
    ("encoding", "says"),
    [("utf-16", "it is UTF-16: save it as UTF-8"), ("latin-1", "invalid UTF8 data: save it as UTF-8")],
)
def test_another_encoding_is_said_to_be_one(tmp_path, encoding, says):
    path = tmp_path / "prices.csv"
    path.write_bytes(csv("0,Ä,1", "10,Ä,2").encode(encoding))
    with pytest.raises(InputError, match=says):
        PriceFile(path)


def test_the_least_and_the_greatest_price_of_a_feed_are_prices(written):
    assert rows(PriceFile(written(csv("0,A,1e-8", "10,A,1e10")))) == [(0, 1e-8), (10, 1e10)]


def test_a_symbol_is_asked_for_once(written):
    with pytest.raises(InputError, match="A is asked for twice: name each asset of the basket once"):
        PriceFile(written(MIXED), ("A", "B", "A"))
    with pytest.raises(InputError, match="A is asked for twice"):
        PriceFile(written(MIXED), ("A", "B"), names={"B": "A"})


def test_two_names_do_not_become_one_symbol(written):
    with pytest.raises(InputError, match="two names in it would be A: name the symbols that are wanted"):
        PriceFile(written(MIXED), names={"A": "B"})


def test_a_bad_row_of_a_parquet_file_is_numbered_from_one(tmp_path):
    path = tmp_path / "prices.parquet"
    parquet.write_table(pa.table({"time": [0, 10], "symbol": ["A", "A"], "close": [1.0, None]}), path)
    with pytest.raises(InputError, match="row 2: an empty cell is no price"):
        PriceFile(path)


def test_rows_are_numbered_through_all_blocks(written, monkeypatch):
    monkeypatch.setattr("keeper.market.history._BLOCK_BYTES", 64)
    lines = [f"{10 * k},A,{k + 1}" for k in range(200)]
    assert rows(PriceFile(written(csv(*lines)))) == [(10 * k, k + 1) for k in range(200)]
    lines[150] = "1500,A,0"
    with pytest.raises(InputError, match="row 152: '0' is no price"):
        PriceFile(written(csv(*lines)))
    lines[150] = "1490,A,7"
    with pytest.raises(InputError, match="row 152: A has a second price"):
        PriceFile(written(csv(*lines)))


def test_a_symbol_that_is_not_there_is_named_with_those_that_are(written):
    with pytest.raises(InputError, match="there are no prices of C; the file has A, B"):
        PriceFile(written(MIXED), ("A", "C"))


def test_times_all_over_the_place_end_the_reading_early(written, monkeypatch):
    monkeypatch.setattr("keeper.market.history._MANY", 5)
    monkeypatch.setattr("keeper.market.history._BLOCK_BYTES", 64)
    with pytest.raises(InputError, match="A has prices at uneven distances"):
        PriceFile(written(csv(*(f"{k * k},A,1" for k in range(1_000)))))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the price file .*none\.csv"):
        PriceFile(tmp_path / "none.csv")


def test_a_parquet_file_that_is_none(written):
    with pytest.raises(InputError, match=r"prices\.parquet: "):
        PriceFile(written("time", "prices.parquet"))


def test_it_can_be_sent_to_another_process(written):
    prices = PriceFile(written(MIXED), ("B",), fill_gaps=1)
    again = pickle.loads(pickle.dumps(prices))  # noqa: S301  our own
    assert rows(again) == rows(prices)


def test_memory_does_not_grow_with_the_file(written):
    def peak(count):
        path = written(csv(*(f"{60 * k},{symbol},1.5" for k in range(count) for symbol in ("A", "B"))))
        tracemalloc.start()
        try:
            for _ in PriceFile(path):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1_000)  # what is imported on the way
    # Either file fills a whole block; one of them four times over.
    assert peak(200_000) < 1.5 * peak(60_000)


@pytest.fixture(scope="session")
def public():
    """The folder of public prices beside the project."""
    folder = Path(os.environ.get("BALLAST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "prices"
    if not folder.is_dir():
        pytest.skip("the public data set is not here: set BALLAST_DATA to its folder")
    return folder


@pytest.mark.data
def test_public_daily_prices_are_read(public):
    prices = PriceFile(public / "daily_close_train.csv", ("BTC", "ETH", "LINK", "MKR", "SNX"))
    found = rows(prices)
    assert prices.step == DAY
    assert found[0][0] == 1_521_072_000  # SNX's first day, 2018-03-14, closes at the beginning of the next
    assert len(found) == 1_754


@pytest.mark.data
def test_public_hourly_prices_have_gaps_that_must_be_allowed(public):
    path = public / "hourly_btc_eth_train.csv.gz"
    with pytest.raises(InputError, match=r"row \d+: BTC has a gap of 1 row before .*--fill-gaps 32 "):
        PriceFile(path)
    prices = PriceFile(path, fill_gaps=32)
    assert prices.step == 3_600
    assert length_hint(prices) == len(rows(prices)) == 43_824
