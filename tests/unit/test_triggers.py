"""When to look for a rebalance."""

import re

import pytest
from builders import NOW, POOLS, USDC, WBTC, WETH, at, policy, snapshot

from keeper.domain import InputError, load_policy
from keeper.policy import decide, remember
from keeper.policy.triggers import quiet

DAY = 86_400
WEEK = 7 * DAY
BASKET = {USDC: (0.6, 0.5), WETH: (0.2, 0.25), WBTC: (0.2, 0.25)}
BAND = {"kind": "band"}


def facts(when: int = NOW, rebalanced_at: int | None = None, **changes):
    seen = at(snapshot(BASKET, POOLS), when, {})
    past = remember(None, seen, policy()).replaced(rebalanced_at=rebalanced_at, **changes)
    return seen.model_copy(update={"past": past})


def why(trigger, snapshot=None) -> str | None:
    return quiet(snapshot or facts(), policy(trigger=trigger))


# Bands of single assets


@pytest.mark.parametrize(("width", "fires"), [("0.0499", True), ("0.05", False)])
def test_an_asset_s_own_band_takes_the_place_of_the_common_one(width, fires):
    trigger = BAND | {"absolute": 0.5, "assets": {"WETH": {"absolute": width}}}
    assert (why(trigger) is None) == fires


def test_an_asset_s_own_band_may_be_wider_than_the_common_one():
    trigger = BAND | {"absolute": 0.06, "assets": {"USDC": {"absolute": 0.2}}}
    assert why(trigger) is not None
    assert why(BAND | {"absolute": 0.06}) is None


def test_with_only_bands_of_single_assets_the_others_have_none():
    assert why(BAND | {"assets": {"WETH": {"relative": 0.5}}}) is not None
    assert why(BAND | {"assets": {"WETH": {"relative": 0.1}}}) is None


def test_a_quiet_band_names_the_nearest_asset_by_its_own_edge():
    reason = why(BAND | {"absolute": 0.3, "assets": {"wbtc": {"relative": 0.25}}})
    assert reason == (
        "no asset is outside its band: WBTC is nearest to its edge (25% of the target), 20% against 25%:"
        " 1.25% of NAV is missing"
    )


def test_a_band_of_an_asset_that_is_not_in_the_basket_is_an_input_error():
    with pytest.raises(InputError, match="a band is for link, which is not in the basket"):
        why(BAND | {"absolute": 0.1, "assets": {"LINK": {"absolute": 0.1}}})


# The calendar


@pytest.mark.parametrize(("last", "due"), [(NOW - NOW % DAY - 1, True), (NOW - NOW % DAY, False), (NOW, False)])
def test_the_calendar_is_due_once_in_each_period(last, due):
    assert (why({"kind": "calendar", "every_seconds": DAY}, facts(rebalanced_at=last)) is None) == due


def test_the_offset_moves_the_calendar():
    monday = NOW - (NOW - 345_600) % WEEK
    weekly = {"kind": "calendar", "every_seconds": WEEK, "offset_seconds": 345_600}
    assert why(weekly, facts(monday - 1, monday - WEEK)) == "the calendar is due again in 1 s"
    assert why(weekly, facts(monday, monday - 1)) is None


def test_before_the_first_batch_the_calendar_counts_from_when_remembering_began():
    daily = {"kind": "calendar", "every_seconds": DAY}
    assert why(daily, facts(since=NOW)) is not None
    assert why(daily, facts(since=NOW - DAY)) is None


def test_without_a_past_the_calendar_is_due():
    assert why({"kind": "calendar", "every_seconds": DAY}, snapshot(BASKET, POOLS)) is None


# Several


DUE = {"kind": "calendar", "every_seconds": DAY}
WIDE, NARROW = BAND | {"absolute": 0.3}, BAND | {"absolute": 0.01}


@pytest.mark.parametrize(
    ("kind", "parts", "fires"),
    [
        ("any", [WIDE, NARROW], True),
        ("any", [WIDE, WIDE], False),
        ("all", [NARROW, NARROW], True),
        ("all", [NARROW, WIDE], False),
    ],
)
def test_of_several_triggers_any_or_all_must_fire(kind, parts, fires):
    assert (why({"kind": kind, "of": parts}) is None) == fires


def test_all_names_only_what_is_missing_and_any_names_everything():
    on_monday = facts(rebalanced_at=NOW)
    every = why({"kind": "all", "of": [NARROW, DUE]}, on_monday)
    assert re.fullmatch(r"the calendar is due again in \d+ s", every)
    one = why({"kind": "any", "of": [WIDE, DUE]}, on_monday)
    assert "% of NAV is missing; the calendar is due again in" in one


def test_triggers_nest_and_survive_their_file():
    text = (
        "{trigger: {kind: any, of: [{kind: all, of: [{kind: calendar, every_seconds: 86400}, {kind: band, absolute:"
        " 0.01}]}, {kind: band, relative: 0.5, assets: {WETH: {absolute: 0.1}}}]}, tracking_penalty: 1}"
    )
    asked = load_policy(text)
    assert load_policy(asked.model_dump_json()) == asked
    assert decide(facts(rebalanced_at=NOW), asked).action == "hold"


MISTAKES = [
    ("{kind: calendar}", "every_seconds: missing"),
    ("{kind: calendar, every_seconds: 0}", "every_seconds: Input should be greater than or equal to 60"),
    ("{kind: calendar, every_seconds: 3600, offset_seconds: 3600}", "offset_seconds is 3600, it must be below"),
    ("{kind: any, of: []}", "trigger.any.of: "),
    ("{kind: all}", "trigger.all.of: missing"),
    ("{kind: all, of: [{kind: never}]}", "Input tag 'never'"),
    ("{kind: band, absolute: 1}", "trigger.band.absolute: Input should be less than 1"),
    ("{kind: band, assets: {WETH: {}}}", "trigger.band.assets.WETH: a band needs absolute or relative"),
]


@pytest.mark.parametrize(("trigger", "message"), MISTAKES, ids=[text for text, _ in MISTAKES])
def test_a_mistake_in_a_trigger_gives_one_clear_line(trigger, message):
    with pytest.raises(InputError, match=message) as refused:
        load_policy(f"{{trigger: {trigger}, tracking_penalty: 1}}")
    assert "\n" not in str(refused.value)
