"""Builds the offline mainnet on an empty chain."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from eth_abi.abi import encode
from eth_utils.abi import function_signature_to_4byte_selector
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.chain import artifacts
from keeper.chain.artifacts import ROOT
from keeper.chain.bindings import interface, view
from keeper.chain.errors import NodeError
from keeper.chain.rpc import Endpoint
from keeper.devnet.tables import (
    BALANCER_AUTHORIZER,
    BALANCER_FEES,
    BALANCER_VAULT,
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
    POOL_MANAGER,
    PURSE,
    STABLE,
    TICK_SPACINGS,
    TOKENS,
    VAULT_MARKETS,
    WETH,
    Market,
    VaultMarket,
)
from keeper.domain.errors import InputError
from keeper.market import liquidity
from keeper.market.liquidity import Side
from keeper.pools import BalancerStablePool, BalancerWeightedPool, MultiTokenPool, RatedHolding, WeightedHolding
from keeper.units import WAD

Progress = Callable[[str], None]

ETHER = 10**18
_GAS = 30_000_000
_DAY = 86_400
_BALANCER = "@balancer-labs/v2-deployments/dist/tasks"
_NOBODY = f"0x{0:040x}"
_CREATION_CODE = {
    "weth": "canonical-weth/build/contracts/WETH9.json",
    "uniswap_v2": "@uniswap/v2-core/build/UniswapV2Factory.json",
    "uniswap_v3": "@uniswap/v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json",
    POOL_MANAGER: "@uniswap/v4-core/out/PoolManager.sol/PoolManager.json",
    BALANCER_AUTHORIZER: f"{_BALANCER}/20210418-authorizer/artifact/Authorizer.json",
    BALANCER_VAULT: f"{_BALANCER}/20210418-vault/artifact/Vault.json",
    BALANCER_FEES: (
        f"{_BALANCER}/20220725-protocol-fee-percentages-provider/artifact/ProtocolFeePercentagesProvider.json"
    ),
    FACTORIES["balancer_weighted"]: f"{_BALANCER}/20230206-weighted-pool-v3/artifact/WeightedPoolFactory.json",
    FACTORIES["balancer_stable"]: (
        f"{_BALANCER}/20230206-composable-stable-pool-v3/artifact/ComposableStablePoolFactory.json"
    ),
}

# Pausing is for three months and one more; the protocol's part of yield and of managed assets is at most half.
_CONSTRUCTED: tuple[tuple[str, list[str], list[Any]], ...] = (
    (POOL_MANAGER, ["address"], [OPERATOR]),
    (BALANCER_AUTHORIZER, ["address"], [OPERATOR]),
    (
        BALANCER_VAULT,
        ["address", "address", "uint256", "uint256"],
        [BALANCER_AUTHORIZER, WETH, 90 * _DAY, 30 * _DAY],
    ),
    (BALANCER_FEES, ["address", "uint256", "uint256"], [BALANCER_VAULT, WAD // 2, WAD // 2]),
    (
        FACTORIES["balancer_weighted"],
        ["address", "address", "string", "string"],
        [BALANCER_VAULT, BALANCER_FEES, "", ""],
    ),
    (
        FACTORIES["balancer_stable"],
        ["address", "address", "string", "string"],
        [BALANCER_VAULT, BALANCER_FEES, "", ""],
    ),
)
"""Contracts whose deployment cannot be repeated: address, and the types and values that their constructors take."""


class DevPool(NamedTuple):
    """A pool of the offline mainnet, named by its tokens' symbols in the pool's order. `fee` in millionths.

    Concentrated liquidity has a tick spacing, a pool inside a contract of many an id, and a `native` pool trades ether
    where the symbol says WETH.
    """

    kind: str
    address: str
    symbols: tuple[str, ...]
    fee: int
    tick_spacing: int | None = None
    id: str | None = None
    native: bool = False

    @property
    def tokens(self) -> tuple[str, ...]:
        """The tokens' addresses, in the pool's order."""
        return tuple(TOKENS[symbol].address for symbol in self.symbols)

    @property
    def key(self) -> tuple[str, str, int, int, str]:
        """What the PoolManager knows a V4 pool by."""
        if self.tick_spacing is None:
            raise ValueError(f"{self.kind} pools have no key")
        token0, token1 = self.tokens
        return (_NOBODY if self.native else token0, token1, self.fee, self.tick_spacing, _NOBODY)


def build(endpoint: Endpoint, seed: int, progress: Progress) -> None:
    """Makes an empty chain the offline mainnet. The same seed gives the same blocks."""
    impersonate(endpoint, OPERATOR, 1_000_000 * ETHER)
    progress("deploying WETH9, Uniswap and Balancer")
    for name in DEPLOYMENTS:
        _deploy(endpoint, name)
    for address, types, arguments in _CONSTRUCTED:
        _construct(endpoint, address, encode(types, arguments))
    progress(f"placing {len(TOKENS)} tokens and their feeds")
    _place(endpoint, LIQUIDITY, "DevLiquidity")
    endpoint.request("anvil_setBalance", LIQUIDITY, hex(10**9 * ETHER))  # it wraps this into WETH
    _place_tokens(endpoint)
    _place_feeds(endpoint)
    count = len(MARKETS) + len(VAULT_MARKETS)
    for number, spec in enumerate(MARKETS, start=1):
        progress(f"opening pool {number} of {count}: {spec.base}/{spec.quote}")
        open_market(endpoint, spec, seed)
    for number, basket in enumerate(VAULT_MARKETS, start=1 + len(MARKETS)):
        progress(f"opening pool {number} of {count}: {'/'.join(basket.weights)}")
        _open_vault_pool(endpoint, basket, seed)
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
    """Every pool of the offline mainnet, by asking the real factories, and the market maker where they keep no list."""
    return (
        *(_find(endpoint, spec) for spec in MARKETS),
        *(_find_vault_pool(endpoint, place) for place in range(len(VAULT_MARKETS))),
    )


def manager_price(endpoint: Endpoint, pool: DevPool) -> int:
    """The sqrtPriceX96 of a V4 pool."""
    # `pools` is the manager's seventh slot, and the price the lower part of a pool's first word.
    slot = keccak(_word(pool.id) + (6).to_bytes(32))
    word: bytes = view(endpoint, "IDevManager", pool.address, "extsload", slot, block="latest")
    return int.from_bytes(word) % 2**160


def vault_pool(endpoint: Endpoint, pool: DevPool) -> MultiTokenPool:
    """A pool of Balancer's Vault as it stands, with its exact arithmetic."""
    tokens, balances, _ = view(endpoint, "IDevVault", BALANCER_VAULT, "getPoolTokens", _word(pool.id), block="latest")
    held = dict(zip(tokens, balances, strict=True))  # and the pool's own token, if it is a stable one
    amounts = [(token, held[token.lower()]) for token in pool.tokens]
    fee = pool.fee * WAD // 10**6
    listed = {token.address.lower(): token for token in TOKENS.values()}
    if pool.kind == "balancer_weighted":
        weights = view(endpoint, "IDevVaultPool", pool.address, "getNormalizedWeights", block="latest")
        return BalancerWeightedPool(
            address=pool.address,
            id=str(pool.id),
            swap_fee=fee,
            tokens=tuple(
                WeightedHolding(token=token, balance=balance, weight=weight)
                for (token, balance), weight in zip(amounts, weights, strict=True)
            ),
        ).listed(listed)
    amplification, _, precision = view(
        endpoint, "IDevVaultPool", pool.address, "getAmplificationParameter", block="latest"
    )
    return BalancerStablePool(
        address=pool.address,
        id=str(pool.id),
        amplification=amplification,
        a_precision=precision,
        fee=fee,
        tokens=tuple(RatedHolding(token=token, balance=balance, rate=WAD) for token, balance in amounts),
    ).listed(listed)


