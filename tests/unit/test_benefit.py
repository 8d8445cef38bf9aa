"""Cost against benefit, and rebalances in slices, as pure functions."""

import re
from dataclasses import replace

import pytest
from builders import LIMITS, NOW, POOLS, USDC, WBTC, WETH, at, policy, snapshot, v2_pool
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain import Twap
from keeper.policy import consider, decide, executed, remember, verify
from keeper.policy.benefit import Balance, more_drift
from keeper.policy.schedule import cost_of_slices, slices_for
from keeper.units import WAD

BASKET = {USDC: (0.6, 0.5), WETH: (0.4, 0.5)}
GAS = {"gas_price_wei": str(20 * 10**9)}
dollars = st.floats(0.01, 1e5)


def facts(basket=BASKET, **changes):
    return snapshot(basket, changes.pop("pools", POOLS), **changes)


# Cost against benefit


def test_a_plan_s_balance_adds_up_to_its_objective():
    seen, by = facts(), policy(extent="target", **GAS)
    plan = consider(seen, by).plan
    own = replace(plan, problem=replace(plan.problem, aims=None, tracking_penalty=1.0))
    balance = Balance.of(own, by.benefit)
    assert balance.taken - balance.cost == pytest.approx(own.objective - own.problem.hold)
    assert balance.impact > 0
    assert balance.gas == pytest.approx(own.gas_usd)


@pytest.mark.parametrize("extent", ["target", "edge"])
def test_going_all_the_way_is_skipped_where_it_does_not_pay(extent):
    asked = {"extent": extent, "trigger": {"kind": "band", "absolute": 0.05}, **GAS}
    assert decide(facts(nav=50_000), policy(tracking_penalty=1.0, **asked)).action == "rebalance"
    held = decide(facts(nav=50_000), policy(tracking_penalty=0.02, **asked))
    assert held.action == "hold"
    found = re.match(
        r"rebalancing does not pay: it takes \$([\d.,]+) off a tracking penalty of \$[\d.,]+, less than what it costs,"
        r" \$([\d.,]+) \(trading \$[\d.,]+, gas \$[\d.,]+\): \$([\d.,]+) is missing",
        held.reason,
    )
    assert found is not None, held.reason
    taken, cost, missing = (float(number.replace(",", "")) for number in found.groups())
    assert missing == pytest.approx(cost - taken, abs=0.02)


def test_the_drift_that_a_hold_asks_for_is_about_where_it_starts_to_pay():
    asked = {"extent": "target", "tracking_penalty": 0.02, **GAS}
    held = decide(facts(nav=50_000), policy(**asked)).reason
    needed = float(re.search(r"a drift of about ([\d.]+)% instead of 20%", held).group(1)) / 200
    for part, action in ((0.97, "hold"), (1.03, "rebalance")):
        off = round(needed * part, 4)
        seen = facts({USDC: (0.5 + off, 0.5), WETH: (0.5 - off, 0.5)}, nav=50_000)
        assert decide(seen, policy(**asked)).action == action


def test_the_drift_that_a_hold_of_the_optimum_asks_for_is_about_where_it_starts_to_pay():
    asked = {"tracking_penalty": 0.002}
    held = decide(facts(nav=50_000), policy(**asked)).reason
    needed = float(re.search(r"a drift of about ([\d.]+)% instead of 20%", held).group(1)) / 200
    for part, action in ((0.9, "hold"), (1.1, "rebalance")):
        off = round(needed * part, 4)
        seen = facts({USDC: (0.5 + off, 0.5), WETH: (0.5 - off, 0.5)}, nav=50_000)
        assert decide(seen, policy(**asked)).action == action


def test_gas_that_costs_more_than_what_is_moved_is_held_with_the_policy_s_own_numbers():
    seen = facts(nav=100)
    held = decide(seen, policy(extent="target", tracking_penalty=1.0, gas_price_wei=str(300 * 10**9)))
    assert held.action == "hold"
    assert re.search(r"off a tracking penalty of \$1\.00, less than what it costs, \$1\d\d", held.reason), held.reason


