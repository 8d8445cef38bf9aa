"""What decisions need, read at one block by `contracts/periphery/Lens.sol`, which is never deployed.

One vault is one `eth_call`. A group of vaults that trade through the same venues is one JSON-RPC batch: its pools are
read once, the prices of each oracle once, and the vaults some at a time. Where the venues may have more pools than one
call should look for, the batch asks for them in several, all at the same block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from pydantic import ValidationError

from keeper.chain import bindings
from keeper.chain.errors import NodeError, OracleRefused, RpcError, one_line
from keeper.chain.rpc import Endpoint, Header, block_tag
from keeper.chain.venues import Venue
from keeper.domain.errors import InputError, explain
from keeper.domain.limits import VaultLimits
from keeper.domain.snapshot import AssetState, Block, Limits, Snapshot, Token, VaultState
from keeper.policy.guard import Basket
from keeper.pools import Pool
from keeper.units import format_units

# EIP-3860; also what a node refuses in a call without a recipient.
MAX_INIT_CODE = 49_152

# `LensView` of the contract. It leaves as revert data, so no ABI lists it.
_LIMITS = "(uint64,uint64,uint64,uint64,uint64,uint64,uint64,uint32,uint32)"
_AUCTION = "(uint64,uint64,uint64,uint32,uint32)"
_VAULT = (
    "(address[],uint256,uint256,uint256,uint256,bool,address,address,address,address,"
    f"uint256[],uint256[],bool[],{_LIMITS},uint256,uint256,uint256,uint256,uint256,{_AUCTION})"
)
# The symbol is a string, read as bytes: a token may call itself what is no text.
_LISTED = "(address,bytes,uint8)"
_ORACLE = "(address,(uint256,uint256,bytes)[])"
# Pools by venue, each as the venue's fragment encodes it.
_VIEW = f"(uint256,uint256,{_VAULT}[],{_LISTED}[],{_ORACLE}[],bytes[][])"

POOLS_AT_ONCE = 3000
"""Pools that one call of a batch looks for. Most do not exist, which takes 5,000 gas each to find out on V3 and 13,000
on V4; one that does takes some 230,000. Nodes give a call about 50 million."""
_LARGEST_BASKET = 32
"""How many tokens a vault may hold; what it holds is known only once it has been read."""
_VAULTS_AT_ONCE = 20
"""Vaults in one call of a batch: with baskets of 32 tokens they stay below the gas that nodes give a call."""


class AuctionTerms(NamedTuple):
    """The vault's terms for whoever rebalances in the keeper's place: fractions in WAD, times in seconds."""

    open_band: int
    premium: int
    min_fill: int
    keeper_grace: int
    length: int


@dataclass(frozen=True, slots=True)
class VaultFacts:
    """What the vault says of itself. Assets, balances, targets (WAD), quarantine in index order, times in seconds.

    `settled_at` is when it was last rebalanced or its settings last changed; the cooldown counts from it. `calm_at` is
    when a batch last ended inside the auction's band; the keeper's silence counts from it. `auction_opened_at` is when
    the running auction was opened or last filled, 0 if there is none; `open_nonce` is that of the last fill.
    """

    address: str
    assets: tuple[str, ...]
    nonce: int
    total_supply: int
    epoch: int
    settled_at: int
    paused: bool
    keeper: str
    owner: str
    oracle: str
    executor: str
    balances: tuple[int, ...]
    targets: tuple[int, ...]
    quarantined: tuple[bool, ...]
    limits: VaultLimits
    loss_headroom: int
    turnover_headroom: int
    open_nonce: int
    calm_at: int
    auction_opened_at: int
    auction: AuctionTerms

    @property
    def ready_at(self) -> int:
        """The first timestamp at which the cooldown is over."""
        return self.settled_at + self.limits.cooldown

    @property
    def bounds(self) -> Limits:
        """What one batch of the keeper may do now."""
        return Limits(
            max_slippage=self.limits.max_slippage,
            max_batch_loss=self.limits.max_batch_loss,
            dust=self.limits.dust,
            min_progress=self.limits.min_progress,
            dead_band=self.limits.dead_band,
            loss_headroom=self.loss_headroom,
            turnover_headroom=self.turnover_headroom,
        )


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """A token and its price in USD WAD for one whole token, or what the oracle reverted with instead."""

    token: Token
    price: int
    price_updated_at: int
    price_error: bytes

    def refusal(self, timestamp: int) -> str | None:
        """Why the oracle gives no price at `timestamp`, in one line; None if it does."""
        return explain_price_error(self.token.symbol, self.price_error, timestamp) if self.price_error else None


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything at one block. The basket comes first among `tokens`, in index order."""

    chain_id: int
    block: Block
    native_token: str
    vault: VaultFacts
    tokens: tuple[TokenFacts, ...]
    pools: tuple[Pool, ...]

    @property
    def tag(self) -> dict[str, object]:
        """The block that was read, as a JSON-RPC parameter."""
        return block_tag(self.block.hash)

    @property
    def basket(self) -> tuple[TokenFacts, ...]:
        """The tokens that the vault holds, in index order."""
        return self.tokens[: len(self.vault.balances)]

    @property
    def names(self) -> list[tuple[str, str]]:
        """Symbol and address of every asset that may be traded."""
        return [(facts.token.symbol, facts.token.address) for facts, _, _ in self.tradable]

    @property
    def tradable(self) -> list[tuple[TokenFacts, int, int]]:
        """Every asset that may be traded, with its balance and target; a quarantined one may not."""
        vault = self.vault
        return [
            (facts, balance, target)
            for facts, balance, target, quarantined in zip(
                self.basket, vault.balances, vault.targets, vault.quarantined, strict=True
            )
            if not quarantined
        ]

    @property
    def priced(self) -> Basket:
        """The basket as the vault's guard values it: what is quarantined, or has no price, counts for nothing."""
        return Basket(
            balances=self.vault.balances,
            decimals=tuple(facts.token.decimals for facts in self.basket),
            prices=tuple(
                0 if quarantined else facts.price
                for facts, quarantined in zip(self.basket, self.vault.quarantined, strict=True)
            ),
            weights=self.vault.targets,
        )

    def refusals(self) -> list[str]:
        """Why prices that a decision needs are missing; empty if none is."""
        needed = [facts for facts, _, _ in self.tradable]
        needed += [facts for facts in self.tokens if self._is_native(facts) and facts not in needed]
        return [reason for facts in needed if (reason := facts.refusal(self.block.timestamp)) is not None]

    def snapshot(self) -> Snapshot:
        """The facts a decision rests on. Raises `OracleRefused` if the oracle gave no price for one of them."""
        if refusals := self.refusals():
            raise OracleRefused("; ".join(refusals))
        try:
            return self._snapshot()
        except ValidationError as error:
            raise InputError(f"the chain holds what a snapshot cannot: {explain(error)}") from None

    def _snapshot(self) -> Snapshot:
        vault = self.vault
        return Snapshot(
            version=1,
            chain_id=self.chain_id,
            block=self.block,
            native_price=next(facts.price for facts in self.tokens if self._is_native(facts)),
            tokens=tuple(facts.token for facts in self.tokens),
            vault=VaultState(
                address=vault.address,
                nonce=vault.nonce,
                total_supply=vault.total_supply,
                assets=tuple(
                    AssetState(
                        token=facts.token.address,
                        balance=balance,
                        target_weight=target,
                        price=facts.price,
                        price_updated_at=facts.price_updated_at,
                    )
                    for facts, balance, target in self.tradable
                ),
                limits=vault.bounds,
            ),
            pools=self.pools,
        )

    def _is_native(self, facts: TokenFacts) -> bool:
        return facts.token.address == self.native_token