def vault_trades(endpoint: Endpoint, pool: DevPool, answers: Mapping[str, int]) -> list[tuple[Any, ...]]:
    """What the market maker trades to bring a pool of Balancer's Vault to the feeds' `answers` (by symbol)."""
    sides = {TOKENS[symbol].address: Side(TOKENS[symbol].decimals, answers[symbol]) for symbol in pool.symbols}
    trades = liquidity.vault_trades(vault_pool(endpoint, pool), sides)
    return [(BALANCER_VAULT, _word(pool.id), *trade) for trade in trades]


def creation_code(name: str) -> bytes:
    """What creates a contract (a name or an address of the tables), from the locked npm package.

    Raises `InputError` if that is not installed.
    """
    code = published(name)["bytecode"]
    if isinstance(code, dict):  # as forge writes it
        code = code["object"]
    return bytes.fromhex(code.removeprefix("0x"))


def published(name: str) -> dict[str, Any]:
    """The artifact that `creation_code` reads."""
    path = ROOT / "node_modules" / _CREATION_CODE[name]
    try:
        artifact: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path.relative_to(ROOT)} is missing: run `make setup`") from None
    return artifact


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


def _construct(endpoint: Endpoint, address: str, arguments: bytes) -> None:
    """Runs a constructor at the contract's real address, so that whatever it derives from that is right.

    The creation code is put there, called once for the runtime code that it returns and once, for good, for what it
    stores and creates; then the runtime code takes its place.
    """
    endpoint.request("anvil_setCode", address, f"0x{(creation_code(address) + arguments).hex()}")
    endpoint.request("anvil_setNonce", address, "0x1")  # as every contract has while its constructor runs
    runtime = endpoint.data("eth_call", {"from": OPERATOR, "to": address, "gas": hex(_GAS)}, "latest")
    transact(endpoint, address, b"")
    endpoint.request("anvil_setCode", address, f"0x{runtime.hex()}")


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


