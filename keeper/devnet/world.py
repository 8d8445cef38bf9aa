"""Builds the offline mainnet on an empty chain."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from eth_abi.abi import encode
from eth_utils.abi import function_signature_to_4byte_selector
from eth_utils.address import to_checksum_address

from keeper.chain import artifacts
from keeper.chain.artifacts import ROOT
from keeper.chain.bindings import interface, view
from keeper.chain.errors import NodeError
from keeper.chain.rpc import Endpoint
from keeper.devnet import market
from keeper.devnet.market import Side
from keeper.devnet.tables import (
    BASE_FEE,
    DEPLOYMENTS,
    DEV_KEYS,
    FACTORIES,
    FEED_BOUNDS,
    FEED_DECIMALS,
    FEEDS,
    LIQUIDITY,
    MARKETS,
    OPERATOR,
    PURSE,
    STABLE,
    TICK_SPACINGS,
    TOKENS,
    Market,
)
from keeper.domain.errors import InputError

Progress = Callable[[str], None]

ETHER = 10**18
_GAS = 30_000_000
_CREATION_CODE = {
    "weth": "canonical-weth/build/contracts/WETH9.json",
    "uniswap_v2": "@uniswap/v2-core/build/UniswapV2Factory.json",
    "uniswap_v3": "@uniswap/v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json",
}


class DevPool(NamedTuple):
    """A pool of the offline mainnet, named by its tokens' symbols. `fee` in millionths; no tick spacing in V2."""

    kind: str
    address: str
    symbol0: str
    symbol1: str
    fee: int
    tick_spacing: int | None

    @property
    def token0(self) -> str:
        return TOKENS[self.symbol0].address

    @property
    def token1(self) -> str:
        return TOKENS[self.symbol1].address


def build(endpoint: Endpoint, seed: int, progress: Progress) -> None:
    """Makes an empty chain the offline mainnet. The same seed gives the same blocks."""
    impersonate(endpoint, OPERATOR, 1_000_000 * ETHER)
    progress("deploying WETH9 and the Uniswap factories")
    for name in DEPLOYMENTS:
        _deploy(endpoint, name)
    progress(f"placing {len(TOKENS)} tokens and their feeds")
    _place(endpoint, LIQUIDITY, "DevLiquidity")
    endpoint.request("anvil_setBalance", LIQUIDITY, hex(10**9 * ETHER))  # it wraps this into WETH
    _place_tokens(endpoint)
    _place_feeds(endpoint)
    for number, spec in enumerate(MARKETS, start=1):
        progress(f"opening pool {number} of {len(MARKETS)}: {spec.base}/{spec.quote}")
        _open(endpoint, spec, seed)
    for token in TOKENS.values():
        amount = int((PURSE / token.price).scaleb(token.decimals))
        give = interface("DevLiquidity").encode("give", token.address, DEV_KEYS[0].address, amount)
        transact(endpoint, LIQUIDITY, give)
    # Building empties and fills blocks so unlike a market that the base fee would start anywhere.
    endpoint.request("anvil_setNextBlockBaseFeePerGas", hex(BASE_FEE))
    endpoint.request("evm_mine")


def transact(
    endpoint: Endpoint, to: str | None, data: bytes, *, sender: str = OPERATOR, gas: int = _GAS
) -> dict[str, Any]:
    """Sends from an impersonated account and returns the receipt; raises `NodeError` if it reverted."""
    call = {"from": sender, "data": f"0x{data.hex()}", "gas": hex(gas), **({"to": to} if to else {})}
    receipt = _mined(endpoint, endpoint.request("eth_sendTransaction", call))
    if int(receipt["status"], 16) != 1:
        endpoint.request("eth_call", call, "latest")  # raises with the reason
        raise NodeError(f"a transaction from {sender} to {to} reverted", 0, None)
    return receipt


def _mined(endpoint: Endpoint, transaction_hash: str) -> dict[str, Any]:
    """The receipt of a transaction that the node mines by itself, a few milliseconds after it took it."""
    nudge_at, give_up_at = time.monotonic() + 2, time.monotonic() + 60
    while True:
        receipt: dict[str, Any] | None = endpoint.request("eth_getTransactionReceipt", transaction_hash)
        if receipt is not None:
            return receipt
        now = time.monotonic()
        if now > give_up_at:
            raise NodeError(f"{endpoint.name} does not mine transaction {transaction_hash}", 0, None)
        if now > nudge_at:  # a node whose chain was just set back can miss that something waits
            nudge_at = give_up_at
            endpoint.request("evm_mine")
        time.sleep(0.001)


def impersonate(endpoint: Endpoint, account: str, balance: int = 0) -> None:
    """Lets the node send from `account`, with `balance` wei if that is not 0."""
    endpoint.request("anvil_impersonateAccount", account)
    if balance:
        endpoint.request("anvil_setBalance", account, hex(balance))


