// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IndexVault} from "../../contracts/IndexVault.sol";
import {AuctionTerms, IVaultEvents, VaultConfig} from "../../contracts/interfaces/IIndexVault.sol";
import {IVaultChanges} from "../../contracts/interfaces/IVaultAdmin.sol";
import {Guard} from "../../contracts/libraries/Guard.sol";
import {Order, OrderLib} from "../../contracts/libraries/OrderLib.sol";
import {Feed} from "./utils/Feeds.sol";
import {Call} from "./utils/ScriptedExecutor.sol";
import {VaultTest} from "./utils/VaultTest.sol";

/// @notice Rebalancing without a keeper: when it opens, at what price, and that it is bounded as the keeper is.
contract IndexVaultAuctionTest is VaultTest {
    uint256 internal constant PREMIUM = 0.02e18;
    uint256 internal constant SLIPPAGE = 0.03e18;
    uint256 internal constant LENGTH = 2 hours;
    uint256 internal constant GRACE = 1 days;

    address internal filler = makeAddr("filler");

    /// @dev Drift is 20%, the band 10%. The price falls from a premium of 2% to a slippage of 3% in two hours.
    function setUp() public override {
        super.setUp();
        _deploy(_config());
    }

    /* ------------------------------------------------- OPENING ------------------------------------------------- */

    function test_anyone_opens_an_auction() external {
        _wait(GRACE);
        vm.expectEmit(address(vault));
        emit IVaultEvents.AuctionOpened(stranger, 0.2e18);
        vm.prank(stranger);
        vault.openAuction();
        assertEq(vault.auctionOpenedAt(), block.timestamp);
    }

    function test_an_auction_opens_above_the_band_and_not_at_it() external {
        VaultConfig memory c = _config();
        c.auction.openBand = 0.2e18;
        _deploy(c);
        _wait(GRACE);
        vm.expectRevert(abi.encodeWithSelector(Guard.BelowDeadBand.selector, 0.2e18, 0.2e18));
        vault.openAuction();

        c.auction.openBand = 0.2e18 - 1;
        _deploy(c);
        _wait(GRACE);
        vault.openAuction();
    }

    function test_an_auction_waits_until_the_keepers_grace_is_over() external {
        uint256 silentAt = block.timestamp + GRACE;
        _wait(GRACE - 1);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.KeeperNotSilent.selector, silentAt - 1, silentAt));
        vault.openAuction();
        _wait(1);
        vault.openAuction();
    }

    function test_no_auction_opens_while_one_runs() external {
        _open();
        uint256 openedAt = block.timestamp;
        _wait(LENGTH);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.AuctionRunning.selector, openedAt));
        vault.openAuction();
        // The next second it has expired.
        _wait(1);
        vault.openAuction();
        assertEq(vault.auctionOpenedAt(), block.timestamp);
    }

    function test_no_auction_opens_in_a_pause() external {
        _wait(GRACE);
        vm.prank(guardian);
        admin.pause();
        uint256 until = block.timestamp + 7 days;
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.RebalancingPaused.selector, until));
        vault.openAuction();
        _wait(7 days);
        vault.openAuction();
    }

    function test_no_auction_opens_without_prices() external {
        _wait(GRACE);
        feeds[LINK].setDead(true);
        vm.expectRevert(_noAnswer(LINK));
        vault.openAuction();
    }

    function test_without_a_keeper_the_auction_rebalances() external {
        vm.prank(guardian);
        admin.dropKeeper();
        _open();
        _fillAt(LENGTH * 2 / 5, OFF, _raw(LINK, OFF));
        assertEq(_drift(), 0);
    }

    /* -------------------------------------------------- PRICE -------------------------------------------------- */

    function test_the_first_price_is_the_premium() external {
        _priceAt(0, 10_200e18, -int256(PREMIUM));
    }

    function test_a_fifth_of_the_way_the_premium_has_halved() external {
        _priceAt(LENGTH / 5, 10_100e18, -0.01e18);
    }

    function test_two_fifths_of_the_way_the_price_is_fair() external {
        _priceAt(LENGTH * 2 / 5, 10_000e18, 0);
    }

    function test_half_of_the_way_the_vault_pays() external {
        _priceAt(LENGTH / 2, 9_950e18, 0.005e18);
    }

    function test_the_last_price_is_the_slippage() external {
        _priceAt(LENGTH, 9_700e18, int256(SLIPPAGE));
    }

    function test_after_its_length_the_auction_is_over() external {
        _open();
        uint256 openedAt = block.timestamp;
        _wait(LENGTH + 1);
        assertEq(vault.auctionOpenedAt(), 0);
        _unfilled(
            _fill(DAI, 10_000e18, LINK, _raw(LINK, 10_200e18)),
            abi.encodeWithSelector(IVaultEvents.NoAuction.selector, openedAt, block.timestamp)
        );
    }

    function test_without_an_auction_nothing_is_filled() external {
        _wait(GRACE);
        _unfilled(
            _fill(DAI, 10_000e18, LINK, _raw(LINK, 10_200e18)),
            abi.encodeWithSelector(IVaultEvents.NoAuction.selector, 0, block.timestamp)
        );
    }

    /// @dev `elapsed` after the opening, 10,000 USD of DAI are sold for LINK worth `price`, and not for less.
    function _priceAt(uint256 elapsed, uint256 price, int256 slippage) internal {
        _open();
        _wait(elapsed);
        uint256 least = _rawUp(LINK, price);
        _unfilled(
            _fill(DAI, 10_000e18, LINK, least - 1),
            abi.encodeWithSelector(Guard.UnfairTrade.selector, 10_000e18, price - 10, slippage)
        );
        vm.prank(filler);
        vault.rebalanceOpen(_fill(DAI, 10_000e18, LINK, least));
    }

    /* -------------------------------------------------- FILLING -------------------------------------------------- */

    function test_a_fill_is_told_by_its_event() external {
        _open();
        bytes memory order = _fill(DAI, 10_000e18, LINK, _raw(LINK, 10_200e18));
        vm.expectEmit(address(vault));
        emit IVaultEvents.AuctionFilled(1, filler, NAV, NAV + 200e18, 0.2e18, 0.1798e18, 0, 0.0202e18);
        vm.prank(filler);
        vault.rebalanceOpen(order);
    }

    function test_a_fill_closes_its_share_of_the_gap_at_least() external {
        VaultConfig memory c = _config();
        c.auction.minFill = 0.1e18;
        _deploy(c);
        _open();
        _wait(LENGTH * 2 / 5);
        // A tenth of 200,000 USD.
        uint256 least = _raw(LINK, 10_000e18);
        _unfilled(
            _fill(DAI, 10_000e18, LINK, least - 1),
            abi.encodeWithSelector(Guard.UnfairTrade.selector, 10_000e18, 10_000e18 - 10, 0)
        );
        _unfilled(
            _fill(DAI, 10_000e18 - 1, LINK, least),
            abi.encodeWithSelector(Guard.TooLittleProgress.selector, 2 * OFF, 2 * OFF - 20_000e18 + 1, 20_000e18)
        );
        vm.prank(filler);
        vault.rebalanceOpen(_fill(DAI, 10_000e18, LINK, least));
    }

    function test_the_least_fill_counts_from_what_is_left() external {
        VaultConfig memory c = _config();
        (c.auction.minFill, c.auction.openBand) = (0.5e18, 0.01e18);
        _deploy(c);
        _open();
        _wait(LENGTH * 2 / 5);
        _fillAt(0, 50_000e18, _raw(LINK, 50_000e18));
        _wait(LENGTH * 2 / 5);
        // Half of the 100,000 USD that are left.
        _unfilled(
            _fill(DAI, 25_000e18 - 1, LINK, _raw(LINK, 25_000e18)),
            abi.encodeWithSelector(Guard.TooLittleProgress.selector, OFF, OFF / 2 + 1, OFF / 2)
        );
        _fillAt(0, 25_000e18, _raw(LINK, 25_000e18));
    }

    function test_a_fill_has_a_nonce_of_its_own() external {
        _open();
        Order memory order = _order();
        order.nonce = 2;
        _unfilled(OrderLib.encode(order, ""), abi.encodeWithSelector(IVaultEvents.WrongNonce.selector, 2, 1));
        _fillAt(0, 10_000e18, _raw(LINK, 10_200e18));
        assertEq(vault.openNonce(), 1);
        assertEq(vault.nonce(), 0);
    }

    function test_a_filler_does_not_burn_the_keepers_pending_order() external {
        _open();
        bytes memory pending = _tradeUntil(block.timestamp + 12, 10_000e18);
        _fillAt(0, 10_000e18, _raw(LINK, 10_200e18));
        skip(12);
        _rebalance(pending);
        assertEq(vault.nonce(), 1);
    }

    function test_a_batch_of_the_keeper_does_not_use_the_fillers_nonce() external {
        _open();
        _rebalance(_trade(DAI, 10_000e18, LINK, _raw(LINK, 10_000e18)));
        assertEq(vault.openNonce(), 0);
        assertEq(vault.nonce(), 1);
    }

    function test_a_fill_is_carried_out_once() external {
        _open();
        bytes memory order = _fillUntil(block.timestamp + 12, 10_000e18, 10_200e18);
        vm.prank(filler);
        vault.rebalanceOpen(order);
        skip(12);
        _unfilled(order, abi.encodeWithSelector(IVaultEvents.WrongNonce.selector, 1, 2));
    }

    function test_a_fill_is_bound_to_its_deadline_and_its_basket() external {
        _open();
        bytes memory late = _fill(DAI, 10_000e18, LINK, _raw(LINK, 10_200e18));
        skip(1);
        _unfilled(late, abi.encodeWithSelector(IVaultEvents.Expired.selector, block.timestamp - 1, block.timestamp));
        Order memory order = _order();
        order.epoch = 1;
        _unfilled(OrderLib.encode(order, ""), abi.encodeWithSelector(IVaultEvents.WrongEpoch.selector, 1, 0));
    }

    function test_a_pause_stops_fills() external {
        _open();
        vm.prank(guardian);
        admin.pause();
        _unfilled(
            _fill(DAI, 10_000e18, LINK, _raw(LINK, 10_200e18)),
            abi.encodeWithSelector(IVaultEvents.RebalancingPaused.selector, block.timestamp + 7 days)
        );
    }

    function test_fills_cool_down_after_each_other_and_after_the_keeper() external {
        VaultConfig memory c = _config();
        c.limits.cooldown = 10 minutes;
        _deploy(c);
        _open();
        _fillAt(0, 10_000e18, _raw(LINK, 10_200e18));
        uint256 readyAt = block.timestamp + 10 minutes;
        skip(10 minutes - 1);
        _unfilled(
            _fill(DAI, 10_000e18, LINK, _raw(LINK, 10_200e18)),
            abi.encodeWithSelector(IVaultEvents.CoolingDown.selector, readyAt - 1, readyAt)
        );
        _refused(
            _trade(DAI, 10_000e18, LINK, _raw(LINK, 10_200e18)),
            abi.encodeWithSelector(IVaultEvents.CoolingDown.selector, readyAt - 1, readyAt)
        );
        skip(1);
        _fillAt(0, 10_000e18, _raw(LINK, 10_200e18));
    }

    function test_fills_and_batches_share_their_budgets() external {
        VaultConfig memory c = _config();
        c.limits.lossBudget = 0.001e18;
        c.limits.turnoverBudget = 0.1e18;
        c.limits.window = 1_000_000;
        _deploy(c);
        _wait(GRACE);
        // The keeper loses 300 of the 1,000 USD there are, and turns over 19,700 of 100,000.
        _rebalance(_trade(DAI, 10_000e18, LINK, _raw(LINK, 9_700e18)));
        skip(12);
        vault.openAuction();
        _wait(LENGTH);
        (uint256 loss, uint256 turnover) = vault.headroom();

        // NAV is 999,700 USD. At 3% a fill may lose no more than is left, to the wei.
        uint256 nav = 999_700e18;
        uint256 most = loss * nav / WAD;
        _unfilled(
            _fill(DAI, 30_000e18 + most + 1, LINK, _raw(LINK, 30_000e18)),
            abi.encodeWithSelector(Guard.LossBudgetExceeded.selector, 0.001e18 + 1, 0.001e18)
        );
        vm.prank(filler);
        vault.rebalanceOpen(_fill(DAI, 30_000e18 + most, LINK, _raw(LINK, 30_000e18)));
        (uint256 left, uint256 rest) = vault.headroom();
        assertEq(left, 0);
        assertEq(rest, turnover - _up(60_000e18 + most, nav));

        // And nothing is left for the keeper either.
        skip(12);
        (left,) = vault.headroom();
        bytes memory order = _trade(DAI, 10_000e18, LINK, _raw(LINK, 9_900e18));
        vm.prank(keeper);
        vm.expectPartialRevert(Guard.LossBudgetExceeded.selector);
        vault.rebalance(order);
    }

    function test_the_guard_is_the_keepers() external {
        VaultConfig memory c = _config();
        c.limits.maxBatchLoss = 0.0001e18;
        _deploy(c);
        _open();
        _wait(LENGTH);
        _unfilled(
            _fill(DAI, 10_000e18, LINK, _raw(LINK, 9_899e18)),
            abi.encodeWithSelector(Guard.BatchLossTooLarge.selector, NAV, NAV - 101e18, 0.0001e18)
        );
        _unfilled(
            _fill(DAI, OFF + 100e18, LINK, _raw(LINK, OFF + 100e18)),
            abi.encodeWithSelector(Guard.NotTowardsTarget.selector, 2 * OFF + 200e18, 2 * OFF - 200e18, 100e18)
        );
        vm.prank(filler);
        vault.rebalanceOpen(_fill(DAI, 10_000e18, LINK, _raw(LINK, 9_900e18)));
    }

    function test_a_filler_may_name_its_own_recipient_but_not_the_vault() external {
        _open();
        Order memory order = _order();
        order.sells = _sells(DAI, 10_000e18, filler);
        bytes memory route = abi.encode(_calls(_paid(LINK, _raw(LINK, 10_200e18))));
        Order memory back = _order();
        back.sells = _sells(DAI, 10_000e18, address(vault));
        _unfilled(
            OrderLib.encode(back, route),
            abi.encodeWithSelector(IVaultEvents.BadRecipient.selector, tokens[DAI], address(vault))
        );
        vm.prank(filler);
        vault.rebalanceOpen(OrderLib.encode(order, route));
        assertEq(_balanceOf(DAI, filler), 10_000e18);
    }

    /* ------------------------------------------------- RESTARTING ------------------------------------------------- */

    function test_a_fill_starts_the_price_over() external {
        _open();
        _wait(LENGTH * 2 / 5);
        _fillAt(0, 10_000e18, _raw(LINK, 10_000e18));
        assertEq(vault.auctionOpenedAt(), block.timestamp);

        skip(12);
        // 12 of 7,200 seconds at 5% over all.
        int256 slippage = int256(uint256(0.05e18) * 12 / LENGTH) - int256(PREMIUM);
        _unfilled(
            _fill(DAI, 10_000e18, LINK, _raw(LINK, 10_000e18)),
            abi.encodeWithSelector(Guard.UnfairTrade.selector, 10_000e18, 10_000e18, slippage)
        );
        _fillAt(0, 10_000e18, _raw(LINK, 10_200e18));
    }

    function test_a_fill_gives_the_auction_its_length_anew() external {
        _open();
        _wait(LENGTH);
        _fillAt(0, 10_000e18, _raw(LINK, 10_000e18));
        _wait(LENGTH);
        _fillAt(0, 10_000e18, _raw(LINK, 10_000e18));
    }

    function test_a_refused_fill_leaves_the_price_alone() external {
        _open();
        uint256 openedAt = block.timestamp;
        _wait(LENGTH / 2);
        bytes memory order = _fill(DAI, 10_000e18, LINK, 1);
        vm.prank(filler);
        vm.expectPartialRevert(Guard.UnfairTrade.selector);
        vault.rebalanceOpen(order);
        assertEq(vault.auctionOpenedAt(), openedAt);
        assertEq(vault.openNonce(), 0);
    }

    function test_new_targets_end_an_auction() external {
        _endsBy(abi.encodeCall(IVaultChanges.setTargets, (tokens, vault.targets(), 0)));
    }

    function test_a_new_oracle_ends_an_auction() external {
        _endsBy(abi.encodeCall(IVaultChanges.setOracle, (address(_oracle()))));
    }

    function test_new_limits_end_an_auction() external {
        _endsBy(abi.encodeCall(IVaultChanges.setLimits, (_config().limits, _config().auction)));
    }

    function _endsBy(bytes memory change) internal {
        _submit(change);
        _wait(TIMELOCK);
        vault.openAuction();
        _wait(LENGTH / 2);
        _accept(change);
        assertEq(vault.auctionOpenedAt(), 0);
        skip(12);
        _unfilled(
            _fill(DAI, 10_000e18, LINK, _raw(LINK, 10_200e18)),
            abi.encodeWithSelector(IVaultEvents.NoAuction.selector, 0, block.timestamp)
        );
        // It may begin again, at the premium.
        vault.openAuction();
        assertEq(vault.auctionOpenedAt(), block.timestamp);
    }

    function test_a_batch_of_the_keeper_ends_an_auction() external {
        _open();
        uint256 openedAt = block.timestamp;
        _wait(LENGTH / 2);
        _rebalance(_trade(DAI, 10_000e18, LINK, _raw(LINK, 10_000e18)));
        assertEq(vault.auctionOpenedAt(), 0);
        skip(12);
        _unfilled(
            _fill(DAI, 10_000e18, LINK, _raw(LINK, 10_200e18)),
            abi.encodeWithSelector(IVaultEvents.NoAuction.selector, openedAt, block.timestamp)
        );
        // Drift is still above the band: the keeper was not silent, but not of use either.
        vault.openAuction();
    }

    /* -------------------------------------------------- SILENCE -------------------------------------------------- */

    function test_a_batch_that_calms_the_basket_ends_the_keepers_silence() external {
        _wait(GRACE);
        // Down to a drift of the band itself.
        _rebalance(_trade(DAI, 50_000e18, LINK, _raw(LINK, 50_000e18)));
        assertEq(vault.calmAt(), block.timestamp);
        uint256 silentAt = block.timestamp + GRACE;
        _setPrice(DAI, 2e18);
        skip(12);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.KeeperNotSilent.selector, block.timestamp, silentAt));
        vault.openAuction();
    }

    function test_a_batch_that_leaves_the_basket_off_its_targets_does_not() external {
        uint256 bornAt = block.timestamp;
        _wait(GRACE);
        _rebalance(_trade(DAI, 50_000e18 - 1e6, LINK, _raw(LINK, 50_000e18)));
        assertEq(vault.calmAt(), bornAt);
        skip(12);
        vault.openAuction();
    }

    function test_a_fill_that_calms_the_basket_ends_the_auction() external {
        _open();
        _wait(LENGTH * 2 / 5);
        _fillAt(0, 50_000e18, _raw(LINK, 50_000e18));
        assertEq(vault.calmAt(), block.timestamp);
        _setPrice(DAI, 2e18);
        skip(12);
        _unfilled(
            _fill(DAI, 10_000e18, LINK, _raw(LINK, 20_400e18)),
            abi.encodeWithSelector(IVaultEvents.KeeperNotSilent.selector, block.timestamp, block.timestamp - 12 + GRACE)
        );
    }

    function test_mints_and_redemptions_leave_an_auction_alone() external {
        _open();
        uint256 openedAt = block.timestamp;
        _mint(stranger, 1e18);
        _redeem(holder, 1e18);
        assertEq(vault.auctionOpenedAt(), openedAt);
        _fillAt(0, 10_000e18, _raw(LINK, 10_200e18));
    }

    function test_an_auction_opened_on_a_spike_is_of_no_use_once_the_spike_is_over() external {
        VaultConfig memory c = _config();
        c.auction.openBand = 0.2e18;
        _deploy(c);
        _wait(GRACE);
        // DAI at 1.10 pushes drift over the band.
        _setPrice(DAI, 1.1e18);
        vault.openAuction();
        _setPrice(DAI, 1e18);
        _wait(LENGTH);
        _unfilled(
            _fill(DAI, 10_000e18, LINK, _raw(LINK, 9_700e18)),
            abi.encodeWithSelector(Guard.BelowDeadBand.selector, 0.2e18, 0.2e18)
        );
    }

    /* ------------------------------------------------- ATTACKS ------------------------------------------------- */

    function test_a_filler_that_is_called_back_finds_its_order_used_and_the_price_started_over() external {
        _open();
        _wait(LENGTH / 2);
        AuctionWitness witness = new AuctionWitness(vault);
        Order memory order = _order();
        order.sells = _sells(DAI, 10_000e18, address(0));
        bytes memory data = OrderLib.encode(
            order,
            abi.encode(
                _calls(
                    Call(address(witness), abi.encodeCall(AuctionWitness.look, ())), _paid(LINK, _raw(LINK, 10_000e18))
                )
            )
        );
        vm.prank(filler);
        vault.rebalanceOpen(data);
        assertEq(witness.openNonce(), 1);
        assertEq(witness.auctionOpenedAt(), block.timestamp);
        assertEq(witness.settledAt(), block.timestamp);
    }

    function testFuzz_no_fill_takes_more_than_the_price_line_allows(uint256 elapsed, uint256 sold, uint256 bought)
        external
    {
        _open();
        elapsed = bound(elapsed, 0, LENGTH);
        sold = bound(sold, 1e18, OFF);
        bought = bound(bought, sold * 9 / 100, sold * 11 / 100);
        _wait(elapsed);
        bytes memory order = _fill(DAI, sold, LINK, bought);
        vm.prank(filler);
        try vault.rebalanceOpen(order) {
            // Bought value, in tenths of LINK's price, at least (1 - s) of what was sold.
            int256 slippage = int256(uint256(PREMIUM + SLIPPAGE) * elapsed / LENGTH) - int256(PREMIUM);
            assertGe(bought * 10 * WAD, sold * uint256(int256(WAD) - slippage));
        } catch {
            assertEq(vault.openNonce(), 0);
        }
    }

    /* ------------------------------------------------- HELPERS ------------------------------------------------- */

    function _config() internal view returns (VaultConfig memory c) {
        c = _offTarget(DAI, LINK);
        c.limits.maxSlippage = uint64(SLIPPAGE);
        c.auction = AuctionTerms({
            openBand: 0.1e18,
            premium: uint64(PREMIUM),
            minFill: 0.01e18,
            keeperGrace: uint32(GRACE),
            length: uint32(LENGTH)
        });
    }

    function _open() internal {
        _wait(GRACE);
        vault.openAuction();
    }

    /// @dev Waits, then fills.
    function _fillAt(uint256 elapsed, uint256 sold, uint256 bought) internal {
        _wait(elapsed);
        bytes memory order = _fill(DAI, sold, LINK, bought);
        vm.prank(filler);
        vault.rebalanceOpen(order);
    }

    function _unfilled(bytes memory order, bytes memory reason) internal {
        vm.prank(filler);
        vm.expectRevert(reason);
        vault.rebalanceOpen(order);
    }

    /// @dev A fill that sells DAI for LINK worth `price` and is good until `deadline`.
    function _fillUntil(uint256 deadline, uint256 sold, uint256 price) internal view returns (bytes memory) {
        Order memory order = _order();
        order.nonce = vault.openNonce() + 1;
        order.deadline = deadline;
        order.sells = _sells(DAI, sold, address(0));
        return OrderLib.encode(order, abi.encode(_calls(_paid(LINK, _raw(LINK, price)))));
    }

    function _tradeUntil(uint256 deadline, uint256 sold) internal view returns (bytes memory) {
        Order memory order = _order();
        order.deadline = deadline;
        order.sells = _sells(DAI, sold, address(0));
        return OrderLib.encode(order, abi.encode(_calls(_paid(LINK, _raw(LINK, sold)))));
    }

    function _drift() internal view returns (uint256 drift) {
        uint256[] memory weights = vault.weights();
        uint256[] memory targets = vault.targets();
        for (uint256 i; i < ASSETS; ++i) {
            drift += weights[i] > targets[i] ? weights[i] - targets[i] : targets[i] - weights[i];
        }
    }

    function _up(uint256 usd, uint256 nav) internal pure returns (uint256) {
        return (usd * WAD + nav - 1) / nav;
    }
}

/// @notice Remembers what the vault said of its auction when it was called.
contract AuctionWitness {
    IndexVault internal immutable _vault;
    uint256 public openNonce;
    uint256 public auctionOpenedAt;
    uint256 public settledAt;

    constructor(IndexVault vault) {
        _vault = vault;
    }

    function look() external {
        (openNonce, auctionOpenedAt, settledAt) = (_vault.openNonce(), _vault.auctionOpenedAt(), _vault.settledAt());
    }
}
