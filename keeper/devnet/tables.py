"""What stands where on the offline mainnet: the addresses are mainnet's own."""

from __future__ import annotations

from decimal import Decimal
from typing import Final, Literal, NamedTuple

from eth_account import Account

CHAIN_ID: Final = 1
GENESIS_TIME: Final = 1_760_000_000
"""Seconds; fixed, so that the same seed gives the same chain."""
BLOCK_TIME: Final = 12
"""Seconds between blocks."""
BASE_FEE: Final = 1_000_000_000
"""Wei per gas with which a fresh world starts."""
FEED_DECIMALS: Final = 8
PURSE: Final = 1_000_000
"""What the first development account holds of every token, USD: enough to seed a vault with."""

WETH: Final = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"

# Not mainnet's: who operates the offline mainnet, and its one market maker (contracts/devnet/DevLiquidity.sol).
OPERATOR: Final = "0xBa11a57000000000000000000000000000000001"
LIQUIDITY: Final = "0xba11a57000000000000000000000000000000002"


class Token(NamedTuple):
    """A token, its Chainlink feed against USD, and its price in USD when the chain starts."""

    address: str
    decimals: int
    feed: str
    price: Decimal
    name: str


TOKENS: Final[dict[str, Token]] = {
    "WETH": Token(WETH, 18, "0x5f4eC3Df9cbd43714FE2740f5E3616155c5b8419", Decimal("4350"), "Wrapped Ether"),
    "USDC": Token(
        "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48",
        6,
        "0x8fFfFfd4AfB6115b954Bd326cbe7B4BA576818f6",
        Decimal("0.9999"),
        "USD Coin",
    ),
    "USDT": Token(
        "0xdAC17F958D2ee523a2206206994597C13D831ec7",
        6,
        "0x3E7d1eAB13ad0104d2750B8863b489D65364e32D",
        Decimal("1.0002"),
        "Tether USD",
    ),
    "DAI": Token(
        "0x6B175474E89094C44Da98b954EedeAC495271d0F",
        18,
        "0xAed0c38402a5d19df6E4c03F4E2DceD6e29c1ee9",
        Decimal("0.9998"),
        "Dai Stablecoin",
    ),
    # Chainlink's BTC feed: the wrapping is taken at par, as most of mainnet does.
    "WBTC": Token(
        "0x2260FAC5E5542a773Aa44fBCfeDf7C193bc2C599",
        8,
        "0xF4030086522a5bEEa4988F8cA5B36dbC97BeE88c",
        Decimal("121500"),
        "Wrapped BTC",
    ),
    "LINK": Token(
        "0x514910771AF9Ca656af840dff83E8264EcF986CA",
        18,
        "0x2c1d072e956AFFC0D435Cb7AC38EF18d24d9127c",
        Decimal("22.15"),
        "ChainLink Token",
    ),
    "UNI": Token(
        "0x1f9840a85d5aF5bf1D1762F925BDADdC4201F984",
        18,
        "0x553303d460EE0afB37EdFf9bE42922D8FF63220e",
        Decimal("7.85"),
        "Uniswap",
    ),
    "AAVE": Token(
        "0x7Fc66500c84A76Ad7e9c93437bFc5Ac33E2DDaE9",
        18,
        "0x547a514d5e3769680Ce22B2361c10Ea13619e8a9",
        Decimal("279.40"),
        "Aave Token",
    ),
}
"""By symbol: the token's address, decimals, feed, first price in USD, and name."""


class Feed(NamedTuple):
    """A price feed at the address of Chainlink's proxy."""

    address: str
    description: str


_FEED_NAMES = {"WETH": "ETH", "WBTC": "BTC"}

FEEDS: Final[dict[str, Feed]] = {
    symbol: Feed(token.feed, f"{_FEED_NAMES.get(symbol, symbol)} / USD") for symbol, token in TOKENS.items()
}
"""By token symbol."""

FEED_BOUNDS: Final = (1, 2**176 - 1)
"""Smallest and largest answer, as the aggregators behind mainnet's USD feeds have them today."""


class Deployment(NamedTuple):
    """A contract that its real deployer creates at its real nonce, and which therefore has its real address."""

    address: str
    deployer: str
    nonce: int


DEPLOYMENTS: Final[dict[str, Deployment]] = {
    "weth": Deployment(WETH, "0x4F26FfBe5F04ED43630fdC30A87638d53D0b0876", 446),
    "uniswap_v2": Deployment(
        "0x5C69bEe701ef814a2B6a3EDD4B1652CB9cc5aA6f", "0x9C33eaCc2F50E39940D3AfaF2c7B8246B681A374", 0
    ),
    "uniswap_v3": Deployment(
        "0x1F98431c8aD98523631AE4a59f267346ea31F984", "0x6C9FC64A53c1b71FB3f9Af64d1ae3A4931A5f4E9", 0
    ),
}

POOL_MANAGER: Final = "0x000000000004444c5dc75cB358380D2e3dE08A90"
"""Where all pools of Uniswap V4 live."""
BALANCER_VAULT: Final = "0xBA12222222228d8Ba445958a75a0704d566BF2C8"
"""Where all pools of Balancer V2 keep their tokens."""
BALANCER_AUTHORIZER: Final = "0xA331D84eC860Bf466b4CdCcFb4aC09a1B43F3aE6"
BALANCER_FEES: Final = "0x97207B095e4D5C9a6e4cfbfcd2C3358E03B90c4A"
"""What tells Balancer's pools the protocol's part of their fees."""

