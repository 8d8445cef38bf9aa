"""Feeds that lag, and the way between two rows."""

from decimal import Decimal

import numpy as np
import pytest

from keeper.market.feeds import Feeds, FeedTerms, Path, Way, answer_of

HOUR = 3600
SEED = np.random.SeedSequence(5)


def feeds(*answers: int, deviation: str = "0.01", heartbeat: int = HOUR, updated_at: int = 0) -> Feeds:
    term = FeedTerms(deviation=Decimal(deviation), heartbeat=heartbeat)
    return Feeds([term] * len(answers), answers, [updated_at] * len(answers))


def way(*rows: tuple[int, float]) -> Way:
    """Prices in dollars of one token, at these times."""
    times = np.array([time for time, _ in rows])
    return Way(times, np.log(np.array([[price] for _, price in rows])), np.array([len(rows) - 1]))


def test_a_feed_is_silent_inside_its_threshold_and_its_heartbeat():
    feed = feeds(100 * 10**8)
    assert feed.look(way((HOUR - 1, 100.99))) == []
    assert (feed.answers, feed.updated_at) == ([100 * 10**8], [0])


def test_a_feed_answers_the_market_beyond_its_threshold():
    feed = feeds(100 * 10**8)
    assert feed.look(way((60, 98.9))) == [0]
    assert (feed.answers, feed.updated_at, feed.prices) == ([9_890_000_000], [60], [98_900_000_000 * 10**9])


def test_a_feed_answers_when_its_heartbeat_is_over():
    feed = feeds(100 * 10**8)
    assert feed.look(way((HOUR, 100.5))) == [0]
    assert (feed.answers, feed.updated_at) == ([10_050_000_000], [HOUR])


def test_a_feed_answers_at_the_moment_on_the_way_at_which_it_has_reason_to():
    feed = feeds(100 * 10**8)
    feed.look(way((300, 102.0), (600, 102.5), (900, 101.5)))
    assert (feed.answers, feed.updated_at) == ([102 * 10**8], [300])


def test_a_frozen_feed_does_not_answer_and_a_biased_one_answers_wrong():
    feed = feeds(100 * 10**8, 100 * 10**8)
    feed.frozen[0], feed.bias[1] = True, 1.05
    assert feed.look(Way(np.array([9 * HOUR]), np.log([[100.0, 100.0]]), np.array([0]))) == [1]
    assert feed.answers == [100 * 10**8, 105 * 10**8]


def test_first_answers_are_of_different_ages_all_younger_than_the_heartbeat():
    opened = Feeds.opened([FeedTerms()] * 8, 10**9, np.zeros(8), SEED)
    ages = [10**9 - at for at in opened.updated_at]
    assert all(0 <= age <= HOUR for age in ages)
    assert len(set(ages)) > 4


def test_a_row_a_minute_later_is_taken_as_it_is():
    only = Path(0, np.log([10.0, 20.0]), SEED).to(60, np.log([11.0, 19.0]))
    assert only.times.tolist() == [60]
    assert np.exp(only.log_prices[0]) == pytest.approx([11.0, 19.0])


def test_a_row_a_day_later_is_reached_in_points_of_five_minutes_and_hits_its_close():
    path = Path(0, np.log([10.0, 20.0]), SEED)
    way = path.to(24 * HOUR, np.log([11.0, 18.0]))
    assert way.times.tolist() == list(range(300, 24 * HOUR + 1, 300))
    assert way.times[way.ends].tolist() == list(range(HOUR, 24 * HOUR + 1, HOUR))
    assert np.exp(way.log_prices[-1]) == pytest.approx([11.0, 18.0])


def test_the_way_inside_a_day_wanders_as_much_as_the_days_move():
    """A bridge's quadratic variation is that of the motion it is cut from: here 20 days of 5% each."""
    random = np.random.default_rng(0)
    path, price, squares = Path(0, np.zeros(1), SEED), np.zeros(1), []
    for day in range(1, 401):
        price = price + 0.05 * random.standard_normal(1)
        points = path.to(day * 24 * HOUR, price).log_prices
        squares.append(float((np.diff(points[:, 0]) ** 2).sum()))
    assert np.mean(squares[20:]) == pytest.approx(0.05**2, rel=0.15)


def test_a_price_between_two_rows_is_on_the_way_to_the_next():
    path = Path(0, np.zeros(3), SEED)
    path.to(HOUR, np.full(3, 0.01))
    between = path.through(HOUR + 24, 2 * HOUR, np.full(3, 0.02))
    assert between.times[-1] == HOUR + 24
    assert np.abs(between.log_prices[-1] - 0.01).max() < 0.01
    rest = path.to(2 * HOUR, np.full(3, 0.02))
    assert rest.log_prices[-1] == pytest.approx(np.full(3, 0.02))


def test_a_price_before_any_row_is_known_cannot_be_asked_for():
    with pytest.raises(ValueError, match="no row after 3600 is known"):
        Path(HOUR, np.zeros(1), SEED).through(HOUR, HOUR, np.zeros(1))


def test_a_feed_never_says_that_something_is_worth_nothing():
    assert answer_of(np.log(1e-12)) == 1
    assert answer_of(np.log(2.5)) == 250_000_000