def open_market(endpoint: Endpoint, spec: Market, seed: int) -> None:
    """Opens a pool of Uniswap at the feeds' first answers and gives it liquidity."""
    pool = _planned(spec)
    token0, token1 = pool.tokens
    side0, side1 = (Side(TOKENS[symbol].decimals, _first_answer(symbol)) for symbol in pool.symbols)
    label = f"{seed}/{spec.kind}/{spec.base}/{spec.quote}/{spec.fee}"
    usd = spec.usd * liquidity.jitter(label) // liquidity.BPS
    abi = interface("DevLiquidity")
    if spec.kind == "uniswap_v2":
        reserves = liquidity.pair_reserves(side0, side1, usd)
        call = abi.encode("openPair", FACTORIES[spec.kind], token0, token1, *reserves)
    else:
        placed = liquidity.positions(
            side0, side1, TICK_SPACINGS[spec.fee], usd, stable=STABLE.issuperset(pool.symbols), label=label
        )
        price = liquidity.sqrt_price(side0, side1)
        if spec.kind == "uniswap_v3":
            call = abi.encode("openPool", FACTORIES[spec.kind], token0, token1, spec.fee, price, placed)
        else:
            call = abi.encode("openManaged", POOL_MANAGER, pool.key, price, placed)
    transact(endpoint, LIQUIDITY, call)


