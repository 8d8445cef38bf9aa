"""The past that decisions may use."""

import json

import pytest
from builders import LINK, NOW, POOLS, USDC, WETH, at, policy, snapshot

from keeper.domain import Decision, InputError, Past, Programme, load_snapshot
from keeper.policy import decide, executed, remember
from keeper.units import WAD

DAY = 86_400
BASKET = {USDC: (0.6, 0.5), WETH: (0.4, 0.5)}
SLICES = {"kind": "twap", "slices": 3, "interval_seconds": 600}
MIDNIGHT = NOW - NOW % DAY


def seen(when: int, price: float = 2500, basket=BASKET):
    """The basket at a time, with WETH at this price."""
    return at(snapshot(basket, POOLS), when, {WETH: price})


def remembered(*sightings, samples: int = 4) -> Past:
    asked = policy(memory={"samples": samples})
    past = None
    for when, price in sightings:
        past = remember(past, seen(when, price), asked)
    assert past is not None
    return past


def prices(past: Past, coin=WETH) -> list[float]:
    (closes,) = [entry for entry in past.closes if entry.token == coin.address]
    return [price / WAD for price in closes.prices]


def held() -> Decision:
    return decide(snapshot({USDC: (0.5, 0.5), WETH: (0.5, 0.5)}, ()), policy())


def programme(**changes) -> Programme:
    terms = {"slices": 3, "done": 1, "interval": 600, "next_at": NOW, "deadline": NOW + 3600, "goal_drift": WAD // 100}
    return Programme(**terms | changes)


def test_the_first_snapshot_begins_the_past():
    past = remembered((NOW, 2500))
    assert (past.since, past.rebalanced_at, past.sampled_at) == (NOW, None, NOW)
    assert prices(past) == [2500]


def test_within_an_interval_nothing_changes():
    past = remembered((MIDNIGHT, 2500))
    assert remember(past, seen(MIDNIGHT + DAY - 1, 2600), policy(memory={"samples": 4})) is past


def test_the_first_snapshot_of_each_interval_is_sampled():
    past = remembered((MIDNIGHT + DAY - 1, 2500), (MIDNIGHT + DAY, 2600), (MIDNIGHT + DAY + 12, 2700))
    assert prices(past) == [2500, 2600]
    assert past.sampled_at == MIDNIGHT + DAY


def test_the_past_keeps_no_more_prices_than_asked_for():
    past = remembered(*((MIDNIGHT + k * DAY, 100 + k) for k in range(9)))
    assert prices(past) == [105, 106, 107, 108]


def test_intervals_that_nobody_saw_repeat_the_price_before():
    past = remembered((MIDNIGHT, 2500), (MIDNIGHT + 3 * DAY, 2600))
    assert prices(past) == [2500, 2500, 2500, 2600]


def test_after_a_gap_longer_than_what_is_kept_it_starts_anew():
    past = remembered((MIDNIGHT, 2500), (MIDNIGHT + 4 * DAY, 2600))
    assert prices(past) == [2600]
    assert past.since == MIDNIGHT


def test_another_interval_starts_anew_and_keeps_when_it_last_rebalanced():
    past = executed(remembered((NOW, 2500), (NOW + DAY, 2600)), held(), NOW + DAY)
    hourly = remember(past, seen(NOW + DAY + 1, 2700), policy(memory={"interval_seconds": 3600}))
    assert (prices(hourly), hourly.rebalanced_at, hourly.interval) == ([2700], NOW + DAY, 3600)


def test_an_asset_that_joins_has_fewer_prices_and_one_that_leaves_has_none():
    past = remembered((NOW, 2500))
    past = remember(past, seen(NOW + DAY, 2600, {WETH: (0.4, 0.5), LINK: (0.6, 0.5)}), policy())
    assert (prices(past), prices(past, LINK)) == ([2500, 2600], [15])
    assert USDC.address not in {entry.token for entry in past.closes}


def test_an_executed_batch_is_remembered_with_its_time():
    assert executed(remembered((NOW, 2500)), held(), NOW + 36).rebalanced_at == NOW + 36


def test_an_executed_slice_puts_the_next_one_an_interval_after_it():
    decision = held().model_copy(update={"programme": programme()})
    past = executed(remembered((NOW, 2500)), decision, NOW + 36)
    assert past.programme == programme(next_at=NOW + 636)
    assert executed(past, held(), NOW + 700).programme is None


@pytest.mark.parametrize(
    ("changes", "kept"),
    [({}, True), ({"deadline": NOW - 1}, False), ({"goal_drift": WAD // 5}, False), ({"deadline": NOW}, True)],
    ids=["under way", "past its deadline", "drift gone", "on its deadline"],
)
def test_a_programme_is_dropped_once_it_is_over(changes, kept):
    past = remembered((NOW, 2500)).replaced(programme=programme(**changes))
    assert (remember(past, seen(NOW, 2500), policy(schedule=SLICES)).programme is not None) == kept


def test_a_programme_is_dropped_when_the_policy_has_no_slices_any_more():
    past = remembered((NOW, 2500)).replaced(programme=programme())
    assert remember(past, seen(NOW, 2500), policy()).programme is None


def test_statistics_stay_while_the_closes_do():
    past = remembered((NOW, 2500), (NOW + DAY, 2600))
    past.memo["variance"] = past.returns
    later = executed(past, held(), NOW + DAY)
    assert later.memo is past.memo
    assert not remember(past, seen(NOW + 2 * DAY, 2700), policy(memory={"samples": 4})).memo


def test_a_snapshot_s_file_holds_its_past():
    past = executed(remembered((NOW, 2500), (NOW + DAY, 2600)), held(), NOW).replaced(programme=programme())
    whole = seen(NOW).model_copy(update={"past": past})
    assert load_snapshot(whole.model_dump_json()) == whole


def test_a_snapshot_without_a_past_says_nothing_of_it():
    assert "past" not in json.loads(seen(NOW).model_dump_json())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda past: past["closes"].append(past["closes"][0]), "two rows of closes"),
        (lambda past: past["closes"][0]["prices"].append("0"), "greater than 0"),
        (lambda past: past["programme"].update(done=3), "3 of 3 slices are done"),
        (lambda past: past.update(interval=0), "interval"),
    ],
)
def test_a_past_that_cannot_be_is_refused_in_one_line(spoil, message):
    past = remembered((NOW, 2500)).replaced(programme=programme())
    data = json.loads(seen(NOW).model_copy(update={"past": past}).model_dump_json())
    spoil(data["past"])
    with pytest.raises(InputError, match=message) as refused:
        load_snapshot(json.dumps(data))
    assert "\n" not in str(refused.value)
