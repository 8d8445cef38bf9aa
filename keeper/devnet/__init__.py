"""The offline mainnet: an anvil node with chain id 1 on which the published bytecode of Uniswap V2, V3 and V4, Balancer
and WETH9 stands at its mainnet addresses, among tokens and Chainlink-compatible feeds at theirs.

    with Devnet.start() as devnet:
        devnet.deal("USDC", account, 1_000_000)
        devnet.move_prices({"WETH": "2500.00"})
"""

from keeper.devnet.devnet import Devnet, serve
from keeper.devnet.tables import DEV_KEYS, FACTORIES, FEEDS, TOKENS, DevKey, Feed, Token
from keeper.devnet.world import DevPool

__all__ = ["DEV_KEYS", "FACTORIES", "FEEDS", "TOKENS", "DevKey", "DevPool", "Devnet", "Feed", "Token", "serve"]
