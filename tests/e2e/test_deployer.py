"""An oracle of more than plain feeds, deployed to the offline mainnet and read back."""

from typing import Any

import pytest

from keeper.chain.artifacts import ROOT
from keeper.chain.bindings import constructor_call, interface, view
from keeper.chain.deployment import Deployment
from keeper.devnet import DEV_KEYS, FACTORIES, FEEDS, TOKENS, Devnet
from keeper.devnet.world import transact
from keeper.domain import InputError
from keeper.submit.deployer import AnchorConfig, DeployConfig, FeedConfig, QuoteConfig, SequencerConfig, deploy, verify

OWNER = DEV_KEYS[0].address
WETH, USDC, DAI = (TOKENS[symbol].address for symbol in ("WETH", "USDC", "DAI"))


@pytest.fixture
def config(devnet: Devnet) -> DeployConfig:
    """The example on a chain with a sequencer, WETH anchored in its pool with USDC, and DAI priced by two feeds."""
    uptime = transact(devnet.endpoint, None, constructor_call("DevFeed"))["contractAddress"]
    feed = interface("DevFeed")
    transact(devnet.endpoint, uptime, feed.encode("initialize", 0, "L2 Sequencer Uptime", 0, 1))
    transact(devnet.endpoint, uptime, feed.encode("setAnswer", 0))
    devnet.mine(seconds=3601)
    devnet.refresh_feeds()

    pool = view(
        devnet.endpoint, "IUniswapV3Factory", FACTORIES["uniswap_v3"], "getPool", WETH, USDC, 500, block="latest"
    )
    stable: Any = {"heartbeat": 90_000, "min_price": "0.9", "max_price": "1.1"}
    quote = QuoteConfig(feed=FEEDS["USDC"].address, **stable)
    example = DeployConfig.load(ROOT / "examples" / "deploy.yaml")
    weth, *others = example.assets
    anchored = weth.model_copy(update={"anchor": AnchorConfig(pool=pool, window=1800, max_deviation="0.05")})
    return example.model_copy(
        update={
            "assets": (anchored, *others),
            "feeds": (FeedConfig(token=DAI, feed=FEEDS["DAI"].address, quote=quote, **stable),),
            "sequencer": SequencerConfig(feed=uptime, grace=3600),
        }
    )


def seed(devnet: Devnet, config: DeployConfig) -> list[int]:
    decimals = {token.address: token.decimals for token in TOKENS.values()}
    amounts = [int(asset.amount.scaleb(decimals[asset.token])) for asset in config.assets]
    for asset, amount in zip(config.assets, amounts, strict=True):
        devnet.deal(asset.token, OWNER, amount)
    return amounts


def deployed(devnet: Devnet, config: DeployConfig, beside: Deployment | None = None) -> Deployment:
    return deploy(
        devnet.endpoint,
        config,
        OWNER,
        lambda to, data: transact(devnet.endpoint, to, data, sender=OWNER),
        lambda _: None,
        beside=beside,
    )


def test_anchored_and_composed_prices_are_those_of_plain_feeds(devnet, config):
    seed(devnet, config)
    oracle = deployed(devnet, config).oracle
    prices = view(devnet.endpoint, "PriceOracle", oracle, "prices", [WETH, USDC, DAI], block="latest")
    expected = [devnet.prices()[symbol] for symbol in ("WETH", "USDC", "DAI")]
    assert prices[:2] == tuple(int(price.scaleb(18)) for price in expected[:2])
    assert prices[2] == int((expected[2] * expected[1]).scaleb(18))


def test_what_the_oracle_says_of_anchor_quote_and_sequencer_is_compared_with_the_file(devnet, config):
    amounts = seed(devnet, config)
    deployment = deployed(devnet, config)
    verify(devnet.endpoint, config, deployment, amounts)

    weth, *others = config.assets
    (dai,) = config.feeds
    wider = weth.anchor.model_copy(update={"max_deviation": weth.anchor.max_deviation * 2})
    slower = dai.quote.model_copy(update={"heartbeat": 4500})
    longer = config.sequencer.model_copy(update={"grace": 7200})
    for function, change in {
        "feeds": {"assets": (weth.model_copy(update={"anchor": wider}), *others)},
        "feeds()": {"feeds": (dai.model_copy(update={"quote": slower}),)},
        "sequencer": {"sequencer": longer},
    }.items():
        with pytest.raises(InputError, match=f"PriceOracle.{function.removesuffix('()')}\\(\\) at 0x"):
            verify(devnet.endpoint, config.model_copy(update=change), deployment, amounts)


@pytest.mark.parametrize("part", ["quote", "anchor", "sequencer"])
def test_a_source_without_code_is_refused_before_anything_is_sent(devnet, config, part):
    seed(devnet, config)
    nowhere = "0x" + "77" * 20
    weth, *others = config.assets
    (dai,) = config.feeds
    changes = {
        "quote": {"feeds": (dai.model_copy(update={"quote": dai.quote.model_copy(update={"feed": nowhere})}),)},
        "anchor": {
            "assets": (
                weth.model_copy(update={"anchor": weth.anchor.model_copy(update={"pool": nowhere})}),
                *others,
            )
        },
        "sequencer": {"sequencer": SequencerConfig(feed=nowhere, grace=1)},
    }
    before = devnet.endpoint.quantity("eth_getTransactionCount", OWNER, "latest")
    with pytest.raises(InputError, match=f"there is no contract at {nowhere}"):
        deployed(devnet, config.model_copy(update=changes[part]))
    assert devnet.endpoint.quantity("eth_getTransactionCount", OWNER, "latest") == before


def test_a_vault_beside_another_one_shares_its_oracle_and_executor(devnet, config):
    seed(devnet, config)
    first = deployed(devnet, config)
    seed(devnet, config)
    second = deployed(devnet, config, first)  # read back and compared with the configuration
    assert second.vault != first.vault
    assert (second.oracle, second.executor, second.admin) == (first.oracle, first.executor, first.admin)


def test_a_vault_is_not_put_beside_one_with_another_oracle(devnet, config):
    seed(devnet, config)
    first = deployed(devnet, config)
    before = devnet.endpoint.quantity("eth_getTransactionCount", OWNER, "latest")
    with pytest.raises(InputError, match=r"PriceOracle.feeds\(\)"):
        deployed(devnet, config.model_copy(update={"feeds": ()}), first)
    assert devnet.endpoint.quantity("eth_getTransactionCount", OWNER, "latest") == before