FACTORIES: Final[dict[str, str]] = {
    **{kind: DEPLOYMENTS[kind].address for kind in ("uniswap_v2", "uniswap_v3")},
    "balancer_weighted": "0x5Dd94Da3644DDD055fcf6B3E1aa310Bb7801EB8b",
    "balancer_stable": "0xdba127fBc23fb20F5929C546af220A991b5C6e01",
}
"""By pool kind."""


STABLE: Final = frozenset({"USDC", "USDT", "DAI"})
TICK_SPACINGS: Final = {100: 1, 500: 10, 3000: 60, 10000: 200}
"""By fee tier of V3; V4 pools here use the same."""


class Market(NamedTuple):
    """A pool to be opened: two token symbols, the fee in millionths, and about how much it holds in USD.

    `native` pools trade ether where the symbol says WETH; only V4 has them.
    """

    kind: Literal["uniswap_v2", "uniswap_v3", "uniswap_v4"]
    base: str
    quote: str
    fee: int
    usd: int
    native: bool = False


class VaultMarket(NamedTuple):
    """A pool of Balancer's Vault to be opened: weights in percent, or the amplification of a stable pool.

    `fee` in millionths; `usd` is about how much the pool holds.
    """

    kind: Literal["balancer_weighted", "balancer_stable"]
    weights: dict[str, int]
    fee: int
    usd: int
    amplification: int = 0


MARKETS: Final = (
    Market("uniswap_v2", "WETH", "USDC", 3000, 18_000_000),
    Market("uniswap_v2", "WETH", "USDT", 3000, 24_000_000),
    Market("uniswap_v2", "WETH", "DAI", 3000, 6_000_000),
    Market("uniswap_v2", "WBTC", "WETH", 3000, 9_000_000),
    Market("uniswap_v2", "LINK", "WETH", 3000, 3_000_000),
    Market("uniswap_v2", "UNI", "WETH", 3000, 2_000_000),
    Market("uniswap_v2", "AAVE", "WETH", 3000, 1_200_000),
    Market("uniswap_v2", "USDC", "USDT", 3000, 1_500_000),
    Market("uniswap_v3", "WETH", "USDC", 500, 45_000_000),
    Market("uniswap_v3", "WETH", "USDC", 3000, 30_000_000),
    Market("uniswap_v3", "WETH", "USDC", 10000, 2_500_000),
    Market("uniswap_v3", "WETH", "USDT", 500, 12_000_000),
    Market("uniswap_v3", "WETH", "USDT", 3000, 28_000_000),
    Market("uniswap_v3", "WETH", "DAI", 500, 3_000_000),
    Market("uniswap_v3", "WETH", "DAI", 3000, 5_000_000),
    Market("uniswap_v3", "WBTC", "WETH", 500, 20_000_000),
    Market("uniswap_v3", "WBTC", "WETH", 3000, 35_000_000),
    Market("uniswap_v3", "WBTC", "WETH", 10000, 1_000_000),
    Market("uniswap_v3", "WBTC", "USDC", 3000, 15_000_000),
    Market("uniswap_v3", "WBTC", "USDT", 3000, 12_000_000),
    Market("uniswap_v3", "LINK", "WETH", 3000, 10_000_000),
    Market("uniswap_v3", "LINK", "WETH", 10000, 800_000),
    Market("uniswap_v3", "LINK", "USDC", 3000, 900_000),
    Market("uniswap_v3", "UNI", "WETH", 3000, 12_000_000),
    Market("uniswap_v3", "UNI", "WETH", 10000, 1_500_000),
    Market("uniswap_v3", "AAVE", "WETH", 3000, 7_000_000),
    Market("uniswap_v3", "AAVE", "USDC", 3000, 600_000),
    Market("uniswap_v3", "DAI", "USDC", 100, 20_000_000),
    Market("uniswap_v3", "DAI", "USDC", 500, 2_000_000),
    Market("uniswap_v3", "USDC", "USDT", 100, 30_000_000),
    Market("uniswap_v3", "USDC", "USDT", 500, 3_000_000),
    Market("uniswap_v4", "WETH", "USDC", 500, 25_000_000, native=True),
    Market("uniswap_v4", "WETH", "USDT", 3000, 8_000_000, native=True),
    Market("uniswap_v4", "WBTC", "WETH", 3000, 6_000_000),
    Market("uniswap_v4", "LINK", "USDC", 3000, 1_200_000),
    Market("uniswap_v4", "USDC", "USDT", 100, 16_000_000),
)

VAULT_MARKETS: Final = (
    VaultMarket("balancer_weighted", {"AAVE": 80, "WETH": 20}, 3000, 5_000_000),
    VaultMarket("balancer_weighted", {"WBTC": 40, "WETH": 40, "USDC": 20}, 2500, 9_000_000),
    VaultMarket("balancer_stable", {"USDC": 33, "USDT": 33, "DAI": 33}, 100, 18_000_000, amplification=500),
)


class DevKey(NamedTuple):
    """An account that anvil funds at start."""

    address: str
    private_key: str


def _dev_keys() -> tuple[DevKey, ...]:
    Account.enable_unaudited_hdwallet_features()
    mnemonic = "test test test test test test test test test test test junk"
    accounts = (Account.from_mnemonic(mnemonic, account_path=f"m/44'/60'/0'/0/{index}") for index in range(10))
    return tuple(DevKey(account.address, f"0x{bytes(account.key).hex()}") for account in accounts)


DEV_KEYS: Final = _dev_keys()
"""The ten accounts of the well-known test mnemonic. Everybody has these keys: never fund them on a real chain."""
