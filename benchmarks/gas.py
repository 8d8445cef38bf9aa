"""What the vault's work costs in gas, next to the same swaps without a vault and to what other protocols take.

    make bench-gas

Every number is the `gasUsed` of a receipt: intrinsic gas and calldata included, refunds taken off. Each transaction is
in a block of its own, twelve seconds after the one before, so that every accumulator of every pool is written. A
rebalance is the third of its vault: whatever it writes holds something already. It sells k/2 tokens for WETH and buys
k/2 others with that, each in another pool of published Uniswap bytecode and 0.1% of that pool; the vault holds WETH and
these k tokens. Orders are the keeper's own, read, planned and encoded as it does. The bound is `DirectSwapper.sol`: the
same swaps on the same state by a contract that does nothing else.

What a swap on one kind of pool takes beside one on another is measured by the executor alone, in every pool of the
offline mainnet, both ways, the second time each; the policy's table of gas units rests on that and on the rebalances.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from math import isqrt
from pathlib import Path
from typing import Any, Literal

from eth_utils.address import to_checksum_address
from rich.console import Console
from rich.table import Table

from keeper.chain import artifacts
from keeper.chain.bindings import ERC20, constructor_call, interface
from keeper.chain.deployment import Deployment
from keeper.chain.lens import Lens, Reading
from keeper.chain.venues import BalancerFactory, BalancerVenue, UniswapV2Venue, UniswapV3Venue, UniswapV4Venue
from keeper.devnet import DEV_KEYS, FACTORIES, TOKENS, Devnet
from keeper.devnet.tables import FEED_BOUNDS, FEED_DECIMALS, LIQUIDITY, POOL_MANAGER
from keeper.devnet.world import transact
from keeper.domain import Buy, Decision, Estimate, Sell, Swap
from keeper.loop import plan
from keeper.pools.tick_math import tick_at_sqrt_price
from keeper.routing.steps import plan_steps
from keeper.submit.deployer import DeployConfig, deploy
from keeper.submit.program import encode_program

Kind = Literal["uniswap_v2", "uniswap_v3"]
Feeds = Literal["one_slot", "proxied"]

RESULT = Path(__file__).with_name("gas.json")
OWNER, KEEPER = DEV_KEYS[0].address, DEV_KEYS[1].address
WETH = TOKENS["WETH"].address
WETH_PRICE, TOKEN_PRICE = Decimal(2000), Decimal(2)
DECIMALS = (18, 6, 18, 8, 18, 18, 6, 18)
"""Of the tokens, in basket order."""

POOL_TOKENS, POOL_WETH = 1_000_000, 1_000
"""Whole tokens on either side of every pool."""

TRADE = POOL_TOKENS // 1000
HELD_TOKENS, HELD_WETH = 100_000, 100
RANGE = 20_000
"""Ticks that the one position of a V3 pool reaches to either side."""

SIZES = (3, 5, 9)
MAX = 2**256 - 1

# The same work done by the published code of others, on pools of the same sizes, by assets.
PEERS: dict[str, dict[int, int]] = {
    "bound uniswap_v2": {3: 138_376, 5: 253_104, 9: 482_572},
    "bound uniswap_v3": {3: 163_142, 5: 298_815, 9: 569_420},
    "Enzyme uniswap_v2": {3: 431_915, 5: 769_418, 9: 1_444_532},
    "Enzyme uniswap_v3": {3: 471_497, 5: 848_683, 9: 1_602_308},
    "Set uniswap_v2": {3: 389_481, 5: 701_998, 9: 1_327_092},
    "Set uniswap_v3": {3: 410_491, 5: 745_019, 9: 1_413_286},
    "Folio mint": {3: 154_022, 5: 199_596, 9: 290_750},
    "Folio redeem": {3: 122_158, 5: 164_578, 9: 249_425},
    "Set mint": {3: 172_583, 5: 239_188, 9: 372_422},
    "Set redeem": {3: 183_427, 5: 260_578, 9: 414_902},
}
AIMS = {3: 1.5, 5: 1.35, 9: 1.25}
"""Of the bound, by assets, with one-slot feeds."""

_SWAP_TOPICS = {
    "uniswap_v2": "0xd78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822",
    "uniswap_v3": "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67",
}


@dataclass(frozen=True, slots=True)
class Listed:
    """A token of the benchmark with both kinds of feeds."""

    address: str
    decimals: int
    feeds: dict[Feeds, str]


def main() -> int:
    """Measures everything, writes `gas.json`, prints the tables; 1 if an aim is missed."""
    # As wide as the widest table, also where the output is not a terminal.
    console = Console(width=120)
    with Devnet.start(progress=console.print) as devnet:
        bench = Bench(devnet)
        rebalances = {
            feeds: [bench.rebalance(assets, kind, feeds) for kind in ("uniswap_v2", "uniswap_v3") for assets in SIZES]
            for feeds in ("one_slot", "proxied")
        }
        swaps = _executor_swaps(devnet)
        shares = [bench.shares(assets, fees={}) for assets in SIZES]
        charged = [
            bench.shares(assets, fees={"streaming": "0.02", "mint": "0.005", "redeem": "0.005"}) for assets in SIZES
        ]
    result = {
        "rebalance": rebalances["one_slot"],
        "rebalance_proxied_feeds": rebalances["proxied"],
        "executor_swap": swaps,
        "mint": [{"assets": assets, "gas": mint} for assets, (mint, _) in zip(SIZES, shares, strict=True)],
        "redeem": [{"assets": assets, "gas": redeem} for assets, (_, redeem) in zip(SIZES, shares, strict=True)],
        "mint_with_fees": [{"assets": assets, "gas": mint} for assets, (mint, _) in zip(SIZES, charged, strict=True)],
        "redeem_with_fees": [
            {"assets": assets, "gas": redeem} for assets, (_, redeem) in zip(SIZES, charged, strict=True)
        ],
        "runtime_bytes": {
            name: len(artifacts.load(name).runtime)
            for name in ("IndexVault", "VaultAdmin", "SwapExecutor", "PriceOracle")
        },
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    missed = _report(console, result)
    return 1 if missed else 0


class Bench:
    """A devnet with the benchmark's tokens, feeds and pools on it, all of them traded with before."""

    def __init__(self, devnet: Devnet) -> None:
        self.devnet = devnet
        self.endpoint = devnet.endpoint
        weth_feeds = self._feeds(WETH_PRICE)
        self.listed = [
            Listed(WETH, 18, weth_feeds),
            *(self._list(f"T{number}", decimals) for number, decimals in enumerate(DECIMALS)),
        ]
        for token in self.listed[1:]:
            self._open_pools(token)
        self.swapper = self._create("DirectSwapper")
        for token in self.listed:
            self.devnet.deal(token.address, self.swapper, _raw(token, HELD_TOKENS))
            self.devnet.deal(token.address, OWNER, _raw(token, 100 * HELD_TOKENS))
        self._warm_up()

    def rebalance(self, assets: int, kind: Kind, feeds: Feeds) -> dict[str, Any]:
        """The third rebalance of a new vault, and the bound on the state that it finds."""
        with self._vault(assets, feeds, fees={}) as deployment:
            for _ in range(2):
                self._rebalance(deployment, kind)
            reading = self._read(deployment, kind)
            swaps = _swaps(reading)
            with self.devnet.isolated():
                bound = self._direct(kind, swaps)
            gas = self._rebalance(deployment, kind)
        return {"assets": assets, "swaps": len(swaps), "kind": kind, "gas": gas, "bound": bound}

    def shares(self, assets: int, *, fees: dict[str, str]) -> tuple[int, int]:
        """The second mint of a holder, and then a redemption of part of it."""
        with self._vault(assets, "one_slot", fees=fees) as deployment:
            vault = deployment.vault
            for token in self.listed[:assets]:
                self._send(token.address, ERC20.encode("approve", vault, MAX))
            abi = interface("IndexVault")
            mint = abi.encode("mint", 10**18, OWNER, [MAX] * assets, 0)
            self._send(vault, mint)
            minted = self._send(vault, mint)
            redeemed = self._send(vault, abi.encode("redeem", 10**18, OWNER, OWNER, [1] * assets, 0))
        return _gas_used(minted), _gas_used(redeemed)

    # The world

    def _list(self, symbol: str, decimals: int) -> Listed:
        address = self._create("DevToken")
        self._send(address, interface("DevToken").encode("initialize", f"Token {symbol}", symbol, decimals))
        return Listed(address, decimals, self._feeds(TOKEN_PRICE))

    def _feeds(self, price: Decimal) -> dict[Feeds, str]:
        answer = int(price.scaleb(FEED_DECIMALS))
        aggregator = self._create("DevFeed")
        abi = interface("DevFeed")
        self._send(aggregator, abi.encode("initialize", FEED_DECIMALS, "benchmark", *FEED_BOUNDS))
        self._send(aggregator, abi.encode("setAnswer", answer))
        return {"one_slot": self._create("OneSlotFeed", answer), "proxied": self._create("FeedProxy", aggregator)}

    def _open_pools(self, token: Listed) -> None:
        weth_first = int(WETH, 16) < int(token.address, 16)
        tokens = (WETH, token.address) if weth_first else (token.address, WETH)
        amounts = (POOL_WETH * 10**18, _raw(token, POOL_TOKENS))
        amount0, amount1 = amounts if weth_first else amounts[::-1]
        abi = interface("DevLiquidity")
        self._send(LIQUIDITY, abi.encode("openPair", FACTORIES["uniswap_v2"], *tokens, amount0, amount1))
        price = isqrt((amount1 << 192) // amount0)
        tick = tick_at_sqrt_price(price)
        position = ((tick - RANGE) // 60 * 60, (tick + RANGE) // 60 * 60, isqrt(amount0 * amount1))
        self._send(LIQUIDITY, abi.encode("openPool", FACTORIES["uniswap_v3"], *tokens, 3000, price, [position]))

    def _warm_up(self) -> None:
        """Two trades each way in every pool, so that accumulators, fees and observations hold something."""
        with self._vault(len(self.listed), "one_slot", fees={}) as deployment:
            pools = {kind: self._read(deployment, kind).pools for kind in ("uniswap_v2", "uniswap_v3")}
        for _ in range(2):
            for kind, found in pools.items():
                for pool in found:
                    for token_in in pool.tokens:
                        amount = 10**18 if token_in == WETH else _raw(self._by_address(token_in), TRADE)
                        # A hundredth less than the pair would pay: it need not be read again before each trade.
                        out = pool.swap(token_in, pool.other(token_in), amount).amount_out * 99 // 100
                        swap = Swap(
                            pool=pool.name,
                            token_in=token_in,
                            token_out=pool.other(token_in),
                            amount_in=amount,
                            amount_out=out,
                        )
                        self._send(self.swapper, _record(kind, swap))

    def _by_address(self, address: str) -> Listed:
        return next(token for token in self.listed if token.address == address)

    @contextmanager
    def _vault(self, assets: int, feeds: Feeds, *, fees: dict[str, str]) -> Iterator[Deployment]:
        """A vault of equal values whose targets ask for what the benchmark trades; gone afterwards."""
        basket = self.listed[:assets]
        sold = set(range(1, 1 + (assets - 1) // 2))
        even = (Decimal(1) / assets).quantize(Decimal("0.001"))
        weights = [even - Decimal("0.02") if i in sold else even + Decimal("0.02") for i in range(assets)]
        weights[0] = 1 - sum(weights[1:])
        config = DeployConfig.model_validate(
            {
                "name": "Benchmark",
                "symbol": "BENCH",
                "owner": OWNER,
                "keeper": KEEPER,
                "receiver": OWNER,
                "shares": 10_000,
                "native_token": WETH,
                "limits": {"max_slippage": "0.02", "cooldown": 12},
                "fees": fees,
                "assets": [
                    {
                        "token": token.address,
                        "feed": token.feeds[feeds],
                        "heartbeat": 86_400,
                        "min_price": "0.1",
                        "max_price": 100_000,
                        "weight": str(weight),
                        "amount": HELD_WETH if token.address == WETH else HELD_TOKENS,
                    }
                    for token, weight in zip(basket, weights, strict=True)
                ],
            }
        )
        with self.devnet.isolated():
            yield deploy(self.endpoint, config, OWNER, self._send, lambda _: None)

    def _read(self, deployment: Deployment, kind: Kind) -> Reading:
        venue = (
            UniswapV2Venue(kind="uniswap_v2", factory=FACTORIES[kind])
            if kind == "uniswap_v2"
            else UniswapV3Venue(kind="uniswap_v3", factory=FACTORIES[kind], fees=(3000,))
        )
        lens = Lens(
            chain_id=deployment.chain_id,
            vault=deployment.vault,
            native_token=WETH,
            connectors=(),
            venues=(venue,),
            tick_words=8,
        )
        return lens.read(self.endpoint)

    # What is measured

    def _rebalance(self, deployment: Deployment, kind: Kind) -> int:
        reading = self._read(deployment, kind)
        decision = _decision(_swaps(reading))
        order = plan(reading, reading.snapshot(), decision, 3600).encode()
        receipt = transact(
            self.endpoint, deployment.vault, interface("IndexVault").encode("rebalance", order), sender=KEEPER
        )
        return _swaps_done(receipt, kind, len(decision.swaps))

    def _direct(self, kind: Kind, swaps: Sequence[Swap]) -> int:
        data = b""
        for sale, purchase in zip(swaps[::2], swaps[1::2], strict=True):
            # A pair is paid by the pair before it; a V3 pool asks for its payment, so it is paid from here.
            data += _record(kind, sale, chained=kind == "uniswap_v2") + _record(
                kind, purchase, prefunded=kind == "uniswap_v2"
            )
        return _swaps_done(self._send(self.swapper, data), kind, len(swaps))

    # Transactions

    def _create(self, contract: str, *arguments: Any) -> str:
        return to_checksum_address(self._send(None, constructor_call(contract, *arguments))["contractAddress"])

    def _send(self, to: str | None, data: bytes) -> dict[str, Any]:
        return transact(self.endpoint, to, data, sender=OWNER)


def _executor_swaps(devnet: Devnet) -> list[dict[str, Any]]:
    """The cheapest and the dearest program of one swap, 1,000 USD, for each kind of pool of the offline mainnet."""
    endpoint = devnet.endpoint
    devnet.refresh_feeds()
    example = DeployConfig.load(artifacts.ROOT / "examples" / "deploy.yaml")
    deployment = deploy(
        endpoint, example, OWNER, lambda to, data: transact(endpoint, to, data, sender=OWNER), lambda _: None
    )
    makers = tuple(
        BalancerFactory(address=FACTORIES[f"balancer_{makes}"], makes=makes) for makes in ("weighted", "stable")
    )
    own = devnet.pools()
    names = {(pool.id or pool.address).lower() for pool in own}
    lens = Lens(
        chain_id=1,
        vault=deployment.vault,
        native_token=WETH,
        connectors=tuple(token.address for token in TOKENS.values()),
        venues=(
            UniswapV2Venue(kind="uniswap_v2", factory=FACTORIES["uniswap_v2"]),
            UniswapV3Venue(kind="uniswap_v3", factory=FACTORIES["uniswap_v3"]),
            UniswapV4Venue(kind="uniswap_v4", manager=POOL_MANAGER),
            BalancerVenue(
                kind="balancer_v2",
                factories=makers,
                pools=tuple(str(pool.id) for pool in own if pool.kind.startswith("balancer")),
            ),
        ),
        tick_words=4,
    )
    gas: dict[str, list[int]] = {}
    for name in sorted(pool.name for pool in lens.read(endpoint).snapshot().pools if pool.name.lower() in names):
        devnet.refresh_feeds()
        for way in (0, 0, 1, 1):
            pools = {pool.name: pool for pool in lens.read(endpoint).snapshot().pools}
            pool = pools[name]
            token_in, token_out = pool.tokens[way], pool.tokens[1 - way]
            token = next(token for token in TOKENS.values() if token.address == token_in)
            amount = int((1000 / token.price).scaleb(token.decimals))
            amount_out, _ = pool.swap(token_in, token_out, amount)
            swap = Swap(pool=name, token_in=token_in, token_out=token_out, amount_in=amount, amount_out=amount_out)
            steps, recipients = plan_steps([swap], pools, {token_in: amount})
            devnet.deal(token_in, recipients.get(token_in, deployment.executor), amount)
            devnet.deal(token_out, OWNER, 1)
            program = encode_program(steps, {} if token_in in recipients else {token_in: amount})
            execute = interface("SwapExecutor").encode("execute", program)
            used = _gas_used(transact(endpoint, deployment.executor, execute, sender=OWNER))
            gas.setdefault(pool.kind, []).append(used)
    seconds = {kind: used[1::2] for kind, used in sorted(gas.items())}
    return [{"kind": kind, "least": min(used), "most": max(used)} for kind, used in seconds.items()]


def _swaps(reading: Reading) -> list[Swap]:
    """Sales of the first half of the tokens, each followed by a purchase of one of the other half."""
    tokens = reading.basket[1:]
    half = len(tokens) // 2
    pool_of = {pool.other(WETH): pool for pool in reading.pools if WETH in pool.tokens}
    swaps = []
    for sold, bought in zip(tokens[:half], tokens[half:], strict=True):
        amount = TRADE * 10**sold.token.decimals
        for token_in, token_out in ((sold.token.address, WETH), (WETH, bought.token.address)):
            pool = pool_of[token_in if token_out == WETH else token_out]
            out = pool.swap(token_in, pool.other(token_in), amount).amount_out
            swaps.append(Swap(pool=pool.name, token_in=token_in, token_out=token_out, amount_in=amount, amount_out=out))
            amount = out
    return swaps


def _decision(swaps: Sequence[Swap]) -> Decision:
    return Decision(
        action="rebalance",
        reason="benchmark",
        swaps=tuple(swaps),
        sells=tuple(Sell(token=swap.token_in, amount=swap.amount_in) for swap in swaps[::2]),
        buys=tuple(
            Buy(token=swap.token_out, amount=swap.amount_out, min_amount=swap.amount_out * 995 // 1000)
            for swap in swaps[1::2]
        ),
        estimate=Estimate(nav_usd=0, cost_usd=0, gas_usd=0, gas_units=0, drift_before=0, drift_after=0),
        certificate=None,
    )


def _record(kind: Kind, swap: Swap, *, prefunded: bool = False, chained: bool = False) -> bytes:
    """One record of `DirectSwapper`."""
    sells_token0 = int(swap.token_in, 16) < int(swap.token_out, 16)
    flags = sells_token0 | prefunded << 1 | chained << 2 | (kind == "uniswap_v3") << 3
    return b"".join(
        (
            bytes([flags]),
            bytes.fromhex(swap.token_in[2:]),
            bytes.fromhex(swap.pool[2:]),
            swap.amount_in.to_bytes(14, "big"),
            swap.amount_out.to_bytes(14, "big"),
        )
    )


def _raw(token: Listed, amount: int) -> int:
    return amount * 10**token.decimals


def _gas_used(receipt: dict[str, Any]) -> int:
    return int(receipt["gasUsed"], 16)


def _swaps_done(receipt: dict[str, Any], kind: Kind, expected: int) -> int:
    """The receipt's gas, once it is sure that all swaps are in it."""
    done = sum(log["topics"][0] == _SWAP_TOPICS[kind] for log in receipt["logs"])
    if done != expected:
        raise RuntimeError(f"{done} swaps in a transaction that should have {expected}")
    return _gas_used(receipt)


def _report(console: Console, result: dict[str, Any]) -> list[str]:
    """Prints the tables; returns the aims that were missed."""
    missed = []
    table = Table("assets", "swaps", "pools", "feeds", "gas", "bound", "ratio", "aim", "Enzyme", "Set", "peers' bound")
    for key, feeds in (("rebalance", "one slot"), ("rebalance_proxied_feeds", "proxied")):
        for row in result[key]:
            assets, ratio = row["assets"], row["gas"] / row["bound"]
            if feeds == "one slot" and ratio > AIMS[assets]:
                missed.append(f"rebalance of {assets} assets on {row['kind']}")
            table.add_row(
                str(assets),
                str(row["swaps"]),
                row["kind"],
                feeds,
                f"{row['gas']:,}",
                f"{row['bound']:,}",
                f"{ratio:.3f}",
                f"{AIMS[assets]:.2f}" if feeds == "one slot" else "",
                *(f"{PEERS[peer + ' ' + row['kind']][assets]:,}" for peer in ("Enzyme", "Set", "bound")),
            )
    console.print(table)
    table = Table("work", "assets", "gas", "with fees", "Folio", "Set")
    for work in ("mint", "redeem"):
        for plain, charged in zip(result[work], result[f"{work}_with_fees"], strict=True):
            assets = plain["assets"]
            if plain["gas"] > PEERS[f"Folio {work}"][assets]:
                missed.append(f"{work} of {assets} assets")
            table.add_row(
                work,
                str(assets),
                f"{plain['gas']:,}",
                f"{charged['gas']:,}",
                *(f"{PEERS[peer + ' ' + work][assets]:,}" for peer in ("Folio", "Set")),
            )
    console.print(table)
    console.print("runtime bytes:", result["runtime_bytes"])
    console.print(
        "one swap by the executor alone:",
        ", ".join(f"{row['kind']} {row['least']:,} to {row['most']:,}" for row in result["executor_swap"]),
    )
    if missed:
        console.print("aims missed:", "; ".join(missed))
    return missed


if __name__ == "__main__":
    sys.exit(main())
