"""A real vault on the embedded chain, a live keeper beside it, and somebody who has stolen its key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from functools import cached_property
from pathlib import Path

from eth_account import Account

from keeper.chain import bindings
from keeper.chain.deployment import Deployment
from keeper.chain.errors import NodeError, RpcError
from keeper.chain.lens import Reading
from keeper.config import Config
from keeper.devnet import DEV_KEYS, TOKENS, Devnet
from keeper.devnet.tables import STABLE
from keeper.devnet.world import transact
from keeper.domain.errors import InputError
from keeper.domain.limits import VaultLimits
from keeper.loop import Keeper, Service, tick
from keeper.policy.bound import Bound
from keeper.policy.guard import Basket
from keeper.stress.result import Ledger
from keeper.stress.scripts import Cast, Moment
from keeper.stress.thief import Theft, best_theft
from keeper.submit.deployer import DeployConfig, deploy
from keeper.submit.errors import SendError
from keeper.submit.order import Order, OrderBuy, OrderSell
from keeper.submit.program import encode_program
from keeper.submit.sender import order_call, rebalanced
from keeper.submit.signer import LocalSigner
from keeper.units import WAD, to_float, to_wad

OWNER, KEEPER, THIEF, ACCOMPLICE = DEV_KEYS[:4]
_FINAL = 2
"""Blocks after which a batch is final here."""
_GREED = WAD + WAD // 1000
"""What a thief tries beyond what the guard allows, to see it refused."""


def symbols_of(deployment: DeployConfig) -> list[str]:
    """What the embedded chain calls the assets of a vault. Raises `InputError` if it does not have one of them."""
    symbols = {token.address.lower(): symbol for symbol, token in TOKENS.items()}
    strange = next((priced.token for priced in deployment.priced if priced.token.lower() not in symbols), None)
    if strange is not None:
        raise InputError(f"the embedded chain has no {strange}: it has {', '.join(TOKENS)}")
    return [symbols[asset.token.lower()] for asset in deployment.assets]


class Arena:
    """A vault as `config` deploys it, its roles given to development accounts, on a devnet of one's own."""

    def __init__(self, devnet: Devnet, deployment: DeployConfig, config: Config, directory: Path) -> None:
        self.devnet, self.directory = devnet, directory
        self.symbols = symbols_of(deployment)
        self.weights = dict(zip(self.symbols, (asset.weight for asset in deployment.assets), strict=True))
        roles = dict.fromkeys(("owner", "curator", "guardian", "fee_recipient", "receiver"), OWNER.address)
        deployment = deployment.model_copy(update=roles | {"keeper": KEEPER.address})
        devnet.refresh_feeds()
        for symbol, asset in zip(self.symbols, deployment.assets, strict=True):
            devnet.deal(symbol, OWNER.address, int(asset.amount.scaleb(TOKENS[symbol].decimals)))
        self.deployment: Deployment = deploy(
            devnet.endpoint,
            deployment,
            OWNER.address,
            lambda to, data: transact(devnet.endpoint, to, data, sender=OWNER.address),
            lambda _: None,
        )
        self.deployment.save(directory / "vault.json")
        self.config = config.model_copy(
            update={
                "chain": type(config.chain)(rpc_url=devnet.url, chain_id=1),
                "deployment": directory / "vault.json",
                "sending": config.sending.model_copy(update={"timeout_seconds": 30.0, "poll_seconds": 0.01}),
                "routing": type(config.routing)(),
            }
        )
        devnet.mine(seconds=deployment.limits.cooldown)
        self._scenes = 0

    @property
    def keeper(self) -> Keeper:
        """The configured keeper of this vault."""
        return Keeper.assemble(self.config)

    @cached_property
    def limits(self) -> VaultLimits:
        """As the deployed vault has them."""
        return self.keeper.read().vault.limits

    @property
    def bound(self) -> Bound:
        """The theorem with the deployed vault's parameters."""
        return Bound(self.limits.loss_budget, self.limits.turnover_budget, self.limits.window)

    def cast(self, delta: Decimal, seed: int) -> Cast:
        """Prices as they are; the victim is the heaviest asset that is not stable, and the stable coin the heaviest."""
        prices = self.devnet.prices()
        heaviest = sorted(self.symbols, key=lambda symbol: -self.weights[symbol])
        return Cast(
            start={symbol: prices[symbol] for symbol in self.symbols},
            victim=next((symbol for symbol in heaviest if symbol not in STABLE), heaviest[0]),
            stable=next((symbol for symbol in heaviest if symbol in STABLE), None),
            delta=delta,
            seed=seed,
        )

    @contextmanager
    def scene(self) -> Iterator[Scene]:
        """One scenario: chain, time and journal are as before when it is over."""
        self._scenes += 1
        journal = f"sqlite:///{self.directory}/journal-{self._scenes}-{{mode}}.sqlite"
        keeper = Keeper.assemble(self.config.model_copy(update={"journal": journal}))
        with self.devnet.isolated():
            self.devnet.refresh_feeds()
            yield Scene(self, keeper)


