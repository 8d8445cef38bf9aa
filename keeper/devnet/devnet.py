"""The offline mainnet as one object."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from decimal import Decimal, InvalidOperation
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from eth_utils.address import is_hex_address, to_checksum_address

from keeper.chain import artifacts
from keeper.chain.bindings import interface, view
from keeper.chain.rpc import Endpoint, Header
from keeper.devnet import world
from keeper.devnet.node import Anvil
from keeper.devnet.tables import BLOCK_TIME, FEED_DECIMALS, FEEDS, LIQUIDITY, OPERATOR, TOKENS
from keeper.devnet.world import DevPool, Progress
from keeper.domain.errors import InputError
from keeper.market import liquidity
from keeper.market.liquidity import Side

if TYPE_CHECKING:
    from web3 import Web3

CACHE = artifacts.ROOT / ".ballast" / "devnet"
_TIMEOUT = 60.0


class Devnet:
    """A running offline mainnet, to be used as a context manager.

    `Devnet.start()` starts one of its own and ends it on leaving; `Devnet.connect(url)` works on one that runs already,
    or on anybody's fork of one.
    """

    def __init__(self, url: str, node: Anvil | None = None) -> None:
        self.url = url
        self.endpoint = Endpoint(url, _TIMEOUT)
        self._node = node

    @classmethod
    def start(
        cls, *, port: int = 0, seed: int = 1, state: Path | None = None, progress: Progress = lambda _: None
    ) -> Self:
        """Starts a node on `port` (0: a free one) with the world of `seed`, or with the one dumped to `state`.

        A world is built once and kept under `.ballast/devnet`; `progress` is told what goes on meanwhile.
        Raises `InputError` if the port is taken or something is not installed or compiled.
        """
        kept = state or CACHE / f"{_digest(seed)}.json.gz"
        if state and not state.is_file():
            raise InputError(f"{state} is not there: write one with Devnet.dump")
        node = Anvil(port)
        devnet = cls(node.url, node)
        try:
            if kept.is_file():
                devnet.load(kept)
            else:
                devnet._settle()
                world.build(devnet.endpoint, seed, progress)
                devnet.dump(kept)
        except BaseException:
            devnet.close()
            raise
        return devnet

    @classmethod
    def connect(cls, url: str) -> Self:
        """An offline mainnet that runs at `url`; raises `InputError` if there is none."""
        devnet = cls(url)
        if not devnet.endpoint.data("eth_getCode", LIQUIDITY, "latest"):
            raise InputError(f"{devnet.endpoint.name} is no offline mainnet: start one with `keeper devnet`")
        world.impersonate(devnet.endpoint, OPERATOR)
        return devnet

    def wait(self) -> None:
        """Returns when the node has ended by itself; at once if it is not this object's own."""
        if self._node:
            self._node.wait()

    def close(self) -> None:
        """Ends the node, if it is this object's own."""
        if self._node:
            self._node.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def w3(self) -> Web3:
        """A web3 client of the node."""
        from web3 import HTTPProvider, Web3  # noqa: PLC0415 - half a second to import, and few need it

        return Web3(HTTPProvider(self.url, {"timeout": _TIMEOUT}))

    def rpc(self, method: str, *params: Any) -> Any:
        """The result of a JSON-RPC request to the node; raises `keeper.chain.errors.RpcError`."""
        return self.endpoint.request(method, *params)

    # Money and prices

    def deal(self, token: str, to: str, amount: int) -> None:
        """Gives `to` a raw `amount` more of a token (symbol or address), out of nothing."""
        self._market("give", _address_of(token), to_checksum_address(to), amount)

    def prices(self) -> dict[str, Decimal]:
        """USD for one whole token as the feeds say, by symbol."""
        return {symbol: Decimal(answer).scaleb(-FEED_DECIMALS) for symbol, answer in self._answers().items()}

    def pools(self) -> tuple[DevPool, ...]:
        """Every pool that was opened, as the factories know it."""
        return self._pools

    def move_prices(
        self,
        prices: Mapping[str, str | int | Decimal],
        *,
        feeds: Mapping[str, str | int | Decimal] | None = None,
    ) -> None:
        """Sets feeds (USD by token symbol) and trades every pool of these tokens to the new ratio, in one transaction.

        With `feeds` these answer something else than the pools' `prices`, and what it does not name stays silent. What
        `prices` does not name is worth what its feed says.

        Raises `InputError` for an unknown symbol or a price that a feed cannot say.
        """
        changed = {symbol: _answer(symbol, price) for symbol, price in prices.items()}
        answered = changed if feeds is None else {symbol: _answer(symbol, price) for symbol, price in feeds.items()}
        answers = self._answers() | answered | changed
        pairs, pools, managed, in_vault = [], [], [], []
        for pool in self._pools:
            if changed.keys().isdisjoint(pool.symbols):
                continue
            if pool.kind.startswith("balancer"):
                in_vault += world.vault_trades(self.endpoint, pool, answers)
                continue
            side0, side1 = (Side(TOKENS[symbol].decimals, answers[symbol]) for symbol in pool.symbols)
            if pool.kind == "uniswap_v2":
                reserve0, reserve1, _ = view(
                    self.endpoint, "IUniswapV2Pair", pool.address, "getReserves", block="latest"
                )
                zero_for_one, amount = liquidity.pair_trade(reserve0, reserve1, side0, side1)
                if amount:
                    pairs.append((pool.address, zero_for_one, amount))
                continue
            target = liquidity.sqrt_price(side0, side1)
            if pool.kind == "uniswap_v4":
                price = world.manager_price(self.endpoint, pool)
                if target != price:
                    managed.append((pool.address, pool.key, target < price, target))
            else:
                price = view(self.endpoint, "IUniswapV3Pool", pool.address, "slot0", block="latest")[0]
                if target != price:
                    token_in = pool.tokens[0 if target < price else 1]
                    pools.append((pool.address, token_in, target < price, target))
        spoken = [(FEEDS[symbol].address, answer) for symbol, answer in answered.items()]
        self._market("move", spoken, pairs, pools, managed, in_vault)

    def refresh_feeds(self) -> None:
        """Lets every feed give its answer again, as of now, so that none is stale."""
        answers = [(FEEDS[symbol].address, answer) for symbol, answer in self._answers().items()]
        self._market("move", answers, [], [], [], [])

    # Time and state

    def mine(self, blocks: int = 1, *, seconds: int | None = None) -> Header:
        """Mines empty blocks, twelve seconds apart; with `seconds`, the first one is that much later instead."""
        if seconds is not None:
            self.rpc("evm_setNextBlockTimestamp", self.endpoint.header().timestamp + seconds)
        self.rpc("anvil_mine", hex(blocks))
        return self.endpoint.header()

    def state_root(self) -> str:
        """State root of the latest block: what transactions did is in it, raw writes to the state are not yet."""
        root: str = self.rpc("eth_getBlockByNumber", "latest", False)["stateRoot"]
        return root

    @contextmanager
    def isolated(self) -> Iterator[None]:
        """Takes back on leaving whatever happened inside, blocks and time included."""
        snapshot = self.rpc("evm_snapshot")
        try:
            yield
        finally:
            self.rpc("evm_revert", snapshot)

    def dump(self, path: Path) -> None:
        """Writes the whole chain to a gzipped JSON file, which appears complete or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}")
        part.write_bytes(self.endpoint.data("anvil_dumpState"))
        part.replace(path)

    def load(self, path: Path) -> None:
        """Replaces the whole chain by a dumped one. Blocks and state root are the dump's; older states are gone."""
        self.rpc("anvil_reset")
        self.rpc("anvil_loadState", f"0x{path.read_bytes().hex()}")
        # The dump has the blocks but not the clock, which would start again at the genesis.
        self.rpc("anvil_setTime", self.endpoint.header().timestamp)
        self._settle()

    # How it is done

    def _settle(self) -> None:
        """What a node forgets between a dump and a load."""
        self.rpc("anvil_setBlockTimestampInterval", BLOCK_TIME)
        world.impersonate(self.endpoint, OPERATOR)

    @cached_property
    def _pools(self) -> tuple[DevPool, ...]:
        return world.find_pools(self.endpoint)

    def _answers(self) -> dict[str, int]:
        return {
            symbol: view(self.endpoint, "DevFeed", feed.address, "latestRoundData", block="latest")[1]
            for symbol, feed in FEEDS.items()
        }

    def _market(self, function: str, *arguments: Any) -> None:
        world.transact(self.endpoint, LIQUIDITY, interface("DevLiquidity").encode(function, *arguments))


