"""The open auction against the offline mainnet: the keeper is gone, and somebody else rebalances in its place."""

from decimal import Decimal

import pytest

from keeper.chain import bindings
from keeper.chain.artifacts import ROOT
from keeper.chain.errors import NodeError, Refused
from keeper.chain.lens import Lens, Reading
from keeper.chain.venues import UniswapV2Venue
from keeper.devnet import DEV_KEYS, FACTORIES, TOKENS
from keeper.devnet.world import transact
from keeper.domain import InputError
from keeper.routing.steps import Amount, Recipient, Step
from keeper.submit.auction import (
    Fill,
    deploy_filler,
    elapsed_until,
    fill_auction,
    obstacle,
    open_auction,
    plan_fill,
    slippage_after,
)
from keeper.submit.deployer import AuctionConfig, DeployConfig, deploy
from keeper.submit.errors import SimulationError
from keeper.submit.order import Order, OrderSell
from keeper.submit.program import encode_program
from keeper.units import WAD

DEPLOYER, KEEPER, STRANGER, SOLVER = DEV_KEYS[:4]
GRACE, LENGTH = 3600, 1200
V2 = UniswapV2Venue(kind="uniswap_v2", factory=FACTORIES["uniswap_v2"])


class Auction:
    """A vault on the devnet and a solver with an inventory of every token in its account."""

    def __init__(self, devnet):
        self.devnet = devnet
        self.endpoint = devnet.endpoint
        example = DeployConfig.load(ROOT / "examples" / "deploy.yaml")
        terms = AuctionConfig(open_band=Decimal("0.1"), premium=Decimal("0.01"), keeper_grace=GRACE, length=LENGTH)
        self.config = example.model_copy(update={"auction": terms})
        devnet.refresh_feeds()
        self.deployment = deploy(devnet.endpoint, self.config, DEPLOYER.address, self.sends(DEPLOYER), lambda _: None)
        for asset in self.config.assets:
            devnet.deal(asset.token, SOLVER.address, int(2 * asset.amount * 10 ** self.decimals(asset.token)))

    def sends(self, account):
        return lambda to, data: transact(self.endpoint, to, data, sender=account.address)

    def decimals(self, token: str) -> int:
        return bindings.view(self.endpoint, bindings.ERC20, token, "decimals", block="latest")

    def held(self, token: str, account: str) -> int:
        return bindings.view(self.endpoint, bindings.ERC20, token, "balanceOf", account, block="latest")

    def vault(self, function: str):
        return bindings.view(self.endpoint, "IndexVault", self.deployment.vault, function, block="latest")

    def read(self, *venues: UniswapV2Venue) -> Reading:
        lens = Lens(
            chain_id=1,
            vault=self.deployment.vault,
            native_token=self.deployment.native_token,
            connectors=(),
            venues=venues,
            tick_words=1,
        )
        return lens.read(self.endpoint)

    def drift_apart(self) -> None:
        self.devnet.move_prices({"LINK": "34", "WBTC": "130000", "UNI": "5"})

    def wait(self, seconds: int) -> None:
        self.devnet.mine(seconds=seconds)
        self.devnet.refresh_feeds()

    def open(self) -> Reading:
        """Out of balance, left alone, and up for auction."""
        self.wait(GRACE)
        self.drift_apart()
        open_auction(self.read(), self.sends(STRANGER))
        return self.read()

    def fill(self, reading: Reading, fill: Fill, filler: str) -> dict[str, int]:
        return fill_auction(
            self.endpoint,
            reading,
            fill,
            filler,
            owner=SOLVER.address,
            send=self.sends(SOLVER),
            progress=lambda _: None,
        )


@pytest.fixture
def auction(devnet) -> Auction:
    return Auction(devnet)


def price_now(reading: Reading) -> int:
    return slippage_after(reading.vault, reading.block.timestamp - reading.vault.auction_opened_at)


def test_the_lens_says_what_the_vault_says_of_its_auction(auction):
    vault = auction.open().vault
    assert vault.auction == auction.config.auction.encoded()
    assert vault.open_nonce == auction.vault("openNonce") == 0
    assert vault.calm_at == auction.vault("calmAt") > 0
    assert vault.auction_opened_at == auction.vault("auctionOpenedAt") > 0


def test_no_auction_while_the_keeper_may_still_come(auction):
    auction.drift_apart()
    reading = auction.read()
    assert "the keeper counts as silent in another" in (obstacle(reading) or "")
    with pytest.raises(Refused, match="no auction can be opened"):
        open_auction(reading, auction.sends(STRANGER))
    with pytest.raises(NodeError) as refused:
        auction.sends(STRANGER)(auction.deployment.vault, bindings.interface("IndexVault").encode("openAuction"))
    assert bindings.explain(refused.value.data).startswith("KeeperNotSilent")


def test_no_auction_inside_the_band(auction):
    auction.wait(GRACE)
    reading = auction.read()
    assert "is not above the auction's band 10%" in (obstacle(reading) or "")
    with pytest.raises(NodeError) as refused:
        auction.sends(STRANGER)(auction.deployment.vault, bindings.interface("IndexVault").encode("openAuction"))
    assert bindings.explain(refused.value.data).startswith("BelowDeadBand")


