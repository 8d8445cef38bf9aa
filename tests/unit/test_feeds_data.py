"""The simulated feeds against real ones: Chainlink's rounds of 2021 and 2022, and prices of the same hours."""

import csv
import gzip
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path as File

import numpy as np
import pytest

from keeper.backtest.setup import FEEDS
from keeper.market.feeds import Feeds, FeedTerms, Path, Way, answer_of

DATA = File(os.environ.get("BALLAST_DATA", File(__file__).parents[3] / "shared" / "data"))
HOUR, DAY = 3_600, 86_400
_ONE = np.zeros(1, dtype=np.int64)

pytestmark = pytest.mark.data


def rows(name: str) -> Iterator[dict[str, str]]:
    path = DATA / name
    if not path.exists():
        pytest.skip("the public data set is not here: set BALLAST_DATA to its folder")
    with gzip.open(path, "rt") as file:
        yield from csv.DictReader(file)


def rounds(name: str, phase: str) -> tuple[np.ndarray, np.ndarray]:
    """Times and answers of a feed's phase, in order of time."""
    of_phase = [row for row in rows(f"oracle/chainlink_{name}_train.csv.gz") if row["phase_id"] == phase]
    found = sorted((int(row["updated_at"]), int(row["answer"])) for row in of_phase)
    return np.array([time for time, _ in found]), np.array([float(answer) for _, answer in found])


def polls(base: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """When somebody looked at a feed, when it had last answered, and what: one feed, every 15 to 30 minutes."""
    of_base = [row for row in rows("oracle/chainlink_vs_dodo_2021_train.csv.gz") if row["base"] == base]
    columns = ("query_ts", "chainlink_updated_at", "chainlink_price")
    found = np.array(sorted(tuple(float(row[column]) for column in columns) for row in of_base))
    return found[:, 0].astype(np.int64), found[:, 1].astype(np.int64), found[:, 2]


def closes(symbol: str, first: int, last: int) -> list[tuple[int, float]]:
    """Hourly closes from a day before ``first`` until ``last``, at the end of their hours."""
    name = "hourly_btc_eth" if symbol in ("BTC", "ETH") else "hourly_other"
    found = []
    for row in rows(f"prices/{name}_train.csv.gz"):
        if row["symbol"] != symbol:
            continue
        opened = datetime.fromisoformat(row["hour_open_utc"].replace("Z", "")).replace(tzinfo=UTC)
        at = int(opened.timestamp()) + HOUR
        if first - DAY <= at <= last:
            found.append((at, float(row["close"])))
    return found


def simulated(terms: FeedTerms, prices: list[tuple[int, float]], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Times and answers of a feed on the seeded way between these prices."""
    time, price = prices[0]
    feed = Feeds([terms], [answer_of(float(np.log(price)))], [time])
    path = Path(time, np.log([price]), np.random.SeedSequence(seed))
    found = [(time, price)]
    for later, close in prices[1:]:
        way = path.to(later, np.log([close]))
        points = (Way(way.times[k : k + 1], way.log_prices[k : k + 1], _ONE) for k in range(len(way.times)))
        found += [(int(point.times[0]), feed.answers[0] / 1e8) for point in points if feed.look(point)]
    return np.array([at for at, _ in found]), np.array([answer for _, answer in found])


@pytest.mark.parametrize(("symbol", "name"), [("USDC", "usdc_usd"), ("USDT", "usdt_usd")])
def test_feeds_of_stable_coins_answer_by_the_terms_that_a_setup_gives_them(symbol, name):
    terms = FEEDS[symbol]
    times, answers = rounds(name, "2")
    waited, moved = np.diff(times), np.abs(np.diff(answers)) / answers[:-1]
    early = waited < terms.heartbeat - 60
    reason = ~early | (moved >= 0.95 * float(terms.deviation))
    assert len(waited) > 600
    assert reason.mean() > 0.9
    assert waited.max() < terms.heartbeat + 600
    assert float(terms.deviation) < np.median(moved[early]) < 1.3 * float(terms.deviation)


@pytest.mark.parametrize(
    ("base", "symbol", "terms", "near"),
    [
        ("WETH", "ETH", FEEDS["WETH"], 0.25),
        ("WBTC", "BTC", FEEDS["WBTC"], 0.25),
        # Those of others had a heartbeat of a day then.
        *((symbol, symbol, FeedTerms(heartbeat=DAY), 0.35) for symbol in ("LINK", "AAVE", "COMP", "SNX")),
    ],
)
def test_a_simulated_feed_is_as_old_and_answers_as_often_as_the_real_one_did(base, symbol, terms, near):
    asked, answered, price = polls(base)
    prices = closes(symbol, int(asked[0]), int(asked[-1]))
    within = asked <= prices[-1][0]
    asked, answered, price = asked[within], answered[within], price[within]
    ages, seen, apart = [], [], []
    for seed in range(3):
        times, answers = simulated(terms, prices, seed)
        last = np.searchsorted(times, asked, side="right") - 1
        ages.append(float((asked - times[last]).mean()))
        seen.append(len(set(last.tolist())))
        apart.append(float(np.median(np.abs(answers[last] / price - 1))))
    real_age, real_seen = float((asked - answered).mean()), len(set(answered.tolist()))
    assert np.mean(ages) == pytest.approx(real_age, rel=near)
    assert np.mean(seen) == pytest.approx(real_seen, rel=near)
    assert np.mean(apart) < 0.8 * float(terms.deviation)
