"""The state of a vault for people: weights against targets, drift, and what the limits still allow."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.chain.lens import Reading, TokenFacts
from keeper.domain import Decision, Programme
from keeper.units import WAD, mul_div


@dataclass(frozen=True, slots=True)
class AssetStatus:
    """One asset. Value in USD WAD and weight in WAD; both None while a price of the basket is refused."""

    facts: TokenFacts
    balance: int
    target: int
    value: int | None
    weight: int | None
    refusal: str | None


@dataclass(frozen=True, slots=True)
class Slices:
    """A programme, and whether its next slice is sent and not final yet."""

    programme: Programme
    in_flight: bool


@dataclass(frozen=True, slots=True)
class Status:
    """The vault at one block. NAV in USD WAD and drift in WAD; both None while a price of the basket is refused."""

    assets: tuple[AssetStatus, ...]
    nav: int | None
    drift: int | None
    cooldown: int
    """Seconds until the vault may be rebalanced again."""
    slices: Slices | None
    """A rebalance that is under way in slices."""


def slices_of(programme: Programme | None, decision: Decision | None, *, in_flight: bool) -> Slices | None:
    """What is under way: the ``programme`` as finalised blocks have it, or one whose first slice is ``in_flight``, as
    its ``decision`` began it."""
    if programme is None and decision is not None and decision.programme is not None:
        begun = decision.programme
        programme = begun.model_copy(update={"done": begun.done - 1, "next_at": begun.next_at - begun.interval})
    return None if programme is None else Slices(programme, in_flight)


def status_of(reading: Reading, slices: Slices | None = None) -> Status:
    """What `keeper status` shows. Answers whatever the oracle refuses."""
    vault = reading.vault
    refusals = [
        "quarantined: out of NAV, not traded" if quarantined else facts.refusal(reading.block.timestamp)
        for facts, quarantined in zip(reading.basket, vault.quarantined, strict=True)
    ]
    unpriced = any(r for r, quarantined in zip(refusals, vault.quarantined, strict=True) if not quarantined)
    basket = reading.priced
    priced = not unpriced and basket.nav > 0
    return Status(
        assets=tuple(
            AssetStatus(
                facts=facts,
                balance=balance,
                target=target,
                value=None if refusal else value,
                weight=mul_div(value, WAD, basket.nav) if priced and not refusal else None,
                refusal=refusal,
            )
            for facts, balance, target, value, refusal in zip(
                reading.basket, vault.balances, vault.targets, basket.values, refusals, strict=True
            )
        ),
        nav=None if unpriced else basket.nav,
        drift=basket.drift if priced else None,
        cooldown=max(0, vault.ready_at - reading.block.timestamp),
        slices=slices,
    )


def status_json(reading: Reading, status: Status) -> dict[str, object]:
    """JSON-ready; raw amounts, USD WAD and WAD fractions as decimal strings."""
    vault = reading.vault
    return {
        "block": {"number": reading.block.number, "hash": reading.block.hash, "timestamp": reading.block.timestamp},
        "vault": vault.address,
        "nonce": vault.nonce,
        "basket_epoch": vault.epoch,
        "total_supply": str(vault.total_supply),
        "paused": vault.paused,
        "owner": vault.owner,
        "keeper": vault.keeper,
        "oracle": vault.oracle,
        "executor": vault.executor,
        "nav": _text(status.nav),
        "drift": _text(status.drift),
        "dead_band": str(vault.limits.dead_band),
        "loss_headroom": str(vault.loss_headroom),
        "turnover_headroom": str(vault.turnover_headroom),
        "settled_at": vault.settled_at,
        "cooldown_seconds": status.cooldown,
        "programme": None if status.slices is None else _slices_json(status.slices),
        "assets": [
            {
                "token": asset.facts.token.address,
                "symbol": asset.facts.token.symbol,
                "balance": str(asset.balance),
                "value": _text(asset.value),
                "weight": _text(asset.weight),
                "target_weight": str(asset.target),
                "price": None if asset.refusal else str(asset.facts.price),
                "price_updated_at": None if asset.refusal else asset.facts.price_updated_at,
                "refusal": asset.refusal,
            }
            for asset in status.assets
        ],
    }


def _slices_json(slices: Slices) -> dict[str, object]:
    programme = slices.programme
    return {
        "slices": programme.slices,
        "done": programme.done,
        "in_flight": slices.in_flight,
        "next_at": programme.next_at,
        "deadline": programme.deadline,
        "goal_drift": str(programme.goal_drift),
    }


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)
