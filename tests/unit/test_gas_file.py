"""A series of gas prices from a file."""

import gzip

import pytest

from keeper.backtest import load_setup
from keeper.domain import InputError
from keeper.market.gas import GWEI, GasFile, GasMeter


def test_a_price_holds_until_the_next(tmp_path):
    path = tmp_path / "gas.csv"
    path.write_text("time,base_fee_wei,priority_fee_wei\n100,5,1\n200,7,2\n")
    meter = GasMeter(GasFile(file=str(path)))
    assert [meter.at(time) for time in (0, 100, 199, 200, 10**9)] == [(5, 1), (5, 1), (5, 1), (7, 2), (7, 2)]


def test_the_priority_fee_may_be_left_out_and_the_file_gzipped(tmp_path):
    path = tmp_path / "gas.csv.gz"
    path.write_bytes(gzip.compress(b"base_fee_wei,time\n5,100\n"))
    assert list(GasFile(file=str(path))) == [(100, 5, GWEI)]
    assert list(GasFile(file=str(path), priority_fee_wei=3)) == [(100, 5, 3)]


def test_times_may_be_days_or_moments_of_any_zone(tmp_path):
    path = tmp_path / "gas.csv"
    path.write_text("time,base_fee_wei\n1970-01-02,5\n1970-01-03T06:00,6\n1970-01-03T08:00:00+01:00,6\n")
    assert [time for time, *_ in GasFile(file=str(path))] == [86_400, 194_400, 198_000]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,base_fee_wei\n100,5\n100,6\n", "row 3: 100 comes after 100: sort it by time"),
        ("time,base_fee_wei\n100,5\n90,6\n", "row 3: 90 comes after 100"),
        ("time,base_fee_wei\n100,-5\n", "row 2: '-5' is no whole number"),
        ("time,base_fee_wei\n100,1.5\n", "row 2: '1.5' is no whole number"),
        ("time,base_fee_wei\nnoon,5\n", "row 2: 'noon' is no time: unix seconds, or as 2021-01-01T12:00"),
        ("time,base_fee_wei\n,5\n", "row 2: '' is no time"),
        ("time,base_fee_wei\n2021-01-02,5\n2021-01-01,5\n", "row 3: 2021-01-01 comes after 2021-01-02"),
        ("time,base_fee_wei\n100\n", "row 2: '' is no whole number"),
        (
            f"time,base_fee_wei\n100,{10**18 + 1}\n",
            "row 2: '1000000000000000001' is no whole number of wei, an ether at most",
        ),
        (f"time,base_fee_wei\n100,{'9' * 5000}\n", "row 2: '" + "9" * 40 + "' is no whole number"),
        ("time,base_fee_wei\n1577836800000,5\n", "row 2: '1577836800000' is no time"),
        (f"time,base_fee_wei\n{'9' * 5000},5\n", "row 2: '" + "9" * 40 + "' is no time"),
        (f'time,base_fee_wei\n100,"{"5" * 200_000}\n', "cannot read the gas file .*: field larger than field limit"),
        ("time,gwei\n100,5\n", "there is no column base_fee_wei"),
        ("time,base_fee_wei\n", "there are no rows"),
        ("", "there is no column time"),
    ],
)
def test_bad_rows_are_named(tmp_path, text, message):
    path = tmp_path / "gas.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        list(GasFile(file=str(path)))


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (lambda whole: whole[: len(whole) // 2], "Compressed file ended"),
        (lambda whole: whole[:30] + b"x" * 30 + whole[60:], "Error -3 while decompressing"),
        (lambda _: b"time,base_fee_wei", "Not a gzipped file"),
        (lambda _: gzip.compress("time,base_fee_wei\n100,5\n".encode("utf-16")), "it is not text"),
    ],
    ids=["cut off", "damaged", "not zipped", "not text"],
)
def test_a_damaged_file_is_one_line(tmp_path, damaged, reason):
    path = tmp_path / "gas.csv.gz"
    rows = "".join(f"{time},{time**3 % 977}\n" for time in range(2_000))
    path.write_bytes(damaged(gzip.compress(f"time,base_fee_wei\n{rows}".encode())))
    with pytest.raises(InputError, match=f"cannot read the gas file .*: {reason}") as refused:
        list(GasFile(file=str(path)))
    assert "\n" not in str(refused.value)


def test_a_mark_of_the_byte_order_is_no_part_of_a_column(tmp_path):
    (tmp_path / "gas.csv").write_text("time,base_fee_wei\n100,5\n", encoding="utf-8-sig")
    assert list(GasFile(file=str(tmp_path / "gas.csv"))) == [(100, 5, GWEI)]


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the gas file .*none\.csv"):
        list(GasFile(file=str(tmp_path / "none.csv")))


def test_a_setup_file_may_name_it():
    setup = load_setup("gas: {file: gas.csv}")
    assert setup.gas == GasFile(file="gas.csv")
    assert load_setup(setup.model_dump_json()) == setup