@pytest.mark.parametrize("extent", ["optimum", "target"])
def test_a_ratio_asks_for_more_benefit_than_cost(extent):
    seen = facts()
    asked = {"tracking_penalty": 0.1, "extent": extent, **GAS}
    plain = decide(seen, policy(**asked))
    assert plain.action == "rebalance"
    held = decide(seen, policy(**asked, benefit={"min_ratio": 50}))
    assert held.action == "hold"
    assert "less than 50 times what it costs" in held.reason


def test_a_ratio_that_is_met_changes_nothing():
    seen = facts()
    plain, asked = (decide(seen, policy(tracking_penalty=1.0, **more)) for more in ({}, {"benefit": {"min_ratio": 2}}))
    assert plain == asked


def test_an_mev_allowance_counts_as_cost():
    seen = facts()
    asked = {"tracking_penalty": 0.05}
    assert decide(seen, policy(**asked)).action == "rebalance"
    held = decide(seen, policy(**asked, benefit={"mev_allowance": 0.05}))
    assert held.action == "hold"
    assert ", MEV allowance $" in held.reason


def test_for_impact_alone_no_drift_is_large_enough():
    assert Balance(taken=1.0, proportional=0.0, impact=2.0, gas=0.0).scale_that_pays(1.0) is None


@pytest.mark.parametrize("taken", [0.0, -1.0])
def test_where_the_way_brings_nothing_no_drift_makes_it_move(taken):
    assert Balance(taken, proportional=1.0, impact=1.0, gas=1.0).scale_that_moves() is None


def test_a_batch_that_gains_by_its_size_moves_for_what_it_costs_in_proportion():
    assert Balance(taken=1.0, proportional=1.0, impact=-2.0, gas=1.0).scale_that_moves() == 0.5


@given(taken=dollars, proportional=dollars, impact=dollars, gas=dollars, ratio=st.floats(0.1, 10))
def test_at_the_scale_that_pays_benefit_is_the_ratio_times_cost(taken, proportional, impact, gas, ratio):
    scale = Balance(taken, proportional, impact, gas).scale_that_pays(ratio)
    if scale is None:
        assert taken <= ratio * impact
    else:
        cost = proportional * scale + impact * scale**2 + gas
        assert taken * scale**2 == pytest.approx(ratio * cost, rel=1e-6)


@given(taken=dollars, proportional=dollars, impact=dollars, gas=dollars)
def test_at_the_scale_that_moves_the_best_part_of_the_way_is_worth_nothing(taken, proportional, impact, gas):
    scale = Balance(taken, proportional, impact, gas).scale_that_moves()

    def worth(part: float) -> float:
        gained = scale**2 * taken * (1 - (1 - part) ** 2)
        return gained - scale * part * proportional - (scale * part) ** 2 * impact - gas

    best = (2 * scale * taken - proportional) / (2 * scale * (taken + impact))
    assert 0 < best <= 1 + 1e-9
    assert worth(best) == pytest.approx(0, abs=1e-9 * (gas + scale * proportional + scale**2 * (taken + impact)))
    assert max(worth(part / 200) for part in range(201)) <= 1e-9 * (gas + scale**2 * (taken + impact))


def test_a_verified_plan_holds_for_every_extent():
    seen = facts({USDC: (0.6, 0.5), WETH: (0.25, 0.25), WBTC: (0.15, 0.25)})
    for extent in ("optimum", "target", "edge"):
        by = policy(trigger={"kind": "band", "absolute": 0.02}, extent=extent, **GAS)
        decision = decide(seen, by)
        assert decision.action == "rebalance"
        assert verify(seen, by, decision).problems == ()


# Slices


TWAP = {"kind": "twap", "slices": 4, "interval_seconds": 600}
AUTO = TWAP | {"slices": "auto", "refill_half_life_seconds": 600}
THIN = (v2_pool(1, USDC, WETH, 2e6),)