@dataclass(frozen=True, slots=True)
class Lens:
    """What to read: a vault, the tokens that routes may pass through, and where to look for pools.

    `tick_words` is how many bitmap words (256 tick spacings each) of a V3 or V4 pool are read on either side of its
    price, `pools_at_once` how many pools one call looks for.
    """

    chain_id: int
    vault: str
    native_token: str
    connectors: tuple[str, ...]
    venues: tuple[Venue, ...]
    tick_words: int
    pools_at_once: int = POOLS_AT_ONCE

    def read(self, endpoint: Endpoint) -> Reading:
        """Reads the latest block. Raises `RpcError`, or `InputError` if the vault or a venue is not what it says."""
        return self.read_at(endpoint, endpoint.header())

    def read_at(self, endpoint: Endpoint, header: Header) -> Reading:
        """As `read`, for a block that the caller has just asked for."""
        reading = Group([self]).read_at(endpoint, header)[0]
        if isinstance(reading, InputError):
            raise reading
        return reading

    @property
    def market(self) -> tuple[object, ...]:
        """Vaults of which this is the same can be read together."""
        return self.chain_id, self.native_token, self.connectors, self.venues, self.tick_words, self.pools_at_once


class Group:
    """Vaults of the same `market`, to be read together at each block.

    It remembers the tokens of their baskets, so that from the second block on one batch reads everything.
    """

    def __init__(self, lenses: Sequence[Lens]) -> None:
        """Raises `ValueError` unless the vaults can be read together."""
        if len({lens.market for lens in lenses}) != 1:
            raise ValueError("vaults of one group trade through the same venues and connectors")
        self.lenses = tuple(lenses)
        self._baskets: frozenset[str] = frozenset()

    def read_at(self, endpoint: Endpoint, header: Header) -> list[Reading | InputError]:
        """What each vault and its market are at a block; instead of a vault that is not what it says, why.

        Raises `RpcError`, or `InputError` if a venue is not what it says.
        """
        first = self.lenses[0]
        if len(self.lenses) == 1:
            alone = _Question((first.vault,), first.connectors, first.venues)
            fee, views = _ask(endpoint, header, first, [alone])
            found = views[0]
            return [found if isinstance(found, InputError) else _reading(first, header, fee, found, found.pools)]

        parts = [self.lenses[start : start + _VAULTS_AT_ONCE] for start in range(0, len(self.lenses), _VAULTS_AT_ONCE)]
        vaults = [_Question(tuple(lens.vault for lens in part), first.connectors) for part in parts]
        known = self._baskets
        fee, views = _ask(endpoint, header, first, [*vaults, self._market(known)] if known else vaults)
        market = views.pop() if known else None
        of_vault = self._by_vault(endpoint, header, parts, views)
        readable = [view for view in of_vault.values() if not isinstance(view, InputError)]
        baskets = frozenset(token for view in readable for facts in view.vaults.values() for token in facts.assets)
        if market is None or not baskets <= known:
            self._baskets = baskets
            _, (market,) = _ask(endpoint, header, first, [self._market(baskets)])
        if isinstance(market, InputError):
            raise market
        return [
            found if isinstance(found, InputError) else _reading(lens, header, fee, found, market.pools)
            for lens in self.lenses
            for found in [of_vault[lens.vault]]
        ]

    def _market(self, baskets: frozenset[str]) -> _Question:
        """What asks for all pools of these tokens."""
        first = self.lenses[0]
        return _Question((), tuple(dict.fromkeys((*sorted(baskets), *first.connectors))), first.venues)

    def _by_vault(
        self,
        endpoint: Endpoint,
        header: Header,
        parts: Sequence[Sequence[Lens]],
        views: Sequence[_View | InputError],
    ) -> dict[str, _View | InputError]:
        """Where a call for several vaults was refused, each is asked for alone: one that is broken harms no other."""
        found = {lens.vault: view for part, view in zip(parts, views, strict=True) for lens in part}
        doubtful = [lens for lens in self.lenses if isinstance(found[lens.vault], InputError)]
        if doubtful:
            questions = [_Question((lens.vault,), lens.connectors) for lens in doubtful]
            _, again = _ask(endpoint, header, doubtful[0], questions)
            found |= dict(zip((lens.vault for lens in doubtful), again, strict=True))
        return found


