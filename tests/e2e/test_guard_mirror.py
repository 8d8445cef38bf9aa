"""The keeper's guard against the contract's, on random batches and limits at the very edge."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any, NamedTuple

from keeper.chain import artifacts
from keeper.chain.bindings import decode_error, interface
from keeper.devnet import Devnet
from keeper.domain import Limits
from keeper.policy.guard import Basket, check_drift, check_outcome
from keeper.units import WAD

CASES, BATCHES = 100, 15
ANYWHERE = "0x" + "77" * 20


class Case(NamedTuple):
    basket: Basket
    after: tuple[int, ...]
    limits: Limits
    levels: tuple[int, int]

    def arguments(self) -> tuple[Any, ...]:
        """As the contract takes it; a budget is what the bucket holds already plus the headroom."""
        limits, (loss, turnover) = self.limits, self.levels
        budgets = (loss + limits.loss_headroom, turnover + limits.turnover_headroom)
        return (
            self.basket.balances,
            [10**decimals for decimals in self.basket.decimals],
            self.basket.prices,
            self.basket.weights,
            self.after,
            (
                limits.max_slippage,
                limits.max_batch_loss,
                *budgets,
                limits.dead_band,
                limits.min_progress,
                limits.dust,
                0,
                0,
            ),
            loss,
            turnover,
        )


def random_case(random: Random) -> Case:
    """A batch mostly towards the targets, with limits that mostly hold and often only just do or just do not."""
    count = random.randrange(2, 6)
    decimals = tuple(random.choice([6, 8, 18]) for _ in range(count))
    prices = tuple(random.randrange(1, 10 ** random.randrange(17, 24)) for _ in range(count))
    values = [random.randrange(1, 10**6) * WAD for _ in range(count)]
    balances = tuple(v * 10**d // p + 1 for v, p, d in zip(values, prices, decimals, strict=True))
    cuts = sorted(random.randrange(WAD) for _ in range(count - 1))
    weights = tuple(upper - lower for lower, upper in zip([0, *cuts], [*cuts, WAD], strict=True))
    basket = Basket(balances, decimals, prices, weights)
    after = []
    for i, balance in enumerate(balances):
        wanted = basket.target_values[i] * 10 ** decimals[i] // prices[i]
        part = random.choice([0, random.random(), random.random(), 1, random.uniform(-0.1, 1.1)])
        slip = random.choice([1, 1, 0.999]) if wanted > balance else 1
        after.append(max(0, balance + int((wanted - balance) * part * slip)))
    levels = (random.randrange(WAD // 10), random.randrange(WAD))
    return Case(basket, tuple(after), random_limits(random, basket, tuple(after)), levels)


def random_limits(random: Random, basket: Basket, after: tuple[int, ...]) -> Limits:
    """Each limit is generous, or within one of where it starts to bind."""
    outcome = basket.measure(after)
    nav = basket.nav
    edges = {
        "max_slippage": (WAD - outcome.bought * WAD // max(outcome.sold, 1), WAD // 2),
        "max_batch_loss": (WAD - outcome.nav * WAD // nav, WAD // 2),
        "loss_headroom": ((nav - outcome.nav) * WAD // nav, 10 * WAD),
        "turnover_headroom": ((outcome.sold + outcome.bought) * WAD // nav, 10 * WAD),
        "dust": ((outcome.sold + outcome.bought + outcome.gap - basket.gap) * WAD // nav, 10 * WAD),
        "min_progress": ((basket.gap - outcome.gap) * WAD // nav, 0),
        "dead_band": (basket.drift, 0),
    }
    return Limits(
        **{
            name: min(max(random.choice([edge + random.randrange(-1, 3), generous, generous, generous]), 0), WAD)
            if name in ("max_slippage", "max_batch_loss")
            else max(random.choice([edge + random.randrange(-1, 3), generous, generous, generous]), 0)
            for name, (edge, generous) in edges.items()
        }
    )


def test_the_keepers_guard_is_the_contracts_to_the_letter(devnet: Devnet) -> None:
    random = Random(20240609)  # noqa: S311 - cases, not secrets
    prober = interface("GuardProber")
    code = {ANYWHERE: {"code": "0x" + artifacts.load("GuardProber").runtime.hex()}}
    seen: Counter[str | None] = Counter()
    for _ in range(BATCHES):
        cases = [random_case(random) for _ in range(CASES)]
        data = prober.encode("judge", [case.arguments() for case in cases])
        answer = devnet.endpoint.data("eth_call", {"to": ANYWHERE, "data": "0x" + data.hex()}, "latest", code)
        for case, (nav, gap, outcome, refusal) in zip(cases, prober.decode("judge", answer)[0], strict=True):
            measured = case.basket.measure(case.after)
            assert (case.basket.nav, case.basket.gap, tuple(measured)) == (nav, gap, outcome)
            violation = check_drift(case.basket, case.limits) or check_outcome(case.basket, measured, case.limits)
            error = decode_error(refusal)
            assert (violation and violation.error) == (error and error[0]), case
            seen[violation and violation.error] += 1
    assert len(seen) == 8, seen  # every refusal of the two, and none
    assert min(seen.values()) >= 10, seen