def sliced(seen, **asked):
    by = policy(**{"schedule": TWAP, "extent": "target", "tracking_penalty": 5.0} | asked)
    return decide(seen.model_copy(update={"past": remember(None, seen, by)}), by), by


def lived(basket=BASKET, slices: int = 9, wait: int = 600, **asked):
    """All batches of a programme on pools that refill at once, with the drift after each."""
    by = policy(**{"schedule": TWAP, "extent": "target", "tracking_penalty": 5.0} | asked)
    past, seen, found = None, facts(basket), []
    for step in range(slices):
        seen = at(seen, NOW + step * wait, {})
        past = remember(past, seen, by)
        seen = seen.model_copy(update={"past": past})
        decision = decide(seen, by)
        found.append(decision)
        if decision.action == "rebalance":
            assert verify(seen, by, decision).problems == ()
            change = {sell.token: -sell.amount for sell in decision.sells}
            for buy in decision.buys:
                change[buy.token] = change.get(buy.token, 0) + buy.amount
            assets = tuple(
                asset.model_copy(update={"balance": asset.balance + change.get(asset.token, 0)})
                for asset in seen.vault.assets
            )
            fields = {name: getattr(seen, name) for name in type(seen).model_fields}
            vault = seen.vault.model_copy(update={"assets": assets})
            seen = type(seen)(**fields | {"vault": vault, "past": None})
            past = executed(past, decision, NOW + step * wait)
    return found


def test_a_slice_is_one_part_of_the_way_and_says_which():
    whole, _ = sliced(facts(), schedule={"kind": "once"})
    first, _ = sliced(facts())
    moved = first.estimate.drift_before - first.estimate.drift_after
    assert moved == pytest.approx((whole.estimate.drift_before - whole.estimate.drift_after) / 4, rel=0.02)
    assert first.reason.endswith("; slice 1 of 4")
    assert (first.programme.slices, first.programme.done) == (4, 1)
    assert whole.programme is None


def test_slices_together_go_as_far_as_one_batch():
    found = [decision for decision in lived() if decision.action == "rebalance"]
    assert [re.search(r"slice (\d) of 4", decision.reason).group(1) for decision in found] == ["1", "2", "3", "4"]
    steps = [decision.estimate.drift_before - decision.estimate.drift_after for decision in found]
    assert max(steps) < 1.1 * min(steps)
    assert found[-1].programme is None
    assert found[-1].estimate.drift_after < 0.01


def test_between_slices_the_trigger_is_not_asked():
    found = lived(wait=300, slices=4, trigger={"kind": "band", "absolute": 0.08})
    assert [decision.action for decision in found] == ["rebalance", "hold", "rebalance", "hold"]
    assert found[1].reason == "slice 2 of 4 is due in 300 s"


def test_slices_of_the_optimum_lead_to_the_optimum():
    whole, _ = sliced(facts(), extent="optimum", schedule={"kind": "once"}, tracking_penalty=0.1)
    found = lived(slices=4, extent="optimum", tracking_penalty=0.1)
    assert [decision.action for decision in found] == ["rebalance"] * 4
    # The pools are as deep again for each slice, so the last ones go further than one batch would.
    assert whole.estimate.drift_after < found[1].estimate.drift_after
    assert 0 < found[3].estimate.drift_after < whole.estimate.drift_after


def test_a_programme_needs_no_more_drift_than_it_was_for():
    first, _ = sliced(facts())
    assert first.programme.goal_drift < WAD // 50
    _, by = sliced(facts())
    done = facts({USDC: (0.501, 0.5), WETH: (0.499, 0.5)})
    past = executed(remember(None, facts(), by), first, NOW)
    assert remember(past, at(done, NOW + 600, {}), by).programme is None