@dataclass(frozen=True, slots=True)
class _Question:
    """What one call of the lens reads: vaults, tokens beyond their baskets, and pools."""

    vaults: tuple[str, ...]
    extras: tuple[str, ...]
    venues: tuple[Venue, ...] = ()

    def parts(self, most: int) -> list[_Question]:
        """The same in questions that look for no more than ``most`` pools each, as far as venues can be taken apart."""
        tokens = len(self.extras) + 1 + _LARGEST_BASKET * len(self.vaults)
        pairs = tokens * (tokens - 1) // 2
        found: list[tuple[Venue, ...]] = [()]
        room = most
        for venue in self.venues:
            for part in venue.split(pairs, most):
                looks = part.looks(pairs)
                if looks > room and found[-1]:
                    found.append(())
                    room = most
                found[-1] += (part,)
                room -= looks
        return [replace(self, venues=venues) for venues in found]


@dataclass(frozen=True, slots=True)
class _Price:
    price: int
    updated_at: int
    error: bytes


@dataclass(frozen=True, slots=True)
class _View:
    """One answer of the lens. Prices by oracle and token."""

    vaults: Mapping[str, VaultFacts]
    tokens: Mapping[str, Token]
    prices: Mapping[str, Mapping[str, _Price]]
    pools: tuple[Pool, ...]