def find_pools(endpoint: Endpoint) -> tuple[DevPool, ...]:
    """Every pool of the offline mainnet, by asking the real factories."""
    return tuple(_find(endpoint, spec) for spec in MARKETS)


def creation_code(name: str) -> bytes:
    """What creates WETH9 or a factory, from the locked npm package; raises `InputError` if that is not installed."""
    path = ROOT / "node_modules" / _CREATION_CODE[name]
    try:
        code: str = json.loads(path.read_text(encoding="utf-8"))["bytecode"]
    except FileNotFoundError:
        raise InputError(f"{path.relative_to(ROOT)} is missing: run `make setup`") from None
    return bytes.fromhex(code.removeprefix("0x"))


def _deploy(endpoint: Endpoint, name: str) -> None:
    """Lets the real deployer create the contract at its real nonce, which gives it its real address."""
    address, deployer, nonce = DEPLOYMENTS[name]
    impersonate(endpoint, deployer, ETHER)
    endpoint.request("anvil_setNonce", deployer, hex(nonce))
    # The V2 factory is told who may set its fee recipient. The deployer may: nobody here wants it.
    arguments = encode(["address"], [deployer]) if name == "uniswap_v2" else b""
    receipt = transact(endpoint, None, creation_code(name) + arguments, sender=deployer)
    if receipt["contractAddress"].lower() != address.lower():
        raise RuntimeError(f"{name} landed at {receipt['contractAddress']} instead of {address}")
    if name == "uniswap_v3":
        # Governance added the tier for stable pairs after deployment.
        selector = function_signature_to_4byte_selector("enableFeeAmount(uint24,int24)")
        transact(endpoint, address, selector + encode(["uint24", "int24"], [100, TICK_SPACINGS[100]]), sender=deployer)
    endpoint.request("anvil_stopImpersonatingAccount", deployer)


def _place(endpoint: Endpoint, address: str, contract: str) -> None:
    endpoint.request("anvil_setCode", address, f"0x{artifacts.load(contract).runtime.hex()}")


def _place_tokens(endpoint: Endpoint) -> None:
    for symbol, token in TOKENS.items():
        if symbol == "WETH":
            continue
        contract = "DevTokenNoReturn" if symbol == "USDT" else "DevToken"
        _place(endpoint, token.address, contract)
        call = interface(contract).encode("initialize", token.name, symbol, token.decimals)
        transact(endpoint, token.address, call)


def _place_feeds(endpoint: Endpoint) -> None:
    abi = interface("DevFeed")
    for symbol, feed in FEEDS.items():
        _place(endpoint, feed.address, "DevFeed")
        transact(endpoint, feed.address, abi.encode("initialize", FEED_DECIMALS, feed.description, *FEED_BOUNDS))
        transact(endpoint, feed.address, abi.encode("setAnswer", _first_answer(symbol)))


def _first_answer(symbol: str) -> int:
    return int(TOKENS[symbol].price.scaleb(FEED_DECIMALS))


def _open(endpoint: Endpoint, spec: Market, seed: int) -> None:
    symbols = _sorted(spec)
    token0, token1 = (TOKENS[symbol].address for symbol in symbols)
    side0, side1 = (Side(TOKENS[symbol].decimals, _first_answer(symbol)) for symbol in symbols)
    label = f"{seed}/{spec.kind}/{spec.base}/{spec.quote}/{spec.fee}"
    usd = spec.usd * market.jitter(label) // market.BPS
    abi = interface("DevLiquidity")
    if spec.kind == "uniswap_v2":
        reserves = market.pair_reserves(side0, side1, usd)
        call = abi.encode("openPair", FACTORIES[spec.kind], token0, token1, *reserves)
    else:
        placed = market.positions(
            side0, side1, TICK_SPACINGS[spec.fee], usd, stable=STABLE.issuperset(symbols), label=label
        )
        price = market.sqrt_price(side0, side1)
        call = abi.encode("openPool", FACTORIES[spec.kind], token0, token1, spec.fee, price, placed)
    transact(endpoint, LIQUIDITY, call)


def _find(endpoint: Endpoint, spec: Market) -> DevPool:
    symbols = _sorted(spec)
    tokens = [TOKENS[symbol].address for symbol in symbols]
    factory = FACTORIES[spec.kind]
    if spec.kind == "uniswap_v2":
        found = view(endpoint, "IUniswapV2Factory", factory, "getPair", *tokens, block="latest")
        return DevPool(spec.kind, to_checksum_address(found), *symbols, spec.fee, None)
    found = view(endpoint, "IUniswapV3Factory", factory, "getPool", *tokens, spec.fee, block="latest")
    return DevPool(spec.kind, to_checksum_address(found), *symbols, spec.fee, TICK_SPACINGS[spec.fee])


def _sorted(spec: Market) -> tuple[str, str]:
    """The market's symbols in the order of their addresses, which decides who is token0."""
    base, quote = sorted((spec.base, spec.quote), key=lambda symbol: int(TOKENS[symbol].address, 16))
    return base, quote