def test_no_slice_makes_less_progress_than_the_vault_demands():
    limits = LIMITS.model_copy(update={"min_progress": 6 * WAD // 100})
    first, _ = sliced(facts(limits=limits))
    assert (first.action, first.programme.slices) == ("rebalance", 3)
    assert first.estimate.drift_before - first.estimate.drift_after > 0.06


def test_a_rebalance_too_small_for_slices_is_made_at_once():
    limits = LIMITS.model_copy(update={"min_progress": 12 * WAD // 100})
    decision, _ = sliced(facts(limits=limits))
    assert decision.programme is None
    assert "; in one batch, which costs least" not in decision.reason
    assert "; in one batch: each of more would make less progress than the vault demands" in decision.reason


def test_the_last_slice_goes_all_the_way_that_pays():
    first, by = sliced(facts(), extent="optimum", tracking_penalty=0.1)
    past = executed(remember(None, facts(), by), first, NOW)
    nearly = past.replaced(programme=past.programme.model_copy(update={"done": 3}))
    seen = at(facts(), NOW + 3600, {}).model_copy(update={"past": nearly})
    last = decide(seen, by)
    whole = decide(seen, policy(extent="optimum", tracking_penalty=0.1))
    assert (last.swaps, last.certificate) == (whole.swaps, whole.certificate)
    assert last.reason.endswith("; slice 4 of 4")


def test_a_slice_that_has_become_too_small_for_the_vault_is_held_with_what_it_lacks():
    limits = LIMITS.model_copy(update={"min_progress": 4 * WAD // 100})
    first, by = sliced(facts(limits=limits))
    past = executed(remember(None, facts(limits=limits), by), first, NOW)
    near = facts({USDC: (0.53, 0.5), WETH: (0.47, 0.5)}, limits=limits)
    seen = at(near, NOW + 600, {}).model_copy(update={"past": past})
    held = decide(seen, by)
    assert held.action == "hold"
    found = re.match(
        r"no plan stays within the vault's limits: of the best one without them, the gap closes from \$[\d,.]+ to"
        r" \$[\d,.]+, by less than \$40,000\.00; slice 2 of 4",
        held.reason,
    )
    assert found is not None, held.reason


def test_as_many_slices_as_are_asked_for_where_the_vault_demands_no_progress():
    limits = LIMITS.model_copy(update={"min_progress": 0})
    assert sliced(facts(limits=limits))[0].programme.slices == 4


def test_a_rebalance_that_just_makes_the_progress_demanded_says_why_it_has_no_slices():
    whole, _ = sliced(facts(), schedule={"kind": "once"})
    moved = whole.estimate.drift_before - whole.estimate.drift_after
    limits = LIMITS.model_copy(update={"min_progress": round(0.98 * moved * WAD)})
    decision, _ = sliced(facts(limits=limits))
    assert decision.action == "rebalance"
    assert "; in one batch: each of more would make less progress than the vault demands" in decision.reason


def test_a_slice_that_does_not_pay_any_more_says_until_when_it_waits():
    first, by = sliced(facts())
    past = executed(remember(None, facts(), by), first, NOW)
    dear = at(facts(), NOW + 600, {}).model_copy(update={"past": past})
    held = decide(dear, policy(**{"schedule": TWAP, "extent": "target", "tracking_penalty": 0.005}))
    assert "does not pay" in held.reason
    assert held.reason.endswith("; slice 2 of 4 is given up in 3000 s")


def test_a_programme_is_not_for_what_lies_inside_the_vault_s_dead_band():
    limits = LIMITS.model_copy(update={"dead_band": 5 * WAD // 100})
    first, _ = sliced(facts(limits=limits))
    assert first.programme.goal_drift == limits.dead_band


def test_slices_that_do_not_pay_as_a_whole_are_not_begun():
    decision, _ = sliced(facts(), tracking_penalty=0.005)
    assert decision.action == "hold"
    assert "does not pay" in decision.reason


def test_thin_pools_take_more_slices_and_dear_gas_fewer():
    asked = {"schedule": AUTO, "horizon_seconds": 3 * 86_400}
    deep, _ = sliced(facts(), **asked)
    thin, _ = sliced(facts(pools=THIN), **asked)
    dear, _ = sliced(facts(pools=THIN), **asked, gas_price_wei=str(3000 * 10**9))
    assert thin.programme.slices > deep.programme.slices > 1
    assert dear.programme is None
    assert "; in one batch, which costs least" in dear.reason


def auto(**changes) -> Twap:
    return Twap.model_validate(AUTO | changes)


BALANCE = Balance(taken=500.0, proportional=300.0, impact=900.0, gas=5.0)


@given(count=st.integers(1, 30))
def test_without_any_refill_slices_save_no_impact(count):
    assert cost_of_slices(count, BALANCE, 1.0, 0.0) == pytest.approx(BALANCE.impact + count * BALANCE.gas)


@given(count=st.integers(1, 30))
def test_with_full_refill_impact_is_one_part_of_it(count):
    assert cost_of_slices(count, BALANCE, 0.0, 0.0) == pytest.approx(BALANCE.impact / count + count * BALANCE.gas)


@given(count=st.integers(1, 8), left=st.floats(0, 1))
def test_the_impact_of_slices_is_that_of_pools_that_refill_by_that_much(count, left):
    """Each slice of 1/K moves the price by 1/K; what is left of that decays by ``left`` until the next."""
    moved = cost = 0.0
    for _ in range(count):
        cost += BALANCE.impact * (1 / count**2 + 2 * moved / count)
        moved = (moved + 1 / count) * left
    assert cost_of_slices(count, BALANCE, left, 0.0) - count * BALANCE.gas == pytest.approx(cost)


@given(count=st.integers(1, 30))
def test_waiting_costs_the_square_of_what_is_left_in_each_interval(count):
    waited = sum((1 - done / count) ** 2 for done in range(1, count))
    assert cost_of_slices(count, Balance(1, 0, 0, 0), 0.0, 7.0) == pytest.approx(7.0 * waited)


def test_automatic_slices_cost_least_of_all_numbers():
    best = slices_for(auto(), BALANCE, 7200.0, 100)
    costs = {count: cost_of_slices(count, BALANCE, 0.5, 500 * 600 / 7200) for count in range(1, 13)}
    assert costs[best] == min(costs.values())
    assert 1 < best < 12


def test_automatic_slices_are_no_more_than_the_most():
    assert slices_for(auto(max_slices=3), BALANCE, 1e9, 100) == 3
    assert slices_for(auto(), BALANCE, 1e9, 2) == 2
    assert slices_for(auto(), BALANCE, 1e9, 0) == 1
    assert slices_for(Twap(slices=4, interval_seconds=600), BALANCE, None, 0) == 1


@pytest.mark.parametrize("changes", [{"refill_half_life_seconds": 10**9}, {"interval_seconds": 86_400}])
def test_where_waiting_brings_nothing_it_is_one_batch(changes):
    assert slices_for(auto(**changes), BALANCE, 3600.0, 100) == 1


def test_a_drift_that_need_not_be_more_is_not_named():
    assert more_drift(1.0, WAD // 5) == ""
    assert more_drift(1.5, WAD // 5) == ", or a drift of about 30% instead of 20%"
    assert more_drift(None, WAD // 5) == more_drift(11.0, WAD // 5) == ", and no drift would be large enough"


def test_where_nothing_leads_all_the_way_no_drift_is_named():
    """A pool that keeps nearly all of what goes in: no route goes towards the targets whatever they are worth."""
    seen = snapshot({USDC: (0.6, 0.5), WETH: (0.4, 0.5)}, (v2_pool(1, USDC, WETH, 1e7, fee_pips=990_000),))
    reason = decide(seen, policy(tracking_penalty=0.5, **GAS)).reason
    assert reason.startswith("rebalancing does not pay")
    assert "drift would" not in reason
    assert "a drift of" not in reason
