"""Rebalancing in the keeper's place: where an auction stands, what a fill gives and gets, and filling it.

The price line of `IndexVault.rebalanceOpen`: bought value must reach (1 - s) of sold value, and s rises linearly from
-premium when the auction opens, or was last filled, to `max_slippage` at its end. What a filler earns, before gas and
at the vault's own prices, is therefore s of what it takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eth_utils.address import to_checksum_address

from keeper.chain import bindings
from keeper.chain.errors import NodeError, OracleRefused, Refused
from keeper.domain.errors import InputError
from keeper.domain.snapshot import Limits
from keeper.policy.guard import Basket, check_drift, check_outcome
from keeper.pools import UniswapV2Pool
from keeper.routing.steps import Amount, Recipient, Step
from keeper.submit.errors import SimulationError
from keeper.submit.order import Order, OrderBuy, OrderSell
from keeper.submit.program import encode_program
from keeper.units import WAD, amount_of, amount_of_up, format_units, mul_div, mul_div_up, percent, value_of, value_of_up

if TYPE_CHECKING:
    from keeper.chain.lens import Reading, VaultFacts
    from keeper.chain.rpc import Endpoint
    from keeper.submit.deployer import Progress, Send


FILL_SECONDS = 300
"""How long after the block that was read a fill may still take effect."""


def slippage_after(vault: VaultFacts, elapsed: int) -> int:
    """s in WAD, `elapsed` seconds after the auction was opened or last filled; below zero the filler pays."""
    premium = vault.auction.premium
    return mul_div(premium + vault.limits.max_slippage, elapsed, vault.auction.length) - premium


def elapsed_until(vault: VaultFacts, slippage: int) -> int | None:
    """The least seconds after which s reaches `slippage` (WAD); None if this auction never goes so far."""
    premium, most = vault.auction.premium, vault.limits.max_slippage
    if slippage > most:
        return None
    rise = max(0, slippage + premium)
    return mul_div_up(rise, vault.auction.length, premium + most) if rise else 0


def obstacle(reading: Reading) -> str | None:
    """Why an auction can neither be opened nor filled at the block that was read, in one line; None if it can."""
    vault, basket = reading.vault, reading.priced
    silent_at = vault.calm_at + vault.auction.keeper_grace
    if vault.paused:
        return "rebalancing is paused"
    if reading.block.timestamp < silent_at:
        return f"the keeper counts as silent in another {silent_at - reading.block.timestamp} s only"
    if basket.nav == 0 or basket.drift <= vault.auction.open_band:
        drift = percent(basket.drift) if basket.nav else "none"
        return f"drift {drift} is not above the auction's band {percent(vault.auction.open_band)}"
    return None


@dataclass(frozen=True, slots=True)
class Leg:
    """`amount` raw units of the asset at `index`; its value in USD WAD is rounded as the vault rounds it."""

    index: int
    token: str
    amount: int
    value: int


@dataclass(frozen=True, slots=True)
class Fill:
    """What moves at the slippage `s` (WAD): the vault sends `sells` to the filler, which pays `buys`. Drift in WAD."""

    slippage: int
    sells: tuple[Leg, ...]
    buys: tuple[Leg, ...]
    drift_before: int
    drift_after: int

    @property
    def sold(self) -> int:
        """What the filler gets, USD WAD."""
        return sum(leg.value for leg in self.sells)

    @property
    def bought(self) -> int:
        """What the filler pays, USD WAD."""
        return sum(leg.value for leg in self.buys)

    @property
    def margin(self) -> int:
        """What the filler earns before gas, USD WAD; below zero it pays."""
        return self.sold - self.bought


def plan_fill(reading: Reading, slippage: int, fraction: int = WAD) -> Fill:
    """The largest fill that the vault lets stand at `slippage` (WAD), or `fraction` (WAD) of it.

    Every asset above its target is sold and every one below it bought, each in proportion to its distance, so that all
    come closer and none crosses. Raises `Refused` if the fill breaks a limit: it is too small, or a budget is spent.
    """
    if not 0 < fraction <= WAD:
        raise InputError(f"the fraction of a fill must be above 0 and at most 1, not {format_units(fraction, 18)}")
    if refusals := [r for facts, _, _ in reading.tradable if (r := facts.refusal(reading.block.timestamp)) is not None]:
        raise OracleRefused("; ".join(refusals))
    vault, basket = reading.vault, reading.priced
    limits = _terms(vault, basket, slippage)
    if violation := check_drift(basket, limits):
        raise Refused(violation.message)

    off = [value - target for value, target in zip(basket.values, basket.target_values, strict=True)]
    over = {i: distance for i, distance in enumerate(off) if distance > 0 and basket.prices[i]}
    under = {i: -distance for i, distance in enumerate(off) if distance < 0 and basket.prices[i]}
    most = mul_div(_most_sold(basket, limits, over, under), fraction, WAD)
    sells = tuple(_legs(reading, over, most, up=False))
    # The other leg is priced by what is really sold, and rounded against the filler.
    due = mul_div_up(sum(leg.value for leg in sells), WAD - slippage, WAD)
    buys = tuple(_legs(reading, under, due, up=True))

    after = list(basket.balances)
    for leg in sells:
        after[leg.index] -= leg.amount
    for leg in buys:
        after[leg.index] += leg.amount
    outcome = basket.measure(after)
    if violation := check_outcome(basket, outcome, limits):
        raise Refused(f"no such fill can stand: {violation.message}")
    return Fill(slippage, sells, buys, basket.drift, mul_div_up(outcome.gap, WAD, basket.nav))


def build_fill_order(reading: Reading, fill: Fill, filler: str, *, deadline: int) -> Order:
    """The order that `filler`, an `AuctionFiller`, sends the vault. `deadline` is a timestamp in seconds."""
    # No pool: the filler only answers like one. It says itself what reserves it has, and what it pays.
    pair = UniswapV2Pool(
        address=filler, token0=fill.sells[0].token, token1=fill.buys[0].token, fee_pips=0, reserve0=1, reserve1=1
    )
    step = Step(pair, pair.token0, pair.token1, Amount.PREFUNDED, fill.sells[0].amount, Recipient.CALLER)
    return Order(
        nonce=reading.vault.open_nonce + 1,
        deadline=deadline,
        epoch=reading.vault.epoch,
        sells=tuple(OrderSell(leg.index, leg.amount, filler) for leg in fill.sells),
        buys=tuple(OrderBuy(leg.index, leg.amount) for leg in fill.buys),
        route=encode_program((step,)),
    )


# On the chain


def open_auction(reading: Reading, send: Send) -> None:
    """Opens an auction. Raises `Refused` if the vault would not."""
    if reason := obstacle(reading):
        raise Refused(f"no auction can be opened: {reason}")
    send(reading.vault.address, bindings.interface("IndexVault").encode("openAuction"))


def deploy_filler(owner: str, send: Send) -> str:
    """A new `AuctionFiller` that belongs to `owner`; its address."""
    return to_checksum_address(send(None, bindings.constructor_call("AuctionFiller", owner))["contractAddress"])


def fill_auction(
    endpoint: Endpoint, reading: Reading, fill: Fill, filler: str, *, owner: str, send: Send, progress: Progress
) -> dict[str, int]:
    """Moves from `owner` to its `filler` what that lacks, and fills. Returns the arguments of `AuctionFilled`.

    Raises before anything is sent `Refused` while the vault cools down, and `InputError` if the filler is another's or
    the owner lacks a token; and `SimulationError` if the vault would refuse the fill, which then is not sent, while
    what was moved stays in the filler.
    """
    if (wait := reading.vault.ready_at - reading.block.timestamp) > 0:
        raise Refused(f"the vault is cooling down for another {wait} s")
    if bindings.view(endpoint, "AuctionFiller", filler, "owner", block="latest") != owner.lower():
        raise InputError(f"the filler {filler} does not belong to {owner}")
    for leg, amount in _lacking(endpoint, fill, filler, owner):
        progress(f"moving {amount} raw units of {leg.token} to the filler")
        send(leg.token, bindings.ERC20.encode("transfer", filler, amount))

    order = build_fill_order(reading, fill, filler, deadline=reading.block.timestamp + FILL_SECONDS)
    payments = [(leg.token, leg.amount) for leg in fill.buys]
    data = bindings.interface("AuctionFiller").encode("fill", reading.vault.address, order.encode(), payments)
    try:
        endpoint.request("eth_call", {"from": owner, "to": filler, "data": "0x" + data.hex()}, "latest")
    except NodeError as error:
        raise SimulationError(f"the vault would refuse the fill: {bindings.explain(error.data)}") from None
    progress("filling the auction")
    receipt = send(filler, data)
    abi = bindings.interface("IndexVault")
    for log in receipt["logs"]:
        if log["address"].lower() == reading.vault.address.lower() and log["topics"][0] == abi.topic("AuctionFilled"):
            return abi.decode_log("AuctionFilled", log)
    raise SimulationError(f"the fill {receipt['transactionHash']} did not do what its simulation did: it reverted")


def _terms(vault: VaultFacts, basket: Basket, slippage: int) -> Limits:
    """A filler's limits: its own fairness, band and least progress, and the budgets that everybody shares."""
    nav = max(basket.nav, 1)
    # The contract compares values. As a fraction of NAV the least part of the gap is a wei stricter, never looser.
    least = mul_div_up(mul_div_up(basket.gap, vault.auction.min_fill, WAD), WAD, nav)
    return vault.bounds.model_copy(
        update={
            "max_slippage": slippage,
            "dead_band": vault.auction.open_band,
            "min_progress": max(vault.limits.min_progress, least),
        }
    )


