"""Deploying oracle, executor and vault from a configuration file, and reading back what came of it.

The vault pulls its seed inside its constructor, so that it never stands empty; the deployer therefore approves the
address that the vault is going to have. `Send` is whatever signs and sends: an Ape account, or a development node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from eth_typing import HexAddress, HexStr
from eth_utils.address import to_checksum_address
from pydantic import Field, ValidationError, model_validator
from web3.types import Nonce
from web3.utils.address import get_create_address

from keeper.chain.bindings import ERC20, constructor_call, view
from keeper.chain.deployment import Deployment, code_hash
from keeper.chain.fields import Address, Strict
from keeper.chain.rpc import Endpoint
from keeper.domain.errors import InputError, explain
from keeper.domain.limits import LimitsConfig
from keeper.domain.parse import read_yaml
from keeper.submit.order import ZERO_ADDRESS
from keeper.submit.signer import development_addresses
from keeper.units import Fraction, format_units, to_wad

Send = Callable[[str | None, bytes], Mapping[str, Any]]
"""Signs and sends data to an address (None creates a contract), waits, returns the receipt as JSON-RPC spells it."""

Progress = Callable[[str], None]


MAX_HEARTBEAT = 3 * 24 * 3600
"""The contract's bound, seconds."""

_Heartbeat = Annotated[int, Field(gt=0, le=MAX_HEARTBEAT)]
_Part = Annotated[Fraction, Field(gt=0, le=1)]


class QuoteConfig(Strict):
    """A second feed, in USD, that the first one's answer is multiplied by. Units as in `FeedConfig`."""

    feed: Address
    heartbeat: _Heartbeat
    min_price: Fraction
    max_price: Fraction

    def encoded(self) -> tuple[Any, ...]:
        """In the order of the contract's `QuoteConfig`."""
        return self.feed, self.heartbeat, to_wad(self.min_price), to_wad(self.max_price)


class ShareConfig(Strict):
    """How far the rate of an ERC-4626 share is believed, as fractions: above and below its checkpoint, and how far the
    checkpoint may move in a day."""

    max_above: _Part
    max_below: _Part
    max_drift_per_day: _Part

    def encoded(self) -> tuple[Any, ...]:
        """In the order of the contract's `ShareConfig`, WAD."""
        return to_wad(self.max_above), to_wad(self.max_below), to_wad(self.max_drift_per_day)


class AnchorConfig(Strict):
    """A Uniswap V3 pool whose mean price over `window` seconds the price may not stand further from than
    `max_deviation`, a fraction."""

    pool: Address
    window: int = Field(gt=0, lt=2**32)
    max_deviation: _Part

    def encoded(self) -> tuple[Any, ...]:
        """In the order of the contract's `AnchorConfig`, the fraction in WAD."""
        return self.pool, self.window, to_wad(self.max_deviation)


