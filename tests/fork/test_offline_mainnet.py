"""The ground that Ape's fork gives: what holds on the offline mainnet holds, with MAINNET_RPC_URL, on the real one."""

import pytest
from ape import Contract
from ape.contracts import ContractInstance
from ape.managers.accounts import TestAccountManager
from ape.managers.chain import ChainManager

from keeper.chain import artifacts
from keeper.devnet import FACTORIES, FEEDS, TOKENS, Devnet

WETH, USDC, USDT = (TOKENS[symbol].address for symbol in ("WETH", "USDC", "USDT"))
USDC_WETH_V2 = "0xB4e16d0168e52d35CaCD2c6185b44281Ec28C9Dc"
USDC_WETH_V3 = {
    500: "0x88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640",
    3000: "0x8ad599c3A0ff1De082011EFDDc58f1908eb6e6D8",
    10000: "0x7BeA39867e4169DBe237d55C8242a8f2fcDcc387",
}


def contract(address: str, name: str) -> ContractInstance:
    return Contract(address, abi=artifacts.load(name).abi)


def test_the_fork_has_mainnets_chain_id(chain: ChainManager) -> None:
    assert chain.chain_id == 1


def test_every_new_block_has_a_base_fee(chain: ChainManager) -> None:
    chain.mine(3)

    assert chain.blocks.head.base_fee > 0


def test_the_v2_factory_knows_its_most_traded_pair() -> None:
    assert contract(FACTORIES["uniswap_v2"], "IUniswapV2Factory").getPair(WETH, USDC) == USDC_WETH_V2


@pytest.mark.parametrize("fee", USDC_WETH_V3)
def test_the_v3_factory_knows_its_most_traded_pools(fee: int) -> None:
    assert contract(FACTORIES["uniswap_v3"], "IUniswapV3Factory").getPool(WETH, USDC, fee) == USDC_WETH_V3[fee]


@pytest.mark.parametrize("symbol", TOKENS)
def test_a_token_has_the_decimals_of_the_table(symbol: str) -> None:
    token = contract(TOKENS[symbol].address, "DevToken")

    assert (token.symbol(), token.decimals()) == (symbol, TOKENS[symbol].decimals)


@pytest.mark.parametrize("symbol", FEEDS)
def test_a_feed_is_the_one_of_the_table(symbol: str) -> None:
    feed = contract(FEEDS[symbol].address, "DevFeed")

    assert (feed.description(), feed.decimals()) == (FEEDS[symbol].description, 8)
    assert feed.latestRoundData().answer > 0


def test_usdt_returns_nothing(chain: ChainManager, accounts: TestAccountManager) -> None:
    approve = contract(USDT, "DevTokenNoReturn").approve.as_transaction(accounts[1], 1, sender=accounts[0])
    call = {"from": accounts[0].address, "to": USDT, "data": approve.data.to_0x_hex()}

    assert chain.provider.make_request("eth_call", [call, "latest"]) == "0x"


def test_ether_is_wrapped_and_sold_in_a_real_pair(accounts: TestAccountManager) -> None:
    trader = accounts[0]
    weth, usdc = contract(WETH, "DevToken"), contract(USDC, "DevToken")
    pair = contract(USDC_WETH_V2, "IUniswapV2Pair")
    reserve_usdc, reserve_weth, _ = pair.getReserves()
    paid = 997 * 10**18
    due = paid * reserve_usdc // (1000 * reserve_weth + paid)
    before = usdc.balanceOf(trader)  # people do send money to well-known test accounts

    trader.transfer(WETH, 10**18)
    weth.transfer(USDC_WETH_V2, 10**18, sender=trader)
    pair.swap(due, 0, trader, b"", sender=trader)

    assert usdc.balanceOf(trader) == before + due


def test_the_market_moves_on_a_fork_too(devnet: Devnet) -> None:
    reserve_usdc, reserve_weth, _ = contract(USDC_WETH_V2, "IUniswapV2Pair").getReserves()
    devnet.move_prices({"WETH": "2175"})  # half
    moved_usdc, moved_weth, _ = contract(USDC_WETH_V2, "IUniswapV2Pair").getReserves()

    assert moved_usdc / moved_weth == pytest.approx(reserve_usdc / reserve_weth / 2, rel=1e-6)


@pytest.mark.mainnet
def test_a_fork_of_the_real_chain_starts_after_the_merge(chain: ChainManager) -> None:
    assert chain.blocks.head.number > 15_537_394
