// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IVaultEvents, VaultConfig} from "../../contracts/interfaces/IIndexVault.sol";
import {FeedConfig, IPriceOracle} from "../../contracts/interfaces/IPriceOracle.sol";
import {IVaultChanges} from "../../contracts/interfaces/IVaultAdmin.sol";
import {PriceOracle} from "../../contracts/PriceOracle.sol";
import {Book} from "../../contracts/libraries/Book.sol";
import {Guard} from "../../contracts/libraries/Guard.sol";
import {Order, OrderLib} from "../../contracts/libraries/OrderLib.sol";
import {Feed} from "./utils/Feeds.sol";
import {TestToken} from "./utils/Tokens.sol";
import {VaultTest} from "./utils/VaultTest.sol";

/// @notice Gliding targets, membership of the basket, and the oracle that prices it.
contract VaultAdminTargetsTest is VaultTest {
    uint256 internal constant SIXTH = 5;

    /* -------------------------------------------------- GLIDE -------------------------------------------------- */

    function test_targets_move_linearly_to_their_end_and_stay_there() external {
        _change(_glide(USDC, LINK, 0.2e18, 4 days));
        _targetsAre(USDC, 0.2e18, LINK, 0.2e18);
        skip(1 days);
        _targetsAre(USDC, 0.25e18, LINK, 0.15e18);
        skip(1 days);
        _targetsAre(USDC, 0.3e18, LINK, 0.1e18);
        skip(2 days - 1);
        _targetsAre(USDC, 0.4e18 - 578_703_703_704, LINK, 578_703_703_703);
        skip(1);
        _targetsAre(USDC, 0.4e18, LINK, 0);
        skip(365 days);
        _targetsAre(USDC, 0.4e18, LINK, 0);
    }

    function test_a_glide_is_told_by_its_event() external {
        bytes memory data = _glide(USDC, LINK, 0.2e18, 4 days);
        _submit(data);
        _wait(TIMELOCK);
        uint256[] memory from = vault.targets();
        vm.expectEmit(address(vault));
        emit IVaultEvents.TargetsSet(
            tokens, from, _moved(USDC, LINK, 0.2e18), block.timestamp, block.timestamp + 4 days, 0
        );
        _accept(data);

        Book memory b = vault.book();
        assertEq(b.from, from);
        assertEq(b.to, _moved(USDC, LINK, 0.2e18));
        assertEq(b.glideStart, block.timestamp);
        assertEq(b.glideEnd, block.timestamp + 4 days);
    }

    function test_a_glide_takes_a_week_for_half_of_the_basket() external {
        // 0.4 of change at seven days each: 2.8 days.
        _changeRefused(
            _glide(USDC, LINK, 0.2e18, 241_919),
            abi.encodeWithSelector(IVaultEvents.GlideTooShort.selector, 241_919, 241_920)
        );
        _change(_glide(USDC, LINK, 0.2e18, 241_920));
    }

    function test_the_least_duration_is_rounded_up() external {
        _changeRefused(_glide(USDC, LINK, 1, 0), abi.encodeWithSelector(IVaultEvents.GlideTooShort.selector, 0, 1));
        _change(_glide(USDC, LINK, 1, 1));
    }

    function test_targets_that_stay_need_no_time() external {
        _change(_glide(USDC, LINK, 0, 0));
        _targetsAre(USDC, 0.2e18, LINK, 0.2e18);
    }

    function test_a_glide_lasts_at_most_a_year() external {
        _changeRefused(
            _glide(USDC, LINK, 0.2e18, 365 days + 1),
            abi.encodeWithSelector(
                IVaultEvents.LimitOutOfBounds.selector, bytes32("duration"), 365 days + 1, 0, 365 days
            )
        );
        _change(_glide(USDC, LINK, 0.2e18, 365 days));
    }

    function test_a_new_glide_starts_where_the_old_one_is() external {
        // The first is half over when the second, back to where it came from, is accepted.
        bytes memory back = _glide(USDC, LINK, 0, 1.4 days);
        bytes memory tooFast = _glide(USDC, LINK, 0, 1.4 days - 1);
        _submit(_glide(USDC, LINK, 0.2e18, 4 days));
        skip(2 days);
        _submit(back);
        _submit(tooFast);
        _wait(1 days);
        _accept(_glide(USDC, LINK, 0.2e18, 4 days));
        _wait(2 days);

        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.GlideTooShort.selector, 1.4 days - 1, 1.4 days));
        _accept(tooFast);
        _accept(back);
        _targetsAre(USDC, 0.3e18, LINK, 0.1e18);
        skip(0.7 days);
        _targetsAre(USDC, 0.25e18, LINK, 0.15e18);
        skip(0.7 days);
        _targetsAre(USDC, 0.2e18, LINK, 0.2e18);
    }

    function test_a_batch_is_judged_by_the_targets_of_its_moment() external {
        VaultConfig memory c = _offTarget(DAI, LINK);
        (c.amounts[DAI], c.amounts[LINK]) = (_raw(DAI, NAV / ASSETS), _raw(LINK, NAV / ASSETS));
        c.limits.dust = 0;
        _deploy(c);
        _change(_glide(LINK, DAI, 0.1e18, 4 days));

        // Half-way DAI is to be 15% and LINK 25%: 50,000 USD, and not a wei more.
        _wait(2 days);
        _refused(
            _trade(DAI, 50_000e18 + 1, LINK, _raw(LINK, 50_000e18)),
            abi.encodeWithSelector(Guard.NotTowardsTarget.selector, 100_000e18 + 1, 100_000e18 - 1, 0)
        );
        _rebalance(_trade(DAI, 50_000e18, LINK, _raw(LINK, 50_000e18)));
    }

    function test_guardian_curator_and_owner_stop_a_glide_where_it_is() external {
        address[3] memory by = [guardian, curator, owner];
        for (uint256 i; i < by.length; ++i) {
            _deploy(_offTarget(DAI, LINK));
            _change(_glide(USDC, LINK, 0.2e18, 4 days));
            skip(1 days);
            uint256[] memory here = _moved(USDC, LINK, 0.05e18);
            vm.expectEmit(address(vault));
            emit IVaultEvents.TargetsSet(tokens, here, here, block.timestamp, block.timestamp, 0);
            vm.prank(by[i]);
            admin.stopGlide();

            skip(3 days);
            assertEq(vault.targets(), here);
        }
    }

    function test_new_targets_sum_to_one() external {
        uint256[] memory weights = vault.targets();
        weights[0] += 1;
        _changeRefused(
            abi.encodeCall(IVaultChanges.setTargets, (tokens, weights, 1)),
            abi.encodeWithSelector(IVaultEvents.WeightsDoNotSumToOne.selector, WAD + 1)
        );
    }

    function test_new_targets_name_every_asset() external {
        address[] memory fewer = new address[](1);
        uint256[] memory weights = new uint256[](1);
        (fewer[0], weights[0]) = (tokens[0], WAD);
        _changeRefused(
            abi.encodeCall(IVaultChanges.setTargets, (fewer, weights, 14 days)),
            abi.encodeWithSelector(IVaultEvents.LengthMismatch.selector, 1, 5)
        );
        _changeRefused(
            abi.encodeCall(IVaultChanges.setTargets, (tokens, weights, 14 days)),
            abi.encodeWithSelector(IVaultEvents.LengthMismatch.selector, 1, 5)
        );
    }

    function test_new_targets_keep_the_order_of_the_basket() external {
        address[] memory swapped = vault.assets();
        (swapped[USDC], swapped[LINK]) = (swapped[LINK], swapped[USDC]);
        _changeRefused(
            abi.encodeCall(IVaultChanges.setTargets, (swapped, vault.targets(), 0)),
            abi.encodeWithSelector(IVaultEvents.ForbiddenAsset.selector, tokens[LINK])
        );
    }

    /* -------------------------------------------------- ADDING -------------------------------------------------- */

    function test_a_token_is_added_with_target_zero_and_glides_in() external {
        _priceSixth();
        _change(_adding(tokens[SIXTH], 0.1e18, 4 days));

        assertEq(vault.assets(), tokens);
        assertEq(vault.targets()[SIXTH], 0);
        assertEq(vault.balances()[SIXTH], 0);
        assertEq(vault.book().units[SIXTH], 1e8);
        skip(2 days);
        assertEq(vault.targets()[SIXTH], 0.05e18);
        skip(2 days);
        assertEq(vault.targets()[SIXTH], 0.1e18);
    }

    function test_a_token_that_was_added_can_be_bought() external {
        _priceSixth();
        _change(_adding(tokens[SIXTH], 0.1e18, 4 days));
        _wait(4 days);
        _rebalance(_trade(DAI, 100_000e18, SIXTH, _raw(SIXTH, 100_000e18)));
        assertEq(vault.weights()[SIXTH], 0.1e18);
    }

    function test_an_addition_raises_the_epoch_and_says_so() external {
        _priceSixth();
        bytes memory data = _adding(tokens[SIXTH], 0.1e18, 4 days);
        _submit(data);
        _wait(TIMELOCK);
        Book memory b = vault.book();
        uint256[] memory from = new uint256[](ASSETS + 1);
        uint256[] memory to = new uint256[](ASSETS + 1);
        for (uint256 i; i < ASSETS; ++i) {
            from[i] = to[i] = b.to[i];
        }
        (to[DAI], to[SIXTH]) = (0.1e18, 0.1e18);
        vm.expectEmit(address(vault));
        emit IVaultEvents.TargetsSet(tokens, from, to, block.timestamp, block.timestamp + 4 days, 1);
        _accept(data);
        assertEq(vault.basketEpoch(), 1);
    }

    function test_new_weights_alone_leave_the_epoch() external {
        _change(_glide(USDC, LINK, 0.2e18, 4 days));
        assertEq(vault.basketEpoch(), 0);
    }

    function test_an_order_for_the_basket_before_an_addition_is_refused() external {
        _priceSixth();
        _change(_adding(tokens[SIXTH], 0.1e18, 4 days));
        skip(12);
        Order memory order = _order();
        order.sells = _sells(DAI, 1e18, address(0));
        order.epoch = 0;
        _refused(
            OrderLib.encode(order, abi.encode(_calls(_paid(LINK, 1e17)))),
            abi.encodeWithSelector(IVaultEvents.WrongEpoch.selector, 0, 1)
        );
    }

    function test_a_mint_and_a_redemption_for_the_basket_before_an_addition_are_refused() external {
        _priceSixth();
        _change(_adding(tokens[SIXTH], 0.1e18, 4 days));
        vm.startPrank(holder);
        uint256[] memory bounds = new uint256[](ASSETS);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.WrongEpoch.selector, 0, 1));
        vault.mint(1e18, holder, bounds, 0);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.WrongEpoch.selector, 0, 1));
        vault.redeem(1e18, holder, holder, bounds, 0);
        vault.redeem(1e18, holder, holder, new uint256[](ASSETS + 1), 1);
    }

    function test_a_token_without_a_price_is_not_added() external {
        address unpriced = address(new TestToken("NEW", 18));
        _changeRefused(
            _adding(unpriced, 0.1e18, 4 days), abi.encodeWithSelector(IPriceOracle.NoFeed.selector, unpriced)
        );
    }

    function test_a_token_is_not_added_twice() external {
        _changeRefused(
            _adding(tokens[DAI], 0.1e18, 4 days),
            abi.encodeWithSelector(IVaultEvents.ForbiddenAsset.selector, tokens[DAI])
        );
        // Nor may it stand twice among the added ones.
        _priceSixth();
        address[] memory both = new address[](ASSETS + 2);
        uint256[] memory weights = new uint256[](ASSETS + 2);
        for (uint256 i; i < ASSETS; ++i) {
            (both[i], weights[i]) = (tokens[i], WAD / ASSETS);
        }
        both[ASSETS] = both[ASSETS + 1] = tokens[SIXTH];
        _changeRefused(
            abi.encodeCall(IVaultChanges.setTargets, (both, weights, 0)),
            abi.encodeWithSelector(IVaultEvents.ForbiddenAsset.selector, tokens[SIXTH])
        );
    }

    function test_the_vaults_own_share_is_not_added() external {
        _changeRefused(
            _adding(address(vault), 0.1e18, 4 days),
            abi.encodeWithSelector(IVaultEvents.ForbiddenAsset.selector, address(vault))
        );
    }

    function test_a_token_of_more_than_eighteen_decimals_is_not_added() external {
        address fine = address(new TestToken("FINE", 19));
        _changeRefused(
            _adding(fine, 0.1e18, 4 days), abi.encodeWithSelector(IVaultEvents.ForbiddenAsset.selector, fine)
        );
    }

    function test_an_account_without_code_is_not_added() external {
        _changeRefused(_adding(stranger, 0.1e18, 4 days), "");
    }

    function test_there_is_no_thirty_third_asset() external {
        VaultConfig memory c = _offTarget(DAI, LINK);
        for (uint256 i = ASSETS; i < 33; ++i) {
            _list("MORE", 18, 8, 1e18);
        }
        oracle = _oracle();
        c.oracle = address(oracle);
        c.tokens = new address[](31);
        c.weights = new uint256[](31);
        c.amounts = new uint256[](31);
        for (uint256 i; i < 31; ++i) {
            (c.tokens[i], c.amounts[i]) = (tokens[i], units[i]);
        }
        c.weights[0] = WAD;
        _deploy(c);

        address[] memory more = tokens;
        uint256[] memory weights = new uint256[](33);
        weights[0] = WAD;
        _changeRefused(
            abi.encodeCall(IVaultChanges.setTargets, (more, weights, 0)),
            abi.encodeWithSelector(IVaultEvents.TooManyAssets.selector, 33, 32)
        );
        assembly ("memory-safe") {
            mstore(more, 32)
            mstore(weights, 32)
        }
        _change(abi.encodeCall(IVaultChanges.setTargets, (more, weights, 0)));
        assertEq(vault.assets(), more);
        assertGt(vault.nav(), 0);
    }

    /* ------------------------------------------------- PRUNING ------------------------------------------------- */

    function test_a_basis_point_of_nav_is_dust_and_not_a_unit_more() external {
        _dusty();
        uint256 before = vm.snapshotState();
        TestToken(tokens[USDC]).mint(address(vault), 1);
        vm.prank(curator);
        vm.expectRevert(
            abi.encodeWithSelector(IVaultEvents.NotPrunable.selector, tokens[USDC], 100.000001e18, 100e18 + 1e8)
        );
        admin.prune(tokens[USDC]);

        vm.revertToState(before);
        vm.prank(curator);
        admin.prune(tokens[USDC]);
        assertEq(vault.nav(), NAV - 100e18);
    }

    function test_what_counts_as_dust_is_rounded_down() external {
        _dusty();
        vm.prank(address(vault));
        TestToken(tokens[DAI]).transfer(address(this), 1);
        vm.prank(curator);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.NotPrunable.selector, tokens[USDC], 100e18, 100e18 - 1));
        admin.prune(tokens[USDC]);
    }

    function test_pruning_takes_a_token_out_and_the_ones_behind_it_move_up() external {
        _dusty();
        vm.expectEmit(address(vault));
        emit IVaultEvents.Settled(1, 1, 0, 0);
        vm.expectEmit(address(vault));
        emit IVaultEvents.Pruned(tokens[USDC], 1);
        vm.prank(curator);
        admin.prune(tokens[USDC]);

        Book memory b = vault.book();
        assertEq(vault.basketEpoch(), 1);
        assertEq(b.tokens.length, ASSETS - 1);
        for (uint256 i; i < b.tokens.length; ++i) {
            assertEq(b.tokens[i], tokens[i + 1]);
            assertEq(b.units[i], units[i + 1]);
            assertEq(vault.targets()[i], i + 1 == WETH ? 0.4e18 : 0.2e18);
            assertEq(vault.balances()[i], _balanceOf(i + 1, address(vault)));
        }
        // The dust stays behind, nobody's.
        assertEq(_balanceOf(USDC, address(vault)), 100e6);
    }

    function test_after_a_pruning_orders_for_the_old_places_are_refused() external {
        _dusty();
        vm.prank(curator);
        admin.prune(tokens[USDC]);
        skip(12);

        Order memory order = _order();
        order.sells = _sells(DAI - 1, 1_000e18, address(0));
        bytes memory route = abi.encode(_calls(_paid(LINK, _raw(LINK, 1_000e18))));
        order.epoch = 0;
        _refused(OrderLib.encode(order, route), abi.encodeWithSelector(IVaultEvents.WrongEpoch.selector, 0, 1));
        order.epoch = 1;
        _rebalance(OrderLib.encode(order, route));
        assertEq(_balanceOf(DAI, address(market)), 1_000e18);
    }

    function test_the_owner_prunes_too() external {
        _dusty();
        vm.prank(owner);
        admin.prune(tokens[USDC]);
    }

    function test_a_token_whose_target_has_not_reached_zero_is_not_pruned() external {
        _deploy(_emptyUsdc(0.2e18));
        _change(_glide(LINK, USDC, 0.2e18, 4 days));
        _wait(4 days - 1);
        vm.prank(curator);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.NotPrunable.selector, tokens[USDC], 0, 80e18));
        admin.prune(tokens[USDC]);
        _wait(1);
        vm.prank(curator);
        admin.prune(tokens[USDC]);
    }

    function test_a_token_whose_target_is_to_rise_from_zero_is_not_pruned() external {
        _deploy(_emptyUsdc(0));
        _change(_glide(USDC, LINK, 0.2e18, 4 days));
        assertEq(vault.targets()[USDC], 0);
        vm.prank(curator);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.NotPrunable.selector, tokens[USDC], 0, 80e18));
        admin.prune(tokens[USDC]);
    }

    function test_a_token_outside_the_basket_is_not_pruned() external {
        vm.prank(curator);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.NotInBasket.selector, stranger));
        admin.prune(stranger);
    }

    function test_dust_is_judged_at_prices() external {
        _dusty();
        feeds[LINK].setDead(true);
        vm.prank(curator);
        vm.expectRevert(_noAnswer(LINK));
        admin.prune(tokens[USDC]);
    }

    function test_a_quarantined_token_is_pruned_without_a_balance_only() external {
        _change(abi.encodeCall(IVaultChanges.quarantine, (tokens[WETH])));
        feeds[WETH].setDead(true);
        feeds[LINK].setDead(true);
        TestToken weth = TestToken(tokens[WETH]);
        weth.burn(address(vault), weth.balanceOf(address(vault)) - 1);
        vm.prank(curator);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.NotPrunable.selector, tokens[WETH], 1, 0));
        admin.prune(tokens[WETH]);

        weth.burn(address(vault), 1);
        vm.prank(curator);
        admin.prune(tokens[WETH]);
        assertEq(vault.assets().length, ASSETS - 1);
    }

    function test_what_is_reserved_of_a_quarantined_token_does_not_keep_it() external {
        vm.mockCallRevert(tokens[WETH], abi.encodeWithSignature("transfer(address,uint256)"), "");
        _redeem(holder, SHARES / 2);
        vm.clearMockedCalls();
        _change(abi.encodeCall(IVaultChanges.quarantine, (tokens[WETH])));
        TestToken(tokens[WETH]).burn(address(vault), vault.balances()[WETH]);
        vm.prank(curator);
        admin.prune(tokens[WETH]);
        uint256 reserved = vault.reserved(tokens[WETH]);
        vm.prank(holder);
        assertEq(vault.claim(tokens[WETH], holder, 0), reserved);
    }

    function test_a_quarantined_token_that_no_longer_exists_is_pruned() external {
        _change(abi.encodeCall(IVaultChanges.quarantine, (tokens[WETH])));
        vm.etch(tokens[WETH], "");
        vm.prank(curator);
        admin.prune(tokens[WETH]);
        assertEq(vault.assets().length, ASSETS - 1);
    }

    function test_claims_survive_pruning_and_adding_again() external {
        // All USDC that is left in the vault is reserved for a claim.
        _dusty();
        vm.mockCallRevert(tokens[USDC], abi.encodeWithSignature("transfer(address,uint256)"), "");
        vm.prank(holder);
        vault.redeem(SHARES / 2, holder, holder, new uint256[](ASSETS), 0);
        vm.clearMockedCalls();
        assertEq(vault.claimOf(tokens[USDC], holder), 50e6);

        vm.prank(curator);
        admin.prune(tokens[USDC]);
        assertEq(vault.claimOf(tokens[USDC], holder), 50e6);
        uint256 before = vm.snapshotState();
        vm.prank(holder);
        assertEq(vault.claim(tokens[USDC], holder, 50e6), 50e6);

        // Added again, the basket finds what was left behind, without what is reserved.
        vm.revertToState(before);
        address[] memory again = new address[](ASSETS);
        uint256[] memory weights = new uint256[](ASSETS);
        for (uint256 i; i < ASSETS - 1; ++i) {
            (again[i], weights[i]) = (vault.assets()[i], vault.targets()[i]);
        }
        again[ASSETS - 1] = tokens[USDC];
        _change(abi.encodeCall(IVaultChanges.setTargets, (again, weights, 0)));
        assertEq(vault.basketEpoch(), 2);
        assertEq(vault.balances()[ASSETS - 1], 50e6);
        vm.prank(holder);
        assertEq(vault.claim(tokens[USDC], holder, 50e6), 50e6);
        assertEq(vault.balances()[ASSETS - 1], 50e6);
    }

    /* ------------------------------------------------ QUARANTINE ------------------------------------------------ */

    function test_a_quarantine_is_told_by_its_events() external {
        bytes memory data = abi.encodeCall(IVaultChanges.quarantine, (tokens[WETH]));
        _submit(data);
        _wait(TIMELOCK);
        uint256[] memory scaled = _scaled();
        vm.expectEmit(address(vault));
        emit IVaultEvents.Quarantined(tokens[WETH]);
        vm.expectEmit(address(vault));
        emit IVaultEvents.TargetsSet(tokens, scaled, scaled, block.timestamp, block.timestamp, 0);
        _accept(data);
        assertTrue(vault.book().quarantined[WETH]);
        assertEq(vault.basketEpoch(), 0);
    }

    function test_a_quarantined_token_leaves_nav_and_the_other_targets_fill_its_place() external {
        _change(abi.encodeCall(IVaultChanges.quarantine, (tokens[WETH])));
        assertEq(vault.nav(), NAV - NAV / ASSETS);
        assertEq(vault.targets(), _scaled());
        assertEq(vault.weights()[WETH], 0);
        assertEq(vault.weights()[USDC], 0.25e18);
    }

    function test_a_quarantine_freezes_a_glide_where_it_is() external {
        _submit(_glide(USDC, LINK, 0.2e18, 4 days));
        _submit(abi.encodeCall(IVaultChanges.quarantine, (tokens[WETH])));
        _wait(TIMELOCK);
        _accept(_glide(USDC, LINK, 0.2e18, 4 days));
        _wait(2 days);
        _accept(abi.encodeCall(IVaultChanges.quarantine, (tokens[WETH])));

        // USDC 30% and LINK 10% of the 80% that is left.
        _targetsAre(USDC, 0.375e18, LINK, 0.125e18);
        skip(2 days);
        _targetsAre(USDC, 0.375e18, LINK, 0.125e18);
    }

    function test_rescaled_targets_are_rounded_down() external {
        VaultConfig memory c = _offTarget(DAI, LINK);
        (c.weights[USDC], c.weights[WBTC], c.weights[WETH]) = (0.1e18, 0.2e18, 0.3e18);
        _deploy(c);
        _change(abi.encodeCall(IVaultChanges.quarantine, (tokens[WETH])));
        assertEq(vault.targets()[USDC], 142_857_142_857_142_857);
        assertEq(vault.targets()[WBTC], 285_714_285_714_285_714);
    }

    function test_a_quarantined_token_cannot_be_sold() external {
        _change(abi.encodeCall(IVaultChanges.quarantine, (tokens[WETH])));
        skip(12);
        // Not even if the market pays for it, nor for nothing.
        _refused(
            _trade(WETH, 1, LINK, _raw(LINK, 1_000e18)),
            abi.encodeWithSelector(IVaultEvents.MovesQuarantined.selector, tokens[WETH])
        );
        _refused(
            _trade(WETH, 0, LINK, _raw(LINK, 1_000e18)),
            abi.encodeWithSelector(IVaultEvents.MovesQuarantined.selector, tokens[WETH])
        );
    }

    function test_a_quarantined_token_cannot_be_bought() external {
        _change(abi.encodeCall(IVaultChanges.quarantine, (tokens[WETH])));
        skip(12);
        _refused(
            _trade(DAI, 1_000e18, WETH, _raw(WETH, 1_000e18)),
            abi.encodeWithSelector(Guard.UnfairTrade.selector, 1_000e18, 0, 0.05e18)
        );
        Order memory order = _order();
        order.buys = _buys(WETH, 1);
        _refused(
            OrderLib.encode(order, abi.encode(_calls(_paid(WETH, 1)))),
            abi.encodeWithSelector(IVaultEvents.BelowMinOut.selector, tokens[WETH], 0, 1)
        );
    }

    function test_a_quarantined_token_is_still_minted_with_and_redeemed_pro_rata() external {
        _change(abi.encodeCall(IVaultChanges.quarantine, (tokens[WETH])));
        uint256 held = _balanceOf(WETH, address(vault));
        assertEq(vault.previewMint(SHARES / 10)[WETH], held / 10);
        vm.prank(holder);
        uint256[] memory got = vault.redeem(SHARES / 10, holder, holder, new uint256[](ASSETS), 0);
        assertEq(got[WETH], held / 10);
        assertEq(_balanceOf(WETH, holder), held / 10);
    }

    function test_the_dead_feed_of_a_quarantined_token_stops_nothing() external {
        feeds[WETH].setDead(true);
        _refused(_trade(DAI, 1e18, LINK, 1e17), _noAnswer(WETH));
        _change(abi.encodeCall(IVaultChanges.quarantine, (tokens[WETH])));
        skip(12);
        _rebalance(_trade(DAI, 1_000e18, LINK, _raw(LINK, 1_000e18)));
        vault.openAuction();
    }

    function test_the_dead_balance_of_a_quarantined_token_stops_no_rebalance() external {
        vm.mockCallRevert(tokens[WETH], abi.encodeWithSignature("balanceOf(address)"), "");
        _refused(
            _trade(DAI, 1e18, LINK, 1e17), abi.encodeWithSelector(IVaultEvents.BalanceUnknown.selector, tokens[WETH])
        );
        _change(abi.encodeCall(IVaultChanges.quarantine, (tokens[WETH])));
        skip(12);
        _rebalance(_trade(DAI, 1_000e18, LINK, _raw(LINK, 1_000e18)));
    }

    function test_a_quarantined_token_stays_so_when_another_is_added() external {
        _priceSixth();
        _change(abi.encodeCall(IVaultChanges.quarantine, (tokens[WETH])));
        uint256[] memory targets = vault.targets();
        address[] memory more = new address[](ASSETS + 1);
        uint256[] memory weights = new uint256[](ASSETS + 1);
        for (uint256 i; i < ASSETS; ++i) {
            (more[i], weights[i]) = (tokens[i], targets[i]);
        }
        more[ASSETS] = tokens[SIXTH];
        _change(abi.encodeCall(IVaultChanges.setTargets, (more, weights, 0)));
        for (uint256 i; i < ASSETS + 1; ++i) {
            assertEq(vault.book().quarantined[i], i == WETH);
        }
    }

    function test_only_an_asset_is_quarantined_and_only_once() external {
        _changeRefused(
            abi.encodeCall(IVaultChanges.quarantine, (stranger)),
            abi.encodeWithSelector(IVaultEvents.NotInBasket.selector, stranger)
        );
        _change(abi.encodeCall(IVaultChanges.quarantine, (tokens[WETH])));
        _changeRefused(
            abi.encodeCall(IVaultChanges.quarantine, (tokens[WETH])),
            abi.encodeWithSelector(IVaultEvents.ForbiddenAsset.selector, tokens[WETH])
        );
    }

    function test_the_only_token_with_a_target_is_not_quarantined() external {
        VaultConfig memory c = _offTarget(DAI, LINK);
        c.weights = new uint256[](ASSETS);
        c.weights[WETH] = WAD;
        _deploy(c);
        _changeRefused(
            abi.encodeCall(IVaultChanges.quarantine, (tokens[WETH])),
            abi.encodeWithSelector(IVaultEvents.ForbiddenAsset.selector, tokens[WETH])
        );
    }

    function test_a_quarantined_token_gets_no_target() external {
        _change(abi.encodeCall(IVaultChanges.quarantine, (tokens[WETH])));
        uint256[] memory weights = _scaled();
        (weights[WETH], weights[USDC]) = (1, 0.25e18 - 1);
        _changeRefused(
            abi.encodeCall(IVaultChanges.setTargets, (tokens, weights, 14 days)),
            abi.encodeWithSelector(IVaultEvents.ForbiddenAsset.selector, tokens[WETH])
        );
        (weights[WETH], weights[USDC]) = (0, 0.25e18);
        _change(abi.encodeCall(IVaultChanges.setTargets, (tokens, weights, 14 days)));
        assertTrue(vault.book().quarantined[WETH]);
    }

    /* -------------------------------------------------- ORACLE -------------------------------------------------- */

    function test_a_new_oracle_takes_over() external {
        PriceOracle next = _oracle();
        bytes memory data = abi.encodeCall(IVaultChanges.setOracle, (address(next)));
        _submit(data);
        _wait(TIMELOCK);
        vm.expectEmit(address(vault));
        emit IVaultEvents.OracleSet(address(next));
        _accept(data);
        assertEq(vault.book().oracle, address(next));
        assertEq(vault.nav(), NAV);
    }

    function test_a_new_oracle_agrees_with_the_old_one_within_two_percent() external {
        uint256[2] memory inside = [uint256(51_000e18), 49_000e18];
        uint256[2] memory outside = [uint256(51_000e18 + 1), 49_000e18 - 1];
        for (uint256 i; i < 2; ++i) {
            _deploy(_offTarget(DAI, LINK));
            _changeRefused(
                abi.encodeCall(IVaultChanges.setOracle, (_oracleWith(WBTC, outside[i]))),
                abi.encodeWithSelector(IVaultEvents.OracleDisagrees.selector, tokens[WBTC], 50_000e18, outside[i])
            );
            address next = _oracleWith(WBTC, inside[i]);
            _change(abi.encodeCall(IVaultChanges.setOracle, (next)));
            assertEq(vault.book().oracle, next);
        }
    }

    function test_what_two_oracles_may_differ_by_is_rounded_down() external {
        _change(abi.encodeCall(IVaultChanges.setOracle, (_oracleWith(WBTC, 50_000e18 + 1))));
        _changeRefused(
            abi.encodeCall(IVaultChanges.setOracle, (_oracleWith(WBTC, 51_000e18 + 2))),
            abi.encodeWithSelector(IVaultEvents.OracleDisagrees.selector, tokens[WBTC], 50_000e18 + 1, 51_000e18 + 2)
        );
        _change(abi.encodeCall(IVaultChanges.setOracle, (_oracleWith(WBTC, 51_000e18 + 1))));
    }

    function test_every_asset_is_compared() external {
        for (uint256 i; i < ASSETS; ++i) {
            _changeRefused(
                abi.encodeCall(IVaultChanges.setOracle, (_oracleWith(i, prices[i] * 103 / 100))),
                abi.encodeWithSelector(
                    IVaultEvents.OracleDisagrees.selector, tokens[i], prices[i], prices[i] * 103 / 100
                )
            );
        }
    }

    function test_oracles_are_compared_when_the_change_is_accepted() external {
        bytes memory data = abi.encodeCall(IVaultChanges.setOracle, (_oracleWith(WBTC, 60_000e18)));
        _submit(data);
        _wait(TIMELOCK);
        vm.expectRevert(
            abi.encodeWithSelector(IVaultEvents.OracleDisagrees.selector, tokens[WBTC], 50_000e18, 60_000e18)
        );
        _accept(data);
        _setPrice(WBTC, 60_000e18);
        _accept(data);
    }

    function test_where_the_old_oracle_refuses_there_is_nothing_to_agree_with() external {
        address next = _oracleWith(WBTC, 60_000e18);
        feeds[WBTC].setDead(true);
        _change(abi.encodeCall(IVaultChanges.setOracle, (next)));
        assertEq(vault.nav(), NAV + 40_000e18);
    }

    function test_where_the_old_oracle_refuses_one_the_others_are_still_compared() external {
        address next = _oracleWith(LINK, 11e18);
        feeds[WBTC].setDead(true);
        _changeRefused(abi.encodeCall(IVaultChanges.setOracle, (next)), _noAnswer(WBTC));
        feeds[WBTC].setDead(false);
        feeds[USDC].setDead(true);
        _changeRefused(
            abi.encodeCall(IVaultChanges.setOracle, (_oracleWithout(USDC, LINK, 11e18))),
            abi.encodeWithSelector(IVaultEvents.OracleDisagrees.selector, tokens[LINK], 10e18, 11e18)
        );
    }

    function test_a_new_oracle_prices_the_whole_basket() external {
        FeedConfig[] memory configs = new FeedConfig[](1);
        configs[0] = oracle.feeds()[0];
        address poor = address(new PriceOracle(configs, address(0), 0));
        _changeRefused(
            abi.encodeCall(IVaultChanges.setOracle, (poor)),
            abi.encodeWithSelector(IPriceOracle.NoFeed.selector, tokens[WBTC])
        );
    }

    function test_a_new_oracle_has_code() external {
        _changeRefused(
            abi.encodeCall(IVaultChanges.setOracle, (stranger)),
            abi.encodeWithSelector(IVaultEvents.NoCode.selector, stranger)
        );
    }

    function test_a_quarantined_token_needs_no_price_of_a_new_oracle() external {
        FeedConfig[] memory all = oracle.feeds();
        FeedConfig[] memory fewer = new FeedConfig[](ASSETS - 1);
        for (uint256 i; i < fewer.length; ++i) {
            fewer[i] = all[i < WETH ? i : i + 1];
        }
        _change(abi.encodeCall(IVaultChanges.quarantine, (tokens[WETH])));
        _change(abi.encodeCall(IVaultChanges.setOracle, (address(new PriceOracle(fewer, address(0), 0)))));
        assertEq(vault.nav(), NAV - NAV / ASSETS);
    }

    /// @dev Whoever accepts chooses the gas. With too little of it the old oracle fails, which may not look like one
    ///      that has nothing to say.
    function test_starving_the_old_oracle_of_gas_does_not_spare_the_comparison() external {
        bytes memory data = abi.encodeCall(IVaultChanges.setOracle, (_oracleWith(LINK, 20e18)));
        _submit(data);
        _wait(TIMELOCK);
        for (uint256 left = 50_000; left < 1_000_000; left += 2_500) {
            (bool ok,) = address(vault).call{gas: left}(abi.encodeCall(admin.accept, (data)));
            assertFalse(ok);
        }
    }

    /* ------------------------------------------------- HELPERS ------------------------------------------------- */

    /// @dev Equal targets, with `change` of them moved from one asset to another.
    function _moved(uint256 to, uint256 from, uint256 change) internal view returns (uint256[] memory weights) {
        weights = new uint256[](vault.assets().length);
        for (uint256 i; i < weights.length; ++i) {
            weights[i] = WAD / ASSETS;
        }
        weights[to] += change;
        weights[from] -= change;
    }

    function _glide(uint256 to, uint256 from, uint256 change, uint256 duration) internal view returns (bytes memory) {
        uint256[] memory weights = vault.book().to;
        weights[to] += change;
        weights[from] -= change;
        return abi.encodeCall(IVaultChanges.setTargets, (tokens, weights, duration));
    }

    /// @dev Adds a token, which takes its weight from DAI.
    function _adding(address token, uint256 weight, uint256 duration) internal view returns (bytes memory) {
        address[] memory more = new address[](ASSETS + 1);
        uint256[] memory weights = new uint256[](ASSETS + 1);
        for (uint256 i; i < ASSETS; ++i) {
            (more[i], weights[i]) = (tokens[i], WAD / ASSETS);
        }
        (more[ASSETS], weights[ASSETS]) = (token, weight);
        weights[DAI] -= weight;
        return abi.encodeCall(IVaultChanges.setTargets, (more, weights, duration));
    }

    /// @dev Lists a sixth token, in no basket yet, and gives the vault an oracle that knows it.
    function _priceSixth() internal {
        _list("SIXTH", 8, 8, 100e18);
        oracle = _oracle();
        _change(abi.encodeCall(IVaultChanges.setOracle, (address(oracle))));
    }

    /// @dev A vault whose USDC has target zero and is worth one basis point of NAV.
    function _dusty() internal {
        VaultConfig memory c = _emptyUsdc(0);
        (c.amounts[USDC], c.amounts[WETH]) = (100e6, _raw(WETH, 399_900e18));
        _deploy(c);
    }

    /// @dev A vault without USDC, worth 800,000 USD, that has this target for it.
    function _emptyUsdc(uint256 weight) internal view returns (VaultConfig memory c) {
        c = _offTarget(DAI, LINK);
        c.weights[WETH] += c.weights[USDC] - weight;
        (c.weights[USDC], c.amounts[USDC]) = (weight, 0);
    }

    function _scaled() internal pure returns (uint256[] memory weights) {
        weights = new uint256[](ASSETS);
        for (uint256 i; i < ASSETS; ++i) {
            if (i != WETH) weights[i] = 0.25e18;
        }
    }

    /// @dev An oracle with the same feeds but for one, which quotes `price`.
    function _oracleWith(uint256 index, uint256 price) internal returns (address) {
        FeedConfig[] memory configs = oracle.feeds();
        Feed feed = new Feed(18, int192(int256(price)));
        feeds.push(feed);
        configs[index].feed = address(feed);
        return address(new PriceOracle(configs, address(0), 0));
    }

    /// @dev The same, with a new feed for `renewed` that quotes what the old one did.
    function _oracleWithout(uint256 renewed, uint256 index, uint256 price) internal returns (address) {
        FeedConfig[] memory configs = PriceOracle(_oracleWith(index, price)).feeds();
        Feed feed = new Feed(8, int192(int256(prices[renewed] / 1e10)));
        feeds.push(feed);
        configs[renewed].feed = address(feed);
        return address(new PriceOracle(configs, address(0), 0));
    }

    function _targetsAre(uint256 a, uint256 weightA, uint256 b, uint256 weightB) internal view {
        uint256[] memory targets = vault.targets();
        assertEq(targets[a], weightA);
        assertEq(targets[b], weightB);
    }
}