def _ask(
    endpoint: Endpoint, header: Header, lens: Lens, questions: Sequence[_Question]
) -> tuple[int, list[_View | InputError]]:
    """The priority fee that the node suggests, wei per gas, and the answers, all in one batch.

    A question about more pools than a node may want to read in one call is asked in parts.
    """
    parts = [(place, part) for place, question in enumerate(questions) for part in question.parts(lens.pools_at_once)]
    calls = [("eth_call", ({"data": "0x" + _init_code(lens, part).hex()}, header.tag)) for _, part in parts]
    fee, *answers = endpoint.batch([("eth_maxPriorityFeePerGas", ()), *calls])
    try:
        priority_fee = int(fee, 16)
    except (TypeError, ValueError):
        raise RpcError(f"{endpoint.name} answered eth_maxPriorityFeePerGas with no number") from None
    views: dict[int, _View | InputError] = {}
    for (place, part), answer in zip(parts, answers, strict=True):
        before = views.get(place)
        if isinstance(before, InputError):
            continue
        try:
            view = _view(endpoint, header, part, answer)
        except InputError as error:
            views[place] = error
        else:
            views[place] = view if before is None else replace(before, pools=_ordered((*before.pools, *view.pools)))
    return priority_fee, [views[place] for place in range(len(questions))]


def _ordered(pools: Iterable[Pool]) -> tuple[Pool, ...]:
    """Pools in the same order however they were asked for."""
    return tuple(sorted(pools, key=lambda pool: pool.name))


def _init_code(lens: Lens, question: _Question) -> bytes:
    """A call's data. Raises `InputError` if it is larger than a chain accepts."""
    venues = [(venue.number, venue.terms) for venue in question.venues]
    code = bindings.constructor_call(
        "Lens", question.vaults, lens.native_token, question.extras, venues, lens.tick_words
    )
    if len(code) > MAX_INIT_CODE:
        raise InputError(
            f"the lens and its arguments are {len(code)} bytes and a chain takes {MAX_INIT_CODE}: "
            "configure fewer connectors or venues"
        )
    return code


def _view(endpoint: Endpoint, header: Header, question: _Question, answer: Any) -> _View:
    """Raises `InputError` if what was to be read is not what it says, `RpcError` if the node does not read as asked."""
    if not isinstance(answer, NodeError) or answer.data is None:
        raise RpcError(f"{endpoint.name} ran the lens without its revert: it does not run calls as a chain would")
    data = answer.data
    # The view is a dynamic struct, so it starts with its own offset; no selector does.
    if data[:32] != (32).to_bytes(32, "big"):
        subject = f"the vault {', '.join(question.vaults)}" if question.vaults else "the pools"
        raise InputError(
            f"cannot read {subject}: the lens {bindings.explain(data)}; "
            "check the deployment file, the connectors and the venues"
        )
    try:
        _, timestamp, vaults, tokens, oracles, pools = abi_decode([_VIEW], data)[0]
    except DecodingError:
        raise RpcError(f"{endpoint.name} cut the lens's answer short: {len(data)} bytes") from None
    if timestamp != header.timestamp:
        raise RpcError(f"asked for the block of timestamp {header.timestamp}, the node read that of {timestamp}")
    try:
        listed = [_token(*token) for token in tokens]
        return _View(
            vaults={
                address: _vault_facts(address, vault) for address, vault in zip(question.vaults, vaults, strict=True)
            },
            tokens={token.address: token for token in listed},
            prices={
                to_checksum_address(oracle): {
                    token.address: _Price(*price) for token, price in zip(listed, prices, strict=True)
                }
                for oracle, prices in oracles
            },
            pools=_ordered(
                venue.pool(state) for venue, states in zip(question.venues, pools, strict=True) for state in states
            ),
        )
    except ValidationError as error:
        raise InputError(f"the chain holds what a snapshot cannot: {explain(error)}") from None