def test_a_fill_at_the_premium_raises_nav_and_leaves_the_keepers_nonce(auction):
    reading = auction.open()
    nav, nonce = auction.vault("nav"), auction.vault("nonce")
    before = auction.vault("balances")
    slippage = price_now(reading)
    assert slippage < 0
    fill = plan_fill(reading, slippage)
    assert fill.margin < 0
    filler = deploy_filler(SOLVER.address, auction.sends(SOLVER))
    done = auction.fill(reading, fill, filler)

    assert auction.vault("nav") == done["nav1"] == nav - fill.margin > nav
    assert auction.vault("nonce") == nonce
    assert auction.vault("openNonce") == 1
    moved = [after - old for old, after in zip(before, auction.vault("balances"), strict=True)]
    expected = [0] * len(before)
    for leg in fill.sells:
        expected[leg.index] = -leg.amount
        assert auction.held(leg.token, filler) == leg.amount
    for leg in fill.buys:
        expected[leg.index] = leg.amount
        assert auction.held(leg.token, filler) == 0
    assert moved == expected
    assert done["drift1"] == fill.drift_after < fill.drift_before
    assert all(auction.held(token.address, auction.deployment.executor) == 0 for token in TOKENS.values())


def test_a_fill_below_the_line_is_not_sent(auction):
    reading = auction.open()
    # What the line gives in ten minutes, asked for now.
    stingy = plan_fill(reading, slippage_after(reading.vault, LENGTH // 2))
    filler = deploy_filler(SOLVER.address, auction.sends(SOLVER))
    with pytest.raises(SimulationError, match="UnfairTrade"):
        auction.fill(reading, stingy, filler)
    assert auction.vault("openNonce") == 0


def test_the_same_fill_is_accepted_once_the_line_is_there(auction):
    reading = auction.open()
    slippage = slippage_after(reading.vault, LENGTH // 2 + 300)
    assert slippage > 0
    stingy = plan_fill(reading, slippage)
    assert stingy.margin > 0
    elapsed = elapsed_until(reading.vault, slippage)
    assert elapsed is not None
    auction.wait(elapsed)
    filler = deploy_filler(SOLVER.address, auction.sends(SOLVER))
    done = auction.fill(auction.read(), stingy, filler)
    assert done["nav0"] - done["nav1"] == stingy.margin


def test_the_largest_fill_that_is_planned_at_any_price_is_accepted(auction):
    reading = auction.open()
    filler = deploy_filler(SOLVER.address, auction.sends(SOLVER))
    for elapsed in (LENGTH // 4, LENGTH // 2, LENGTH - 120):
        with auction.devnet.isolated():
            auction.wait(elapsed)
            reading = auction.read()
            fill = plan_fill(reading, price_now(reading))
            done = auction.fill(reading, fill, filler)
            assert done["drift1"] == fill.drift_after


def test_a_fill_below_the_least_part_of_the_gap_is_refused(auction):
    reading = auction.open()
    with pytest.raises(Refused, match="by less than"):
        plan_fill(reading, price_now(reading), WAD // 100)


def test_a_fill_starts_the_price_over(auction):
    reading = auction.open()
    auction.wait(LENGTH // 4)
    reading = auction.read()
    filler = deploy_filler(SOLVER.address, auction.sends(SOLVER))
    auction.fill(reading, plan_fill(reading, price_now(reading), WAD // 4), filler)
    assert price_now(auction.read()) < price_now(reading)


def test_nothing_is_moved_while_the_vault_cools_down(auction):
    reading = auction.open()
    filler = deploy_filler(SOLVER.address, auction.sends(SOLVER))
    auction.fill(reading, plan_fill(reading, price_now(reading), WAD // 4), filler)
    reading = auction.read()
    fill = plan_fill(reading, price_now(reading))
    with pytest.raises(Refused, match="cooling down for another"):
        auction.fill(reading, fill, filler)
    assert all(auction.held(leg.token, filler) == 0 for leg in fill.buys)


def test_somebody_elses_filler_is_bad_input(auction):
    reading = auction.open()
    filler = deploy_filler(STRANGER.address, auction.sends(STRANGER))
    with pytest.raises(InputError, match="does not belong to"):
        auction.fill(reading, plan_fill(reading, price_now(reading)), filler)


def test_a_solver_without_the_tokens_is_bad_input(auction):
    reading = auction.open()
    fill = plan_fill(reading, price_now(reading))
    filler = deploy_filler(SOLVER.address, auction.sends(SOLVER))
    leg = fill.buys[0]
    give = bindings.ERC20.encode("transfer", STRANGER.address, auction.held(leg.token, SOLVER.address))
    auction.sends(SOLVER)(leg.token, give)
    with pytest.raises(InputError, match="holds 0 raw units"):
        auction.fill(reading, fill, filler)


def test_an_order_that_the_keeper_has_signed_survives_a_fill(auction):
    reading = auction.open()
    link, weth = TOKENS["LINK"].address, TOKENS["WETH"].address
    pair = next(pool for pool in auction.read(V2).pools if set(pool.tokens) == {link, weth})
    index = next(i for i, facts in enumerate(reading.basket) if facts.token.address == link)
    amount = reading.vault.balances[index] // 50
    signed = Order(
        nonce=reading.vault.nonce + 1,
        deadline=reading.block.timestamp + 3600,
        epoch=reading.vault.epoch,
        sells=(OrderSell(index, amount, pair.address),),
        buys=(),
        route=encode_program((Step(pair, link, weth, Amount.PREFUNDED, amount, Recipient.CALLER),)),
    )
    filler = deploy_filler(SOLVER.address, auction.sends(SOLVER))
    auction.fill(reading, plan_fill(reading, price_now(reading), WAD // 2), filler)
    assert auction.vault("nonce") == reading.vault.nonce

    auction.wait(auction.config.limits.cooldown)
    call = bindings.interface("IndexVault").encode("rebalance", signed.encode())
    auction.sends(KEEPER)(auction.deployment.vault, call)
    assert auction.vault("nonce") == signed.nonce