def _open_vault_pool(endpoint: Endpoint, spec: VaultMarket, seed: int) -> None:
    symbols = _vault_symbols(spec)
    tokens = [TOKENS[symbol].address for symbol in symbols]
    usd = spec.usd * liquidity.jitter(f"{seed}/{spec.kind}/{'/'.join(symbols)}/{spec.fee}") // liquidity.BPS
    total = sum(spec.weights.values())
    nobodies = [_NOBODY] * len(tokens)
    name, fee = f"{'-'.join(symbols)} pool", spec.fee * WAD // 10**6
    if spec.kind == "balancer_weighted":
        amounts = [
            usd
            * spec.weights[symbol]
            * 10 ** (TOKENS[symbol].decimals + FEED_DECIMALS)
            // (total * _first_answer(symbol))
            for symbol in symbols
        ]
        weights = [spec.weights[symbol] * WAD // total for symbol in symbols]
        create = _calldata(
            "create(string,string,address[],uint256[],address[],uint256,address)",
            name,
            "POOL",
            tokens,
            weights,
            nobodies,
            fee,
            OPERATOR,
        )
    else:
        amounts = [usd * 10 ** TOKENS[symbol].decimals // len(tokens) for symbol in symbols]
        create = _calldata(
            "create(string,string,address[],uint256,address[],uint256[],bool[],uint256,address)",
            name,
            "POOL",
            tokens,
            spec.amplification,
            nobodies,
            [0] * len(tokens),
            [False] * len(tokens),
            fee,
            OPERATOR,
        )
    abi = interface("DevLiquidity")
    transact(endpoint, LIQUIDITY, abi.encode("openVaultPool", FACTORIES[spec.kind], create, tokens, amounts))
    # A stable pool is filled evenly, which is not quite what the feeds say.
    pool = _find_vault_pool(endpoint, VAULT_MARKETS.index(spec))
    trades = vault_trades(endpoint, pool, {symbol: _first_answer(symbol) for symbol in symbols})
    if trades:
        transact(endpoint, LIQUIDITY, abi.encode("move", [], [], [], [], trades))


def _find(endpoint: Endpoint, spec: Market) -> DevPool:
    pool = _planned(spec)
    if spec.kind == "uniswap_v4":
        return pool
    factory = FACTORIES[spec.kind]
    if spec.kind == "uniswap_v2":
        found = view(endpoint, "IUniswapV2Factory", factory, "getPair", *pool.tokens, block="latest")
    else:
        found = view(endpoint, "IUniswapV3Factory", factory, "getPool", *pool.tokens, spec.fee, block="latest")
    return pool._replace(address=to_checksum_address(found))


def _find_vault_pool(endpoint: Endpoint, place: int) -> DevPool:
    spec = VAULT_MARKETS[place]
    address = to_checksum_address(view(endpoint, "DevLiquidity", LIQUIDITY, "vaultPools", place, block="latest"))
    identifier: bytes = view(endpoint, "IDevVaultPool", address, "getPoolId", block="latest")
    return DevPool(spec.kind, address, _vault_symbols(spec), spec.fee, id=f"0x{identifier.hex()}")


def _planned(spec: Market) -> DevPool:
    """A Uniswap pool but for the address that a factory gives it."""
    # The order of the addresses decides who is token0, and ether's is zero.
    symbols = sorted(
        (spec.base, spec.quote),
        key=lambda symbol: 0 if spec.native and symbol == "WETH" else int(TOKENS[symbol].address, 16),
    )
    spacing = None if spec.kind == "uniswap_v2" else TICK_SPACINGS[spec.fee]
    pool = DevPool(spec.kind, _NOBODY, tuple(symbols), spec.fee, spacing, native=spec.native)
    if spec.kind != "uniswap_v4":
        return pool
    key = encode(["address", "address", "uint24", "int24", "address"], pool.key)
    return pool._replace(address=POOL_MANAGER, id=f"0x{keccak(key).hex()}")


def _vault_symbols(spec: VaultMarket) -> tuple[str, ...]:
    """The symbols of a pool of Balancer's Vault in the order of their addresses, as it registers them."""
    return tuple(sorted(spec.weights, key=lambda symbol: int(TOKENS[symbol].address, 16)))


def _calldata(signature: str, *arguments: Any) -> bytes:
    types = signature.partition("(")[2].removesuffix(")").split(",")
    return function_signature_to_4byte_selector(signature) + encode(types, arguments)


def _word(identifier: str | None) -> bytes:
    """The 32 bytes of a pool's id."""
    return bytes.fromhex(str(identifier)[2:])