def _reading(lens: Lens, header: Header, priority_fee: int, view: _View, pools: tuple[Pool, ...]) -> Reading:
    """What concerns one vault: its basket, the connectors, and the pools that trade nothing else."""
    vault = view.vaults[lens.vault]
    prices = view.prices[vault.oracle]
    tokens = dict.fromkeys((*vault.assets, *lens.connectors, lens.native_token))
    return Reading(
        chain_id=lens.chain_id,
        block=Block(
            number=header.number,
            hash=header.hash,
            timestamp=header.timestamp,
            base_fee_per_gas=header.base_fee_per_gas,
            priority_fee_per_gas=priority_fee,
        ),
        native_token=lens.native_token,
        vault=vault,
        tokens=tuple(
            TokenFacts(view.tokens[token], (found := prices[token]).price, found.updated_at, found.error)
            for token in tokens
        ),
        pools=tuple(pool for pool in pools if tokens.keys() >= set(pool.tokens)),
    )


def explain_price_error(symbol: str, data: bytes, timestamp: int) -> str:
    """Why the oracle refused a price, in words and numbers. `timestamp` is that of the block asked at, seconds."""
    error = bindings.decode_error(data)
    match error:
        case ("StalePrice", numbers):
            age = timestamp - numbers["updatedAt"]
            return f"the price of {symbol} is stale: {age} s old, and its heartbeat is {numbers['heartbeat']} s"
        case ("PriceOutOfBounds", numbers):
            price, least, most = (format_units(numbers[name], 18) for name in ("price", "min", "max"))
            return f"the price of {symbol} is out of bounds: ${price} is not between ${least} and ${most}"
        case ("NotPositive", numbers):
            return f"the price of {symbol} is not positive: its feed answered {numbers['answer']}"
        case ("NoFeed", _):
            return f"the vault's oracle has no feed for {symbol}"
        case _:
            return f"the oracle gave no price for {symbol}: {bindings.explain(data)}"


def _vault_facts(address: str, vault: Sequence[Any]) -> VaultFacts:
    (
        assets,
        nonce,
        supply,
        epoch,
        settled_at,
        paused,
        keeper,
        owner,
        oracle,
        executor,
        balances,
        targets,
        quarantined,
        limits,
        loss,
        turnover,
        open_nonce,
        calm_at,
        auction_opened_at,
        auction,
    ) = vault
    return VaultFacts(
        address=address,
        assets=tuple(map(to_checksum_address, assets)),
        nonce=nonce,
        total_supply=supply,
        epoch=epoch,
        settled_at=settled_at,
        paused=paused,
        keeper=to_checksum_address(keeper),
        owner=to_checksum_address(owner),
        oracle=to_checksum_address(oracle),
        executor=to_checksum_address(executor),
        balances=balances,
        targets=targets,
        quarantined=quarantined,
        limits=VaultLimits(*limits),
        loss_headroom=loss,
        turnover_headroom=turnover,
        open_nonce=open_nonce,
        calm_at=calm_at,
        auction_opened_at=auction_opened_at,
        auction=AuctionTerms(*auction),
    )


def _token(address: str, raw_symbol: bytes, decimals: int) -> Token:
    symbol = one_line(raw_symbol.decode(errors="replace"))[:32] or address[:10]
    return Token(address=to_checksum_address(address), symbol=symbol, decimals=decimals)