def _most_sold(basket: Basket, limits: Limits, over: dict[int, int], under: dict[int, int]) -> int:
    """The most that may be sold, USD WAD, so that nothing crosses its target and no budget is overdrawn."""
    fair = WAD - limits.max_slippage
    # Amounts bought are rounded up to whole raw units, each asset by less than one.
    rounding = sum(value_of_up(1, basket.prices[i], basket.decimals[i]) for i in under)
    turnover = mul_div(basket.nav, limits.turnover_headroom, WAD) - rounding
    most = [
        sum(over.values()),
        mul_div(sum(under.values()) - rounding, WAD, fair),
        mul_div(turnover, WAD, WAD + fair),
    ]
    if limits.max_slippage > 0:
        loss = min(limits.max_batch_loss, limits.loss_headroom)
        most.append(mul_div(basket.nav, loss, limits.max_slippage))
    return max(0, min(most))


def _legs(reading: Reading, distances: dict[int, int], value: int, *, up: bool) -> Iterator[Leg]:
    """`value` USD WAD over these assets in proportion to their distances from the target, in raw units."""
    total = sum(distances.values())
    scale, convert, worth = (mul_div_up, amount_of_up, value_of) if up else (mul_div, amount_of, value_of_up)
    for index, distance in distances.items():
        facts = reading.basket[index]
        amount = convert(scale(value, distance, total), facts.price, facts.token.decimals)
        if amount:
            yield Leg(index, facts.token.address, amount, worth(amount, facts.price, facts.token.decimals))


def _lacking(endpoint: Endpoint, fill: Fill, filler: str, owner: str) -> Sequence[tuple[Leg, int]]:
    """What the filler needs beyond its inventory, raw units. Raises `InputError` if the owner has not got it either."""
    lacking = []
    for leg in fill.buys:
        held = bindings.view(endpoint, bindings.ERC20, leg.token, "balanceOf", filler, block="latest")
        if held < leg.amount:
            lacking.append((leg, leg.amount - held))
    for leg, amount in lacking:
        purse = bindings.view(endpoint, bindings.ERC20, leg.token, "balanceOf", owner, block="latest")
        if purse < amount:
            raise InputError(f"{owner} holds {purse} raw units of {leg.token}, and the fill needs {amount} more of it")
    return lacking
