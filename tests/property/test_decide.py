"""What every decision owes to the vault, on random baskets, markets, limits and policies."""

from collections import Counter

from builders import COINS, LIMITS, policy, snapshot, v2_pool, v3_pool
from graphs import net_changes
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from keeper.domain import Decision, Limits, Policy, Snapshot
from keeper.policy import decide
from keeper.policy.guard import Basket, check_drift, check_outcome
from keeper.pools import BasePool
from keeper.units import WAD, to_wad

settings.register_profile("decide", max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def weights(draw: st.DrawFn, count: int) -> list[float]:
    """Whole percents that sum to one."""
    cuts = sorted(draw(st.lists(st.integers(0, 100), min_size=count - 1, max_size=count - 1)))
    return [(upper - lower) / 100 for lower, upper in zip([0, *cuts], [*cuts, 100], strict=True)]


@st.composite
def markets(draw: st.DrawFn) -> tuple[BasePool, ...]:
    """Two to twelve pools, deep and shallow, some of them off the oracle's price."""
    pools: list[BasePool] = []
    pairs = [(a, b) for i, a in enumerate(COINS) for b in COINS[i + 1 :]]
    for number in range(draw(st.integers(2, 12))):
        pair = draw(st.sampled_from(pairs))
        usd = draw(st.sampled_from([1e8, 1e7, 1e6, 1e4]))
        if draw(st.booleans()):
            pool = v2_pool(number, *pair, usd, fee_pips=draw(st.sampled_from([0, 500, 3000, 10_000])))
            off = draw(st.integers(950, 1050))
            pools.append(pool.model_copy(update={"reserve1": pool.reserve1 * off // 1000}))
        else:
            fee, spacing = draw(st.sampled_from([(500, 10), (3000, 60), (10_000, 200)]))
            widths = draw(st.sampled_from([(2,), (10, 100), (5, 50, 500)]))
            pools.append(v3_pool(number, *pair, usd, fee_pips=fee, spacing=spacing, widths=widths))
    return tuple(pools)


@st.composite
def limits(draw: st.DrawFn) -> Limits:
    """Limits inside the hard bounds of the vault, now and then nothing of one."""

    def up_to(most: int) -> int:
        return draw(st.sampled_from([most, most, most // 4, most // 50, 0]))

    return LIMITS.model_copy(
        update={
            "max_slippage": up_to(WAD // 20),
            "max_batch_loss": up_to(WAD // 20),
            "loss_headroom": up_to(WAD // 10),
            "turnover_headroom": up_to(2 * WAD),
            "dust": up_to(WAD // 10_000),
            "min_progress": max(up_to(WAD // 100), 10**12),
            "dead_band": up_to(WAD // 100),
        }
    )


@st.composite
def questions(draw: st.DrawFn) -> tuple[Snapshot, Policy]:
    count = draw(st.integers(2, len(COINS)))
    basket = dict(zip(COINS, zip(draw(weights(count)), draw(weights(count)), strict=True), strict=False))
    facts = snapshot(
        basket,
        draw(markets()),
        nav=draw(st.sampled_from([10, 1e4, 1e5, 1e6, 1e8])),
        limits=draw(st.none() | limits()),
    )
    asked = policy(
        tracking_penalty=draw(st.sampled_from([0.1, 1, 10, 100])),
        gas_price_wei=str(draw(st.sampled_from([0, 10**8, 10**10]))),
        slippage=str(draw(st.sampled_from([0, 0.001, 0.05]))),
    )
    return facts, asked


@settings(settings.get_profile("decide"))
@given(questions())
def test_every_rebalance_can_be_carried_out_and_stands(question):
    facts, asked = question
    decision = decide(facts, asked)
    event(decision.action)
    assert decision.reason
    if decision.action == "hold":
        assert not decision.swaps
        return
    check_swaps(facts, decision)
    check_minima(facts, asked, decision)
    check_guard(facts, decision)
    check_worth(facts, asked, decision)


def check_swaps(facts: Snapshot, decision: Decision) -> None:
    """The swaps need only what is sold, give what is said to be bought, and are what the pools would do."""
    here = Counter({sell.token: sell.amount for sell in decision.sells})
    passed: Counter[str] = Counter()
    pools = {pool.name: pool for pool in facts.pools}
    for swap in decision.swaps:
        assert here[swap.token_in] >= swap.amount_in > 0
        amount_out, pools[swap.pool] = pools[swap.pool].swap(swap.token_in, swap.token_out, swap.amount_in)
        assert amount_out == swap.amount_out
        here[swap.token_in] -= swap.amount_in
        here[swap.token_out] += swap.amount_out
        passed[swap.token_out] += swap.amount_out
    assert +Counter({token: here[token] for token in facts.asset}) == Counter(
        {buy.token: buy.amount for buy in decision.buys}
    )
    # Of what only passes through a rounding may stay, where the last pool stands at the end of its liquidity.
    assert all(here[token] * 10**6 <= passed[token] for token in passed if token not in facts.asset)
    for sell in decision.sells:
        assert 0 < sell.amount <= facts.asset[sell.token].balance


def check_minima(facts: Snapshot, asked: Policy, decision: Decision) -> None:
    for buy in decision.buys:
        assert buy.amount * (WAD - to_wad(asked.slippage)) <= buy.min_amount * WAD
        assert buy.min_amount <= buy.amount
    if facts.vault.limits is not None:
        at_least = tuple(buy.model_copy(update={"amount": buy.min_amount}) for buy in decision.buys)
        least = net_changes(decision.model_copy(update={"buys": at_least}))
        result = Basket.of(facts).measure([asset.balance + least[asset.token] for asset in facts.vault.assets])
        assert result.bought * WAD >= result.sold * (WAD - facts.vault.limits.max_slippage)


def check_guard(facts: Snapshot, decision: Decision) -> None:
    """The vault lets it stand: no asset moves away from its target or passes it by more than the dust it allows."""
    if facts.vault.limits is None:
        return
    basket, net = Basket.of(facts), net_changes(decision)
    outcome = basket.measure([asset.balance + net[asset.token] for asset in facts.vault.assets])
    assert check_drift(basket, facts.vault.limits) is None
    assert check_outcome(basket, outcome, facts.vault.limits) is None


def check_worth(facts: Snapshot, asked: Policy, decision: Decision) -> None:
    """It is worth more than holding, by the objective of the design, recomputed from the decision alone."""
    basket, net = Basket.of(facts), net_changes(decision)
    nav = basket.nav / WAD

    def penalty(change: Counter[str]) -> float:
        distances = (
            change[asset.token] * asset.price / 10 ** facts.token[asset.token].decimals + value - target
            for asset, value, target in zip(facts.vault.assets, basket.values, basket.target_values, strict=True)
        )
        return asked.tracking_penalty / (2 * nav) * sum((distance / WAD) ** 2 for distance in distances)

    gained = penalty(Counter()) - penalty(net) - decision.estimate.cost_usd - decision.estimate.gas_usd
    assert gained > -1e-9 * nav


@settings(settings.get_profile("decide"), max_examples=20)
@given(questions())
def test_the_same_question_has_the_same_answer(question):
    assert decide(*question) == decide(*question)