class FeedConfig(Strict):
    """How a token is priced. `heartbeat` in seconds; the bounds, exclusive, on what the feed answers: USD for one whole
    token, or what `quote` prices.

    With `share`, the token is an ERC-4626 share, and the feed prices what it is a share of.
    """

    token: Address
    feed: Address
    heartbeat: _Heartbeat
    min_price: Fraction
    max_price: Fraction
    quote: QuoteConfig | None = None
    share: ShareConfig | None = None
    anchor: AnchorConfig | None = None

    def encoded(self) -> tuple[Any, ...]:
        """In the order of the contract's `FeedConfig`, prices in WAD. All zero for what there is none of."""
        return (
            self.token,
            self.feed,
            self.heartbeat,
            to_wad(self.min_price),
            to_wad(self.max_price),
            self.quote.encoded() if self.quote else (ZERO_ADDRESS, 0, 0, 0),
            self.share.encoded() if self.share else (0, 0, 0),
            self.anchor.encoded() if self.anchor else (ZERO_ADDRESS, 0, 0),
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """Every contract that the price is made of, apart from tokens."""
        others = (self.quote and self.quote.feed, self.anchor and self.anchor.pool)
        return (self.feed, *(source for source in others if source))


class SequencerConfig(Strict):
    """The uptime feed of an L2's sequencer, and for how many seconds after a start no price is given."""

    feed: Address
    grace: int = Field(gt=0, lt=2**32)

    def encoded(self) -> tuple[str, int]:
        """In the order of the oracle's constructor."""
        return self.feed, self.grace


class AssetConfig(FeedConfig):
    """One asset of the basket: its target weight as a fraction, and the seed in whole tokens."""

    weight: Fraction
    amount: Fraction


class AuctionConfig(Strict):
    """When and how anyone may rebalance in the keeper's place. Fractions, and seconds."""

    open_band: Fraction = Decimal("0.1")
    premium: Fraction = Decimal("0.01")
    min_fill: Fraction = Decimal("0.1")
    keeper_grace: int = 2 * 24 * 3600
    length: int = 3600

    def encoded(self) -> tuple[int, ...]:
        """In the order of the contract's `AuctionTerms`."""
        fractions = (self.open_band, self.premium, self.min_fill)
        return (*(to_wad(fraction) for fraction in fractions), self.keeper_grace, self.length)


class FeesConfig(Strict):
    """What holders pay: a fraction of the supply per year, and of what is minted or redeemed."""

    streaming: Fraction = Decimal(0)
    mint: Fraction = Decimal(0)
    redeem: Fraction = Decimal(0)

    def encoded(self) -> tuple[int, ...]:
        """In the order of the contract's `Fees`."""
        return to_wad(self.streaming), to_wad(self.mint), to_wad(self.redeem)


class DeployConfig(Strict):
    """Everything a vault is deployed with.

    `shares` are whole shares; `feeds` price tokens outside the basket; `timelock` is in seconds. Curator, guardian and
    fee recipient are the owner where they are not named.
    """

    name: str
    symbol: str
    owner: Address
    curator: Address | None = None
    guardian: Address | None = None
    keeper: Address
    fee_recipient: Address | None = None
    receiver: Address
    shares: Fraction
    native_token: Address
    timelock: int = 3 * 24 * 3600
    limits: LimitsConfig = LimitsConfig()
    auction: AuctionConfig = AuctionConfig()
    fees: FeesConfig = FeesConfig()
    assets: tuple[AssetConfig, ...] = Field(min_length=1, max_length=32)
    feeds: tuple[FeedConfig, ...] = ()
    sequencer: SequencerConfig | None = None

    @property
    def oracle(self) -> tuple[list[tuple[Any, ...]], str, int]:
        """What the oracle is constructed with: its feeds, the sequencer's feed (zero: none) and its grace."""
        feed, grace = self.sequencer.encoded() if self.sequencer else (ZERO_ADDRESS, 0)
        return [priced.encoded() for priced in self.priced], feed, grace

    @property
    def priced(self) -> tuple[FeedConfig, ...]:
        """Every token that the oracle prices, the basket first."""
        return (*self.assets, *self.feeds)

    @model_validator(mode="after")
    def _consistent(self) -> DeployConfig:
        total = sum(asset.weight for asset in self.assets)
        if total != 1:
            raise ValueError(f"the weights of the assets sum to {total}, not to 1")
        priced = [feed.token for feed in self.priced]
        twice = next((token for token in priced if priced.count(token) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice} is priced twice")
        if self.native_token not in priced:
            raise ValueError(f"the native token {self.native_token} needs a feed: gas is priced in it")
        return self

    @classmethod
    def load(cls, path: Path) -> DeployConfig:
        """Reads a YAML file; raises `InputError`."""
        try:
            return cls.model_validate(read_yaml(path.read_text(encoding="utf-8"), str(path)))
        except OSError as error:
            raise InputError(f"cannot read the deployment configuration {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise InputError(f"the deployment configuration {path} is not text") from None
        except ValidationError as error:
            raise InputError(f"{path}: {explain(error)}") from None


def deploy(
    endpoint: Endpoint,
    config: DeployConfig,
    deployer: str,
    send: Send,
    progress: Progress,
    *,
    beside: Deployment | None = None,
) -> Deployment:
    """Deploys oracle, executor and vault, seeds the basket from the deployer's balances, and verifies all of it.

    A vault `beside` another one takes that one's oracle, executor and settings code; a keeper of both then reads the
    oracle's prices once.

    Raises `InputError` before anything is sent if a token, a feed or the seed is missing, if a role would go to a
    development account on a real chain, or if the other vault's oracle is not what the configuration says.
    """
    _check_roles(endpoint, config)
    if beside is not None:
        beside.check_chain(endpoint)
        beside.check_code(endpoint)
        _check_oracle(endpoint, config, beside.oracle, block="latest")
    amounts = [_raw_amount(endpoint, asset) for asset in config.assets]
    _check_seed(endpoint, config, deployer, amounts)

    if beside is None:
        progress("deploying the price oracle")
        oracle = _created(send(None, constructor_call("PriceOracle", *config.oracle)))
        progress("deploying the swap executor")
        executor = _created(send(None, constructor_call("SwapExecutor", config.native_token)))
        progress("deploying the code that changes settings")
        admin = _created(send(None, constructor_call("VaultAdmin")))
    else:
        oracle, executor, admin = beside.oracle, beside.executor, beside.admin

    # One approval for each seeded asset comes before the vault itself.
    seeded = [(asset.token, amount) for asset, amount in zip(config.assets, amounts, strict=True) if amount]
    nonce = endpoint.quantity("eth_getTransactionCount", deployer, "pending") + len(seeded)
    vault = get_create_address(HexAddress(HexStr(deployer)), Nonce(nonce))
    for token, amount in seeded:
        progress(f"approving {token} for the vault's address to be")
        send(token, ERC20.encode("approve", vault, amount))
    progress("deploying the vault and seeding its basket")
    receipt = send(
        None,
        constructor_call(
            "IndexVault",
            (
                config.name,
                config.symbol,
                config.owner,
                config.curator or config.owner,
                config.guardian or config.owner,
                config.keeper,
                oracle,
                executor,
                admin,
                config.fee_recipient or config.owner,
                config.timelock,
                config.limits.encoded(),
                config.auction.encoded(),
                config.fees.encoded(),
                [asset.token for asset in config.assets],
                [to_wad(asset.weight) for asset in config.assets],
                amounts,
                to_wad(config.shares),
                config.receiver,
            ),
        ),
    )
    if _created(receipt) != vault:
        raise InputError(f"{deployer} sent other transactions meanwhile: revoke its allowances to {vault}, start over")

    progress("reading back what was deployed")
    deployment = Deployment.record(
        endpoint,
        block_number=int(receipt["blockNumber"], 16),
        vault=vault,
        admin=admin,
        oracle=oracle,
        executor=executor,
        native_token=config.native_token,
    )
    verify(endpoint, config, deployment, amounts)
    return deployment


def verify(endpoint: Endpoint, config: DeployConfig, deployment: Deployment, amounts: list[int]) -> None:
    """Raises `InputError` unless the chain says what the configuration says."""
    block = hex(deployment.deployment_block.number)
    weights = [to_wad(asset.weight) for asset in config.assets]
    expected: dict[tuple[str, str], Any] = {
        ("IndexVault", "name"): config.name,
        ("IndexVault", "symbol"): config.symbol,
        ("IndexVault", "admin"): deployment.admin,
        ("IndexVault", "assets"): [asset.token for asset in config.assets],
        ("IndexVault", "targets"): weights,
        ("IndexVault", "balances"): amounts,
        ("IndexVault", "totalSupply"): to_wad(config.shares),
        ("VaultAdmin", "owner"): config.owner,
        ("VaultAdmin", "curator"): config.curator or config.owner,
        ("VaultAdmin", "guardian"): config.guardian or config.owner,
        ("VaultAdmin", "feeRecipient"): config.fee_recipient or config.owner,
        ("VaultAdmin", "timelock"): config.timelock,
    }
    for (contract, function), wanted in expected.items():
        _compare_view(endpoint, contract, deployment.vault, function, wanted, block=block)
    _check_oracle(endpoint, config, deployment.oracle, block=block)
    book = view(endpoint, "IndexVault", deployment.vault, "book", block=block)
    settings = (
        deployment.oracle,
        deployment.executor,
        config.keeper,
        config.limits.encoded(),
        config.auction.encoded(),
        config.fees.encoded(),
    )
    _compare(f"IndexVault.book() at {deployment.vault}", book[: len(settings)], settings)
    # Answers only if every source of every price holds.
    view(endpoint, "PriceOracle", deployment.oracle, "prices", [feed.token for feed in config.priced], block=block)


def _check_oracle(endpoint: Endpoint, config: DeployConfig, oracle: str, *, block: str) -> None:
    feeds, *sequencer = config.oracle
    _compare_view(endpoint, "PriceOracle", oracle, "feeds", feeds, block=block)
    _compare_view(endpoint, "PriceOracle", oracle, "sequencer", sequencer, block=block)


def _compare_view(endpoint: Endpoint, contract: str, address: str, function: str, wanted: Any, *, block: str) -> None:
    found = view(endpoint, contract, address, function, block=block)
    _compare(f"{contract}.{function}() at {address}", found, wanted)


def _check_roles(endpoint: Endpoint, config: DeployConfig) -> None:
    for role in ("owner", "curator", "guardian", "keeper", "fee_recipient", "receiver"):
        holder = getattr(config, role)
        if holder in development_addresses() and not endpoint.is_development_node():
            raise InputError(f"the {role} {holder} is a development account: everybody has its key")


def _check_seed(endpoint: Endpoint, config: DeployConfig, deployer: str, amounts: list[int]) -> None:
    sources = [source for feed in config.priced for source in feed.sources]
    for source in sources + ([config.sequencer.feed] if config.sequencer else []):
        code_hash(endpoint, source)
    for asset, amount in zip(config.assets, amounts, strict=True):
        held = view(endpoint, ERC20, asset.token, "balanceOf", deployer, block="latest")
        if held < amount:
            decimals = view(endpoint, ERC20, asset.token, "decimals", block="latest")
            raise InputError(
                f"the deployer {deployer} holds {format_units(held, decimals)} of {asset.token}, "
                f"but the seed is {asset.amount:f}"
            )


def _raw_amount(endpoint: Endpoint, asset: AssetConfig) -> int:
    code_hash(endpoint, asset.token)
    raw = asset.amount.scaleb(view(endpoint, ERC20, asset.token, "decimals", block="latest"))
    if raw != int(raw):
        raise InputError(f"{asset.amount:f} of {asset.token} has more decimals than the token")
    return int(raw)


def _created(receipt: Mapping[str, Any]) -> str:
    return to_checksum_address(receipt["contractAddress"])


def _compare(what: str, found: Any, wanted: Any) -> None:
    if _comparable(found) != _comparable(wanted):
        raise InputError(f"{what} says {found}, but the configuration says {wanted}")


def _comparable(value: Any) -> Any:
    """Addresses lower-case, sequences as tuples."""
    if isinstance(value, str):
        return value.lower() if value.startswith("0x") else value
    return tuple(_comparable(item) for item in value) if isinstance(value, list | tuple) else value