class Scene:
    """The vault in the middle of a scenario. `ledger` has what batches cost and who refused what."""

    def __init__(self, arena: Arena, keeper: Keeper) -> None:
        self.arena, self.devnet, self.keeper = arena, arena.devnet, keeper
        self.endpoint = arena.devnet.endpoint
        self.ledger = Ledger()
        self.started_at = self.endpoint.header().timestamp
        self.true: dict[str, Decimal] = {}
        self._others: dict[str, Decimal] = {}
        self.gas = 0.0

    @property
    def now(self) -> int:
        """Seconds since the scenario began."""
        return self.endpoint.header().timestamp - self.started_at

    def pass_on(self, moment: Moment, *, pools: bool = True) -> None:
        """Lets a moment come: time, feeds and, unless nobody looks at them, `pools`."""
        self.true = moment.true
        self.devnet.mine(seconds=moment.seconds)
        self._others = {symbol: price for symbol, price in self.devnet.prices().items() if symbol not in moment.true}
        self.devnet.move_prices(moment.true if pools else {}, feeds=moment.feeds | self._others)

    def at_true_prices(self, reading: Reading) -> Basket:
        """The basket at what it is truly worth."""
        priced = reading.priced
        prices = tuple(to_wad(self.true[symbol]) for symbol in self.arena.symbols)
        return Basket(priced.balances, priced.decimals, prices, priced.weights)

    def drift(self) -> float:
        """At true prices."""
        return to_float(self.at_true_prices(self.keeper.read()).drift)

    # The keeper

    def live(self) -> None:
        """The live keeper looks once, and its batch becomes final."""
        before = self.keeper.read()
        service = self._open(self.keeper)
        try:
            outcome = tick(service, self.endpoint.header())
        except (RpcError, SendError) as error:
            self.ledger.event(self.now, "keeper", str(error))
            return
        finally:
            service.close()
        if outcome.status == "refused":
            oracle = bool(before.refusals())
            who = "oracle" if oracle else "policy" if outcome.decision and outcome.decision.refused else "breaker"
            self.ledger.event(self.now, "oracle" if oracle else who, outcome.reason)  # type: ignore[arg-type]  # one of three
        elif outcome.status == "hold" and "limit" in outcome.reason:
            self.ledger.event(self.now, "keeper", outcome.reason)
        elif outcome.realised is not None:
            done = outcome.realised
            self._pay(before, done.gas_used * done.gas_price)
            self._enter(before, (done.nav_before, done.nav_after))
            self.devnet.mine(_FINAL)

    def submit(self) -> None:
        """The live keeper looks once and sends, and does not wait for its batch to be mined."""
        sending = self.keeper.config.sending.model_copy(update={"timeout_seconds": 0.0})
        hasty = replace(self.keeper, config=self.keeper.config.model_copy(update={"sending": sending}))
        service = self._open(hasty)
        try:
            tick(service, self.endpoint.header())
        finally:
            service.close()

    def collect(self, before: Reading) -> None:
        """Enters the batch that the latest block took, if it did; `before` is what it was planned from."""
        abi = bindings.interface("IndexVault")
        asked = {
            "address": before.vault.address,
            "topics": [abi.topic("Rebalanced")],
            "blockHash": self.endpoint.header().hash,
        }
        for log in self.endpoint.request("eth_getLogs", asked):
            event = abi.decode_log("Rebalanced", log)
            receipt = self.endpoint.request("eth_getTransactionReceipt", log["transactionHash"])
            self._pay(before, int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16))
            self._enter(before, (event["nav0"], event["nav1"]))

    def unit_price(self, token: str) -> float:
        """USD for a raw unit of a token of the embedded chain, at true prices."""
        symbol = next(symbol for symbol, known in TOKENS.items() if known.address == token)
        price = self.true.get(symbol, self._others.get(symbol))
        return float((price or Decimal(0)).scaleb(-TOKENS[symbol].decimals))

    def _open(self, keeper: Keeper) -> Service:
        signer = LocalSigner(Account.from_key(KEEPER.private_key))
        return Service.open(keeper, signer, lambda: float(self.endpoint.header().timestamp))

    # The thief

    def steal(self) -> None:
        """Whoever holds the key takes as much in one batch as the guard allows, and tries for more first."""
        reading = self.keeper.read()
        if refusals := reading.refusals():
            self.ledger.event(self.now, "oracle", refusals[0])
            return
        if reading.block.timestamp < reading.vault.ready_at:
            return
        worth = self.at_true_prices(reading).prices
        greedy = best_theft(reading.priced, reading.vault.bounds, worth, _GREED)
        if greedy is not None:
            with self.devnet.isolated():
                self._rob(reading, greedy)
        theft = best_theft(reading.priced, reading.vault.bounds, worth)
        if theft is not None and (event := self._rob(reading, theft)) is not None:
            self._enter(reading, event)

    def _rob(self, reading: Reading, theft: Theft) -> tuple[int, int] | None:
        """Pays in, and sends the batch. NAV before and after as the vault measured them; None if it refused."""
        tokens = [facts.token.address for facts in reading.basket]
        order = Order(
            nonce=reading.vault.nonce + 1,
            deadline=reading.block.timestamp + 3600,
            epoch=reading.vault.epoch,
            sells=tuple(OrderSell(i, amount, THIEF.address) for i, amount in sorted(theft.taken.items())),
            buys=tuple(OrderBuy(i, amount) for i, amount in sorted(theft.paid.items())),
            # A program without a step: what lies in the executor goes to the vault.
            route=encode_program((), {tokens[i]: amount for i, amount in sorted(theft.paid.items())}),
        )
        for i, amount in theft.paid.items():
            self.devnet.deal(tokens[i], reading.vault.executor, amount)
        return self.send(order.encode())

    def send(self, order: bytes) -> tuple[int, int] | None:
        """Sends an order with the keeper's key. NAV before and after; None, and a note of it, if the vault refused."""
        vault = self.arena.deployment.vault
        try:
            receipt = transact(self.endpoint, vault, order_call(order), sender=KEEPER.address)
        except NodeError as error:
            self.ledger.event(self.now, "vault", bindings.explain(error.data) if error.data else str(error))
            return None
        event = rebalanced(vault, receipt)
        assert event is not None  # noqa: S101  the vault took the order
        return event["nav0"], event["nav1"]

    def _pay(self, reading: Reading, wei: int) -> None:
        """Adds what the operator paid for gas."""
        price = next(facts.price for facts in reading.tokens if facts.token.address == reading.native_token)
        self.gas += to_float(wei) * to_float(price)

    def _enter(self, before: Reading, navs: tuple[int, int]) -> None:
        after: Sequence[int] = self.keeper.read().vault.balances
        self.ledger.batch(self.now, before.priced, self.at_true_prices(before), after, navs)
