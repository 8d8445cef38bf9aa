// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {IIndexVault, IVaultEvents, VaultConfig} from "../../contracts/interfaces/IIndexVault.sol";
import {IPriceOracle} from "../../contracts/interfaces/IPriceOracle.sol";
import {IVaultChanges} from "../../contracts/interfaces/IVaultAdmin.sol";
import {Guard} from "../../contracts/libraries/Guard.sol";
import {Buy, Order, OrderLib, Sell} from "../../contracts/libraries/OrderLib.sol";
import {Feed} from "./utils/Feeds.sol";
import {Call} from "./utils/ScriptedExecutor.sol";
import {FeeToken, FreezableToken, NoReturnToken, TestToken} from "./utils/Tokens.sol";
import {VaultTest} from "./utils/VaultTest.sol";

/// @notice Each step of a rebalance, just inside and just outside of its bound.
contract IndexVaultRebalanceTest is VaultTest {
    /* ---------------------------------------------- WHO AND WHEN ---------------------------------------------- */

    function test_the_keeper_rebalances() external {
        _rebalance(_trade(DAI, _raw(DAI, OFF), LINK, _raw(LINK, OFF)));

        uint256[] memory weights = vault.weights();
        for (uint256 i; i < ASSETS; ++i) {
            assertEq(weights[i], WAD / ASSETS);
        }
        assertEq(vault.nonce(), 1);
        assertEq(vault.settledAt(), block.timestamp);
    }

    function test_nobody_but_the_keeper_rebalances() external {
        bytes memory order = _trade(DAI, 1e18, LINK, 1e17);
        address[3] memory others = [stranger, owner, address(market)];
        for (uint256 i; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(IVaultEvents.Unauthorized.selector, others[i]));
            vault.rebalance(order);
        }
    }

    function test_a_removed_keeper_rebalances_no_more() external {
        _change(abi.encodeCall(IVaultChanges.setKeeper, (stranger)));
        skip(12);
        _refused(_trade(DAI, 1e18, LINK, 1e17), abi.encodeWithSelector(IVaultEvents.Unauthorized.selector, keeper));
    }

    function test_a_paused_vault_does_not_rebalance() external {
        bytes memory order = _trade(DAI, 1e18, LINK, 1e17);
        vm.prank(owner);
        admin.setPaused(true);
        _refused(order, abi.encodeWithSelector(IVaultEvents.RebalancingPaused.selector, type(uint40).max));

        vm.prank(owner);
        admin.setPaused(false);
        _rebalance(order);
    }

    function test_an_order_takes_effect_once() external {
        Order memory order = _order();
        order.deadline = block.timestamp + 1 hours;
        order.sells = _sells(DAI, 1e18, address(0));
        bytes memory data = OrderLib.encode(order, abi.encode(_calls(_paid(LINK, 1e17))));
        _rebalance(data);

        skip(12);
        _refused(data, abi.encodeWithSelector(IVaultEvents.WrongNonce.selector, 1, 2));
    }

    function test_an_order_may_not_run_ahead_of_its_turn() external {
        Order memory order = _order();
        order.nonce = 2;
        order.sells = _sells(DAI, 1e18, address(0));
        _refused(
            OrderLib.encode(order, abi.encode(_calls(_paid(LINK, 1e17)))),
            abi.encodeWithSelector(IVaultEvents.WrongNonce.selector, 2, 1)
        );
    }

    function test_an_order_is_good_until_its_deadline_and_no_longer() external {
        bytes memory order = _trade(DAI, 1e18, LINK, 1e17);
        uint256 deadline = block.timestamp;

        skip(1);
        _refused(order, abi.encodeWithSelector(IVaultEvents.Expired.selector, deadline, deadline + 1));
        rewind(1);
        _rebalance(order);
    }

    function test_an_order_for_another_basket_is_refused() external {
        Order memory order = _order();
        order.sells = _sells(DAI, 1e18, address(0));
        order.epoch = 1;
        bytes memory route = abi.encode(_calls(_paid(LINK, 1e17)));
        _refused(OrderLib.encode(order, route), abi.encodeWithSelector(IVaultEvents.WrongEpoch.selector, 1, 0));

        order.epoch = 0;
        _rebalance(OrderLib.encode(order, route));
    }

    function test_the_vault_cools_down_between_rebalances() external {
        _rebalance(_trade(DAI, 1e18, LINK, 1e17));
        uint256 readyAt = block.timestamp + 12;

        skip(11);
        _refused(
            _trade(DAI, 1e18, LINK, 1e17),
            abi.encodeWithSelector(IVaultEvents.CoolingDown.selector, readyAt - 1, readyAt)
        );
        skip(1);
        _rebalance(_trade(DAI, 1e18, LINK, 1e17));
    }

    function test_an_order_counts_as_used_before_its_route_runs() external {
        Witness witness = new Witness(vault);
        Order memory order = _order();
        order.sells = _sells(DAI, 1e18, address(0));
        _rebalance(
            OrderLib.encode(
                order, abi.encode(_calls(Call(address(witness), abi.encodeCall(Witness.look, ())), _paid(LINK, 1e17)))
            )
        );

        assertEq(witness.nonce(), 1);
        assertEq(witness.settledAt(), block.timestamp);
    }

    /* ------------------------------------------------ DEAD-BAND ------------------------------------------------ */

    function test_drift_at_the_dead_band_is_left_alone() external {
        _forEveryPair(_deadBand);
    }

    function _deadBand(uint256 over, uint256 under) internal {
        VaultConfig memory c = _offTarget(over, under);
        c.auction.openBand = 0.2e18;
        c.limits.deadBand = 0.2e18;
        _deploy(c);
        uint256 sold = _raw(over, 1_000e18);
        uint256 bought = _raw(under, 1_000e18);
        _refused(
            _trade(over, sold, under, bought), abi.encodeWithSelector(Guard.BelowDeadBand.selector, 0.2e18, 0.2e18)
        );

        c.limits.deadBand = 0.2e18 - 1;
        _deploy(c);
        _rebalance(_trade(over, sold, under, bought));
    }

    /* --------------------------------------------- MEASURED OUTCOME --------------------------------------------- */

    function test_a_buy_must_bring_its_minimum() external {
        _forEveryPair(_unmetBuy);
    }

    function _unmetBuy(uint256 over, uint256 under) internal {
        _deploy(_offTarget(over, under));
        uint256 bought = _raw(under, 1_000e18);
        Order memory order = _order();
        order.sells = _sells(over, _raw(over, 1_000e18), address(0));
        bytes memory route = abi.encode(_calls(_paid(under, bought)));

        order.buys = _buys(under, bought + 1);
        _refused(
            OrderLib.encode(order, route),
            abi.encodeWithSelector(IVaultEvents.BelowMinOut.selector, tokens[under], bought, bought + 1)
        );
        order.buys = _buys(under, bought);
        _rebalance(OrderLib.encode(order, route));
    }

    function test_a_bought_token_that_shrank_brought_nothing() external {
        Order memory order = _order();
        order.buys = _buys(LINK, 1);
        _refused(
            OrderLib.encode(
                order, abi.encode(_calls(Call(tokens[LINK], abi.encodeCall(TestToken.burn, (address(vault), 1)))))
            ),
            abi.encodeWithSelector(IVaultEvents.BelowMinOut.selector, tokens[LINK], 0, 1)
        );
    }

    function test_working_capital_counts_by_its_net_change_only() external {
        // USDC is on its target: lent to the route and given back, it is neither sold nor bought.
        uint256 lent = _raw(USDC, 50_000e18);
        Order memory order = _order();
        order.sells = new Sell[](2);
        order.sells[0] = Sell(USDC, lent, address(0));
        order.sells[1] = Sell(DAI, _raw(DAI, 1_000e18), address(0));
        Call[] memory back = _calls(_paid(USDC, lent), _paid(LINK, _raw(LINK, 1_000e18)));

        order.buys = _buys(USDC, lent + 1);
        _refused(
            OrderLib.encode(order, abi.encode(back)),
            abi.encodeWithSelector(IVaultEvents.BelowMinOut.selector, tokens[USDC], lent, lent + 1)
        );

        order.buys = _buys(USDC, lent);
        _rebalance(OrderLib.encode(order, abi.encode(back)));
        (, uint256 turnover) = vault.headroom();
        assertEq(turnover, 10e18 - 0.002e18);
    }

    function test_a_token_outside_the_basket_counts_as_nothing() external {
        TestToken foreign = new TestToken("GOLD", 18);
        Order memory order = _order();
        order.sells = _sells(DAI, _raw(DAI, 1_000e18), address(0));
        bytes memory route =
            abi.encode(_calls(Call(address(foreign), abi.encodeCall(TestToken.mint, (address(vault), 1_000_000e18)))));

        _refused(
            OrderLib.encode(order, route), abi.encodeWithSelector(Guard.UnfairTrade.selector, 1_000e18, 0, 0.05e18)
        );
    }

    function test_the_outcome_is_judged_at_the_prices_before_the_route() external {
        // Were LINK read after the route had doubled its price, 500 USD of it would look like 1,000.
        Order memory order = _order();
        order.sells = _sells(DAI, _raw(DAI, 1_000e18), address(0));
        Call memory pump = Call(address(feeds[LINK]), abi.encodeCall(Feed.set, (int192(20e12))));

        _refused(
            OrderLib.encode(order, abi.encode(_calls(pump, _paid(LINK, _raw(LINK, 500e18))))),
            abi.encodeWithSelector(Guard.UnfairTrade.selector, 1_000e18, 500e18, 0.05e18)
        );
    }

    function test_a_feed_that_lags_costs_no_more_than_turnover_times_lag() external {
        VaultConfig memory c = _offTarget(DAI, LINK);
        c.limits.turnoverBudget = 0.04e18;
        _deploy(c);
        bytes memory first = _trade(DAI, _raw(DAI, 20_000e18), LINK, _raw(LINK, 20_000e18));
        // LINK fell by 2% and its feed has not noticed: the keeper sells it to the vault at the old price.
        uint256 lag = 0.02e18;
        prices[LINK] -= prices[LINK] * lag / WAD;
        uint256 before = _worth(vault.balances());
        _rebalance(first);

        uint256 loss = WAD - _worth(vault.balances()) * WAD / before;
        assertGt(loss, 0);
        assertLe(loss, 0.04e18 * lag / (WAD - lag));

        skip(12);
        bytes memory second = _trade(DAI, _raw(DAI, 1_000e18), LINK, _raw(LINK, 1_020e18));
        vm.prank(keeper);
        vm.expectPartialRevert(Guard.TurnoverBudgetExceeded.selector);
        vault.rebalance(second);
    }

    function test_who_mints_before_a_batch_and_redeems_after_it_takes_nothing_from_the_others() external {
        uint256 price = vault.sharePrice();
        uint256 paid = _worth(_mint(stranger, 9 * SHARES));
        // The batch loses 1% of 100,000 USD, which is 0.01% of a NAV that the loan made ten times as large.
        _rebalance(_trade(DAI, _raw(DAI, 100_000e18), LINK, _raw(LINK, 99_000e18)));
        assertLt(_worth(_redeem(stranger, 9 * SHARES)), paid);
        assertApproxEqAbs(vault.sharePrice(), price - price / 10_000, 1e6);
    }

    /// @dev What amounts of the basket are worth, USD WAD.
    function _worth(uint256[] memory amounts) internal view returns (uint256 usd) {
        for (uint256 i; i < amounts.length; ++i) {
            usd += amounts[i] * prices[i] / units[i];
        }
    }

    function test_a_donation_in_the_route_counts_as_bought() external {
        // A gift of LINK up to its target, without a sale.
        Order memory order = _order();
        _rebalance(OrderLib.encode(order, abi.encode(_calls(_paid(LINK, _raw(LINK, 1_000e18))))));

        (uint256 loss, uint256 turnover) = vault.headroom();
        assertEq(loss, 0.1e18);
        assertEq(turnover, 10e18 - 0.001e18);
    }

    function test_a_donation_in_the_route_may_not_pass_the_target() external {
        Order memory order = _order();
        _refused(
            OrderLib.encode(order, abi.encode(_calls(_paid(LINK, _raw(LINK, OFF + 50e18) + 1)))),
            abi.encodeWithSelector(Guard.NotTowardsTarget.selector, OFF + 50e18 + 10, OFF - 50e18 - 10, 100e18)
        );
        _rebalance(OrderLib.encode(order, abi.encode(_calls(_paid(LINK, _raw(LINK, OFF + 50e18))))));
    }

    /* --------------------------------------------------- GUARD --------------------------------------------------- */

    function test_value_for_value() external {
        _forEveryPair(_valueForValue);
    }

    function _valueForValue(uint256 over, uint256 under) internal {
        VaultConfig memory c = _offTarget(over, under);
        c.limits.maxSlippage = 0.005e18;
        _deploy(c);
        uint256 sold = _raw(over, 10_000e18);
        uint256 least = _rawUp(under, 9_950e18);

        _refused(
            _trade(over, sold, under, least - 1),
            abi.encodeWithSelector(Guard.UnfairTrade.selector, 10_000e18, _value(under, least - 1), 0.005e18)
        );
        _rebalance(_trade(over, sold, under, least));
    }

    function test_a_batch_loses_at_most_its_share() external {
        _forEveryPair(_batchLoss);
    }

    function _batchLoss(uint256 over, uint256 under) internal {
        VaultConfig memory c = _offTarget(over, under);
        c.limits.maxBatchLoss = 0.001e18;
        _deploy(c);
        uint256 sold = _raw(over, 50_000e18);
        uint256 least = _rawUp(under, 49_000e18);

        _refused(
            _trade(over, sold, under, least - 1),
            abi.encodeWithSelector(
                Guard.BatchLossTooLarge.selector, NAV, NAV - 50_000e18 + _value(under, least - 1), 0.001e18
            )
        );
        _rebalance(_trade(over, sold, under, least));
    }

    function test_losses_stay_within_the_loss_budget() external {
        _forEveryPair(_lossBudget);
    }

    function _lossBudget(uint256 over, uint256 under) internal {
        VaultConfig memory c = _offTarget(over, under);
        c.limits.lossBudget = 0.001e18;
        _deploy(c);
        uint256 sold = _raw(over, 50_000e18);
        uint256 least = _rawUp(under, 49_000e18);

        uint256 loss = 50_000e18 - _value(under, least - 1);
        _refused(
            _trade(over, sold, under, least - 1),
            abi.encodeWithSelector(Guard.LossBudgetExceeded.selector, _fractionUp(loss), 0.001e18)
        );
        _rebalance(_trade(over, sold, under, least));
        (uint256 left,) = vault.headroom();
        assertEq(left, 0);
    }

    function test_turnover_stays_within_the_turnover_budget() external {
        _forEveryPair(_turnoverBudget);
    }

    function _turnoverBudget(uint256 over, uint256 under) internal {
        VaultConfig memory c = _offTarget(over, under);
        c.limits.turnoverBudget = 0.1e18;
        _deploy(c);
        uint256 sold = _raw(over, 50_000e18);
        uint256 most = _raw(under, 50_000e18);

        _refused(
            _trade(over, sold, under, most + 1),
            abi.encodeWithSelector(
                Guard.TurnoverBudgetExceeded.selector, _fractionUp(50_000e18 + _value(under, most + 1)), 0.1e18
            )
        );
        _rebalance(_trade(over, sold, under, most));
        (, uint256 left) = vault.headroom();
        assertEq(left, 0);
    }

    function test_a_batch_may_not_pass_the_target() external {
        _forEveryPair(_pastTarget);
    }

    function _pastTarget(uint256 over, uint256 under) internal {
        // Both assets cross by 25 USD: half of the allowance of 100 on the way to the target and half beyond it.
        _deploy(_offTarget(over, under));
        uint256 sold = _raw(over, OFF + 25e18);
        uint256 most = _raw(under, OFF + 25e18);

        uint256 bought = _value(under, most + 1);
        uint256 gap1 = 25e18 + bought - OFF;
        _refused(
            _trade(over, sold, under, most + 1),
            abi.encodeWithSelector(Guard.NotTowardsTarget.selector, OFF + 25e18 + bought, 2 * OFF - gap1, 100e18)
        );
        _rebalance(_trade(over, sold, under, most));
    }

    function test_a_batch_may_not_buy_what_needs_none() external {
        _forEveryPair(_buyAway);
    }

    function _buyAway(uint256 over, uint256 under) internal {
        _deploy(_offTarget(over, under));
        uint256 third = _third(over, under);
        uint256 most = _raw(third, 50e18);
        Order memory order = _order();
        order.sells = _sells(over, _raw(over, 1_000e18), address(0));
        Call memory towards = _paid(under, _raw(under, 950e18));

        uint256 away = _value(third, most + 1);
        _refused(
            OrderLib.encode(order, abi.encode(_calls(towards, _paid(third, most + 1)))),
            abi.encodeWithSelector(Guard.NotTowardsTarget.selector, 1_950e18 + away, 1_950e18 - away, 100e18)
        );
        _rebalance(OrderLib.encode(order, abi.encode(_calls(towards, _paid(third, most)))));
    }

    function test_a_batch_may_not_sell_what_is_not_above_its_target() external {
        _forEveryPair(_sellAway);
    }

    function _sellAway(uint256 over, uint256 under) internal {
        _deploy(_offTarget(over, under));
        uint256 third = _third(over, under);
        uint256 most = _raw(third, 50e18);
        Order memory order = _order();
        bytes memory route = abi.encode(_calls(_paid(under, _raw(under, 1_050e18))));

        order.sells = _bothSold(over, _raw(over, 1_000e18), third, most + 1);
        uint256 away = _value(third, most + 1);
        _refused(
            OrderLib.encode(order, route),
            abi.encodeWithSelector(Guard.NotTowardsTarget.selector, 2_050e18 + away, 2_050e18 - away, 100e18)
        );
        order.sells = _bothSold(over, _raw(over, 1_000e18), third, most);
        _rebalance(OrderLib.encode(order, route));
    }

    function test_without_dust_not_a_wei_may_pass_the_target() external {
        VaultConfig memory c = _offTarget(DAI, LINK);
        c.limits.dust = 0;
        _deploy(c);

        _refused(
            _trade(DAI, OFF + 1, LINK, _raw(LINK, OFF)),
            abi.encodeWithSelector(Guard.NotTowardsTarget.selector, 2 * OFF + 1, 2 * OFF - 1, 0)
        );
        _rebalance(_trade(DAI, OFF, LINK, _raw(LINK, OFF)));
    }

    function test_there_and_back_is_refused_on_the_way_back() external {
        _rebalance(_trade(DAI, OFF, LINK, _raw(LINK, OFF)));
        skip(12);

        _setPrice(DAI, 1.01e18);
        _refused(
            _trade(LINK, _raw(LINK, 10_000e18), DAI, _raw(DAI, 10_000e18)),
            abi.encodeWithSelector(Guard.NotTowardsTarget.selector, 20_000e18 - 1, 0, 100.2e18)
        );
    }

    function test_drift_must_fall_by_the_minimum() external {
        _forEveryPair(_progress);
    }

    function _progress(uint256 over, uint256 under) internal {
        VaultConfig memory c = _offTarget(over, under);
        c.limits.minProgress = 0.01e18;
        _deploy(c);
        uint256 sold = _raw(over, 5_000e18);
        uint256 least = _rawUp(under, 5_000e18);

        uint256 bought = _value(under, least - 1);
        _refused(
            _trade(over, sold, under, least - 1),
            abi.encodeWithSelector(Guard.TooLittleProgress.selector, 2 * OFF, 2 * OFF - 5_000e18 - bought, 10_000e18)
        );
        _rebalance(_trade(over, sold, under, least));
    }

    function test_a_batch_that_changes_nothing_is_refused() external {
        _refused(
            OrderLib.encode(_order(), ""),
            abi.encodeWithSelector(Guard.TooLittleProgress.selector, 2 * OFF, 2 * OFF, 1e18)
        );
    }

    function test_a_basket_without_value_cannot_be_rebalanced() external {
        VaultConfig memory c = _offTarget(DAI, LINK);
        c.amounts = new uint256[](ASSETS);
        c.amounts[LINK] = 1;
        _deploy(c);
        // One wei of LINK is worth 10 wei of USD; without it there is nothing to divide by.
        assertEq(vault.nav(), 10);
        TestToken(tokens[LINK]).burn(address(vault), 1);

        vm.expectRevert(Guard.WorthlessBasket.selector);
        vault.nav();
        _refused(OrderLib.encode(_order(), ""), abi.encodeWithSelector(Guard.WorthlessBasket.selector));
    }

    /* ------------------------------------------------- BUDGETS ------------------------------------------------- */

    function test_a_budget_refills_in_proportion_to_time() external {
        VaultConfig memory c = _offTarget(DAI, LINK);
        c.limits.turnoverBudget = 0.02e18;
        c.limits.window = 1_000_000;
        _deploy(c);
        _rebalance(_trade(DAI, 10_000e18, LINK, _raw(LINK, 10_000e18)));

        // A tenth of the window: a tenth of the budget, 2,000 USD for both legs.
        _wait(100_000);
        _refused(
            _trade(DAI, 1_000e18 + 1, LINK, _raw(LINK, 1_000e18)),
            abi.encodeWithSelector(Guard.TurnoverBudgetExceeded.selector, 0.02e18 + 1, 0.02e18)
        );
        (, uint256 turnover) = vault.headroom();
        assertEq(turnover, 0.002e18);
        _rebalance(_trade(DAI, 1_000e18, LINK, _raw(LINK, 1_000e18)));
        (, turnover) = vault.headroom();
        assertEq(turnover, 0);
    }

    function test_losses_of_several_batches_add_up() external {
        VaultConfig memory c = _offTarget(DAI, LINK);
        c.limits.lossBudget = 0.001e18;
        c.limits.window = 1_000_000;
        _deploy(c);
        _rebalance(_trade(DAI, 10_000e18, LINK, _raw(LINK, 9_500e18)));

        // 500 USD lost, a fifth of the budget (200 USD) drained, so that 700 of 1,000 are left.
        _wait(200_000);
        (uint256 loss,) = vault.headroom();
        assertEq(loss, 0.0007e18);
        // NAV is now 999,500 USD.
        uint256 most = 0.0007e18 * 999_500;
        _refused(
            _trade(DAI, 20_000e18 + most + 1, LINK, _raw(LINK, 20_000e18)),
            abi.encodeWithSelector(Guard.LossBudgetExceeded.selector, 0.001e18 + 1, 0.001e18)
        );
        _rebalance(_trade(DAI, 20_000e18 + most, LINK, _raw(LINK, 20_000e18)));
    }

    function test_a_gain_is_not_credited() external {
        _rebalance(_trade(DAI, 10_000e18, LINK, _raw(LINK, 9_500e18)));
        (uint256 before,) = vault.headroom();
        assertEq(before, 0.1e18 - 0.0005e18);

        skip(12);
        (before,) = vault.headroom();
        _rebalance(_trade(DAI, 10_000e18, LINK, _raw(LINK, 10_500e18)));
        (uint256 afterGain,) = vault.headroom();
        assertEq(afterGain, before);
    }

    function test_both_budgets_are_whole_again_after_one_window() external {
        _rebalance(_trade(DAI, 10_000e18, LINK, _raw(LINK, 9_500e18)));
        skip(365 days);

        (uint256 loss, uint256 turnover) = vault.headroom();
        assertEq(loss, 0.1e18);
        assertEq(turnover, 10e18);
    }

    function test_a_fresh_vault_has_its_whole_budgets() external view {
        (uint256 loss, uint256 turnover) = vault.headroom();
        assertEq(loss, 0.1e18);
        assertEq(turnover, 10e18);
    }

    function test_the_event_tells_nav_drift_and_levels() external {
        // A NAV one wei from round: drift before is rounded down, drift after and both levels up.
        TestToken(tokens[DAI]).mint(address(vault), 1);
        bytes memory order = _trade(DAI, 10_000e18, LINK, _raw(LINK, 9_500e18));
        vm.expectEmit(address(vault));
        emit IVaultEvents.Rebalanced(1, keeper, NAV + 1, NAV + 1 - 500e18, 0.2e18, 0.1805e18 + 1, 0.0005e18, 0.0195e18);
        _rebalance(order);

        (uint256 loss, uint256 turnover) = vault.headroom();
        assertEq(loss, 0.1e18 - 0.0005e18);
        assertEq(turnover, 10e18 - 0.0195e18);
    }

    /* ------------------------------------------------- PRICES ------------------------------------------------- */

    function test_a_stale_price_stops_rebalancing() external {
        uint256 updatedAt = block.timestamp;
        skip(HEARTBEAT);
        _rebalance(_trade(DAI, 1e18, LINK, 1e17));

        skip(12);
        _refused(
            _trade(DAI, 1e18, LINK, 1e17),
            abi.encodeWithSelector(
                IPriceOracle.StalePrice.selector, tokens[USDC], updatedAt, block.timestamp, HEARTBEAT
            )
        );
    }

    function test_a_price_from_the_future_stops_rebalancing() external {
        feeds[LINK].setAt(10e12, block.timestamp + 1);
        _refused(
            _trade(DAI, 1e18, LINK, 1e17),
            abi.encodeWithSelector(
                IPriceOracle.StalePrice.selector, tokens[LINK], block.timestamp + 1, block.timestamp, HEARTBEAT
            )
        );
    }

    function test_a_price_of_zero_or_less_stops_rebalancing() external {
        bytes memory order = _trade(DAI, 1e18, LINK, 1e17);
        feeds[LINK].set(0);
        _refused(order, abi.encodeWithSelector(IPriceOracle.NotPositive.selector, tokens[LINK], 0));
        feeds[LINK].set(-1);
        _refused(order, abi.encodeWithSelector(IPriceOracle.NotPositive.selector, tokens[LINK], -1));
    }

    function test_a_price_out_of_bounds_stops_rebalancing() external {
        bytes memory order = _trade(DAI, 1e18, LINK, 1e17);
        feeds[LINK].set(1e12);
        _refused(
            order, abi.encodeWithSelector(IPriceOracle.PriceOutOfBounds.selector, tokens[LINK], 1e18, 1e18, 100e18)
        );
        feeds[LINK].set(100e12);
        _refused(
            order, abi.encodeWithSelector(IPriceOracle.PriceOutOfBounds.selector, tokens[LINK], 100e18, 1e18, 100e18)
        );
    }

    function test_a_dead_feed_of_any_asset_stops_rebalancing() external {
        for (uint256 i; i < ASSETS; ++i) {
            feeds[i].setDead(true);
            bytes memory reason = abi.encodeWithSelector(IPriceOracle.NoAnswer.selector, tokens[i], feeds[i]);
            _refused(_trade(DAI, 1e18, LINK, 1e17), reason);
            feeds[i].setDead(false);
        }
    }

    /* -------------------------------------------------- ORDERS -------------------------------------------------- */

    function test_the_vault_is_no_recipient_of_a_sale() external {
        Order memory order = _order();
        order.sells = _sells(DAI, 1_000e18, address(vault));
        // Nothing would leave, and the market pays: no other guard would object.
        _refused(
            OrderLib.encode(order, abi.encode(_calls(_paid(LINK, _raw(LINK, 1_000e18))))),
            abi.encodeWithSelector(IVaultEvents.BadRecipient.selector, tokens[DAI], address(vault))
        );
    }

    function test_a_token_is_no_recipient_of_its_own_sale() external {
        Order memory order = _order();
        order.sells = _sells(DAI, 1_000e18, tokens[DAI]);
        _refused(
            OrderLib.encode(order, abi.encode(_calls(_paid(LINK, _raw(LINK, 1_000e18))))),
            abi.encodeWithSelector(IVaultEvents.BadRecipient.selector, tokens[DAI], tokens[DAI])
        );
    }

    function test_a_sale_goes_to_whom_the_order_names() external {
        Order memory order = _order();
        order.sells = _bothSold(USDC, 7e6, DAI, 1_000e18);
        order.sells[1].to = stranger;
        _rebalance(OrderLib.encode(order, abi.encode(_calls(_paid(LINK, _raw(LINK, 1_000e18))))));

        assertEq(_balanceOf(USDC, address(market)), 7e6);
        assertEq(_balanceOf(DAI, stranger), 1_000e18);
        assertEq(_balanceOf(DAI, address(market)), 0);
    }

    function test_more_than_the_vault_holds_cannot_be_sold() external {
        Order memory order = _order();
        uint256 held = _balanceOf(DAI, address(vault));
        order.sells = _sells(DAI, held + 1, address(0));
        _refused(
            OrderLib.encode(order, ""),
            abi.encodeWithSelector(IVaultEvents.ExceedsBasket.selector, tokens[DAI], held + 1, held)
        );
    }

    function test_all_that_the_vault_holds_can_be_sold() external {
        uint256 held = _balanceOf(DAI, address(vault));
        uint256 sold = _raw(DAI, 1_000e18);
        Order memory order = _order();
        order.sells = _sells(DAI, held, address(0));
        _rebalance(
            OrderLib.encode(order, abi.encode(_calls(_paid(DAI, held - sold), _paid(LINK, _raw(LINK, 1_000e18)))))
        );
        assertEq(_balanceOf(DAI, address(vault)), held - sold);
    }

    function test_a_short_order_is_refused() external {
        _refused(new bytes(18), abi.encodeWithSelector(OrderLib.MalformedOrder.selector, 18, 19));

        Order memory order = _order();
        order.sells = _sells(DAI, 1e18, address(0));
        order.buys = _buys(LINK, 1);
        bytes memory cut = OrderLib.encode(order, "");
        assembly ("memory-safe") {
            mstore(cut, sub(mload(cut), 1))
        }
        _refused(cut, abi.encodeWithSelector(OrderLib.MalformedOrder.selector, 72, 73));
    }

    function test_an_index_may_not_be_sold_twice() external {
        Order memory order = _order();
        order.sells = _bothSold(DAI, 1e18, DAI, 1e18);
        _refused(
            OrderLib.encode(order, abi.encode(_calls(_paid(LINK, 2e17)))),
            abi.encodeWithSelector(OrderLib.IndexNotAscending.selector, DAI, DAI)
        );
    }

    function test_buys_are_in_ascending_order() external {
        Order memory order = _order();
        order.sells = _sells(DAI, 1e18, address(0));
        order.buys = new Buy[](2);
        order.buys[0] = Buy(LINK, 1);
        order.buys[1] = Buy(USDC, 0);
        _refused(
            OrderLib.encode(order, abi.encode(_calls(_paid(LINK, 1e17)))),
            abi.encodeWithSelector(OrderLib.IndexNotAscending.selector, LINK, USDC)
        );
    }

    function test_an_index_beyond_the_basket_is_refused() external {
        Order memory order = _order();
        order.sells = _sells(ASSETS, 1, address(0));
        _refused(OrderLib.encode(order, ""), abi.encodeWithSelector(OrderLib.IndexOutOfRange.selector, ASSETS, ASSETS));
    }

    /* ---------------------------------------------- PECULIAR TOKENS ---------------------------------------------- */

    function test_a_fee_on_transfer_is_the_receivers_loss() external {
        FeeToken token = new FeeToken(18);
        _relist(DAI, address(token));
        token.setFee(0.01e18, 0);

        _rebalance(_trade(DAI, 1_000e18, LINK, _raw(LINK, 1_000e18)));
        assertEq(token.balanceOf(address(market)), 990e18);
        assertEq(vault.nav(), NAV);
    }

    function test_a_fee_on_top_of_a_transfer_counts_as_sold() external {
        FeeToken token = new FeeToken(18);
        _relist(DAI, address(token));
        token.setFee(0, 0.06e18);

        _refused(
            _trade(DAI, 1_000e18, LINK, _raw(LINK, 1_000e18)),
            abi.encodeWithSelector(Guard.UnfairTrade.selector, 1_060e18, 1_000e18, 0.05e18)
        );
        token.setFee(0, 0.05e18);
        _rebalance(_trade(DAI, 1_000e18, LINK, _raw(LINK, 1_000e18)));
        assertEq(vault.nav(), NAV - 50e18);
    }

    function test_a_token_that_returns_nothing_can_be_sold() external {
        _relist(DAI, address(new NoReturnToken(18)));
        _rebalance(_trade(DAI, 1_000e18, LINK, _raw(LINK, 1_000e18)));
        assertEq(_balanceOf(DAI, address(market)), 1_000e18);
    }

    function test_a_token_that_returns_false_cannot_be_sold() external {
        FreezableToken token = new FreezableToken(18);
        _relist(DAI, address(token));
        token.setFrozen(true);

        // The market pays all the same: only the returned value tells that nothing left.
        _refused(
            _trade(DAI, 1_000e18, LINK, _raw(LINK, 1_000e18)),
            abi.encodeWithSelector(SafeTransferLib.TransferFailed.selector)
        );
    }

    /* ------------------------------------------------- HELPERS ------------------------------------------------- */

    function _bothSold(uint256 a, uint256 amountA, uint256 b, uint256 amountB)
        internal
        pure
        returns (Sell[] memory sells)
    {
        if (a > b) (a, amountA, b, amountB) = (b, amountB, a, amountA);
        sells = new Sell[](2);
        sells[0] = Sell(a, amountA, address(0));
        sells[1] = Sell(b, amountB, address(0));
    }

    /// @dev The fraction of a NAV of `NAV`, rounded up.
    function _fractionUp(uint256 usd) internal pure returns (uint256) {
        return (usd * WAD + NAV - 1) / NAV;
    }
}

/// @notice Remembers what the vault said of itself when it was called.
contract Witness {
    IIndexVault internal immutable _vault;
    uint256 public nonce;
    uint256 public settledAt;

    constructor(IIndexVault vault) {
        _vault = vault;
    }

    function look() external {
        (nonce, settledAt) = (_vault.nonce(), _vault.settledAt());
    }
}