def serve(
    *,
    port: int = 8545,
    seed: int = 1,
    state: Path | None = None,
    dump: Path | None = None,
    progress: Progress = lambda _: None,
) -> None:
    """Runs an offline mainnet until it is interrupted or told to terminate, then writes its state to `dump`.

    The last thing `progress` is told is where it listens. Raises as `Devnet.start` does.
    """
    # Left to itself, a process that is told to terminate would dump nothing.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), Devnet.start(port=port, seed=seed, state=state, progress=progress) as devnet:
        try:
            progress(f"the offline mainnet listens on {devnet.url}")
            devnet.wait()
        except KeyboardInterrupt:
            if dump:
                devnet.dump(dump)


def _address_of(token: str) -> str:
    if token in TOKENS:
        return TOKENS[token].address
    if not is_hex_address(token):
        raise InputError(f"{token} is neither an address nor one of {', '.join(TOKENS)}")
    return to_checksum_address(token)


def _answer(symbol: str, price: str | int | Decimal) -> int:
    if symbol not in TOKENS:
        raise InputError(f"there is no feed for {symbol}: choose from {', '.join(TOKENS)}")
    try:
        answer = Decimal(price).scaleb(FEED_DECIMALS)
    except InvalidOperation:
        raise InputError(f"the price of {symbol} is {price!r}, which is no number") from None
    if not answer.is_finite() or answer <= 0 or answer != answer.to_integral_value():
        raise InputError(f"the price of {symbol} is {price}: it must be above 0 and have at most 8 decimals")
    return int(answer)


def _digest(seed: int) -> str:
    """Names a world by all that makes it: seed, this code, the project's contracts, the locked packages."""
    digest = hashlib.sha256(f"{seed}".encode())
    here = Path(__file__).parent
    sources = sorted((*here.glob("*.py"), *(here.parent / "pools").glob("*.py")))
    for path in (*sources, Path(liquidity.__file__), artifacts.ROOT / "package-lock.json"):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for contract in ("DevToken", "DevTokenNoReturn", "DevFeed", "DevLiquidity"):
        digest.update(hashlib.sha256(artifacts.load(contract).runtime).digest())
    return digest.hexdigest()[:16]
