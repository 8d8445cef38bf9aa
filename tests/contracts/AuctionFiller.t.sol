// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {SwapExecutor} from "../../contracts/SwapExecutor.sol";
import {IIndexVault, VaultConfig} from "../../contracts/interfaces/IIndexVault.sol";
import {ISwapExecutor} from "../../contracts/interfaces/ISwapExecutor.sol";
import {Book} from "../../contracts/libraries/Book.sol";
import {Guard} from "../../contracts/libraries/Guard.sol";
import {Order, OrderLib, Sell} from "../../contracts/libraries/OrderLib.sol";
import {AuctionFiller, Payment} from "../../contracts/periphery/AuctionFiller.sol";
import {Program, Step} from "./utils/Program.sol";
import {Intruder} from "./utils/ScriptedExecutor.sol";
import {CallbackToken, TestToken} from "./utils/Tokens.sol";
import {VaultTest} from "./utils/VaultTest.sol";

/// @notice Somebody with an inventory fills auctions through the stock executor, and nobody else gets at it.
contract AuctionFillerTest is VaultTest {
    uint256 internal constant SOLD = 40_000e18;
    uint256 internal constant PREMIUM = 0.02e18;
    uint256 internal constant INVENTORY = 200_000e18;

    SwapExecutor internal executor;
    AuctionFiller internal filler;
    address internal solver = makeAddr("solver");

    function setUp() public override {
        super.setUp();
        executor = new SwapExecutor(address(0));
        filler = new AuctionFiller(solver);
        _arrange();
    }

    /// @dev A vault whose keeper has been silent, an inventory in every token, and an auction at its very start.
    function _arrange() internal {
        VaultConfig memory c = _offTarget(DAI, LINK);
        c.executor = address(executor);
        c.auction.premium = uint64(PREMIUM);
        _deploy(c);
        for (uint256 i; i < ASSETS; ++i) {
            TestToken(tokens[i]).mint(address(filler), _raw(i, INVENTORY));
        }
        _wait(c.auction.keeperGrace);
        vault.openAuction();
    }

    /* ------------------------------------------------- FILLING ------------------------------------------------- */

    function test_a_fill_from_inventory_pays_the_premium() external {
        uint256 navBefore = vault.nav();
        _fill(_fair());

        assertEq(vault.nav(), navBefore + SOLD * PREMIUM / WAD);
        assertEq(_balanceOf(DAI, address(filler)), _raw(DAI, INVENTORY) + SOLD);
        assertEq(_balanceOf(LINK, address(filler)), _raw(LINK, INVENTORY) - _fair());
        _nothingLeftBehind();
    }

    function test_a_wei_below_the_premium_is_refused() external {
        uint256 offered = _fair() - 1;
        _refusedFill(
            offered, abi.encodeWithSelector(Guard.UnfairTrade.selector, SOLD, _value(LINK, offered), -int256(PREMIUM))
        );
    }

    function test_what_is_asked_falls_with_time() external {
        // Half way from -2% to +5%: the vault accepts 98.5%.
        _wait(30 minutes);
        uint256 least = _rawUp(LINK, SOLD * 985 / 1000);
        _refusedFill(
            least - 1,
            abi.encodeWithSelector(Guard.UnfairTrade.selector, SOLD, _value(LINK, least - 1), int256(0.015e18))
        );
        _fill(least);
        assertEq(vault.openNonce(), 1);
    }

    function test_several_tokens_are_sold_and_bought_in_one_fill() external {
        _setPrice(WBTC, 60_000e18);
        _setPrice(WETH, 2_000e18);
        Order memory order = _asked();
        order.sells = new Sell[](2);
        order.sells[0] = Sell(WBTC, _raw(WBTC, 10_000e18), address(filler));
        order.sells[1] = Sell(DAI, 30_000e18, address(filler));
        Payment[] memory payments = new Payment[](2);
        payments[0] = Payment(tokens[WETH], _rawUp(WETH, 10_300e18));
        payments[1] = Payment(tokens[LINK], _rawUp(LINK, 31_000e18));
        uint256 navBefore = vault.nav();
        bytes memory data = OrderLib.encode(order, Program.encode(tokens, _paidHere(WBTC, WETH)));
        vm.prank(solver);
        filler.fill(vault, data, payments);

        assertGe(vault.nav(), navBefore + 1_300e18 - 1e15);
        assertEq(_balanceOf(WETH, address(filler)), 80e18 - payments[0].amount);
        assertEq(_balanceOf(DAI, address(filler)), _raw(DAI, INVENTORY) + 30_000e18);
        _nothingLeftBehind();
    }

    function test_one_filler_fills_again_and_again() external {
        _fill(_fair());
        _wait(12);
        // The first fill started the price over; twelve seconds later it is hardly lower.
        _fill(_fair());
        assertEq(vault.openNonce(), 2);
        _nothingLeftBehind();
    }

    function test_a_fill_does_not_use_the_keepers_nonce() external {
        _fill(_fair());
        assertEq(vault.nonce(), 0);
        assertEq(vault.openNonce(), 1);
    }

    /* ------------------------------------------------- REFUSED ------------------------------------------------- */

    function test_only_the_owner_fills() external {
        (bytes memory order, Payment[] memory payments) = _prepared(_fair());
        vm.expectRevert(abi.encodeWithSelector(AuctionFiller.NotOwner.selector, stranger));
        vm.prank(stranger);
        filler.fill(vault, order, payments);
    }

    function test_only_the_owner_withdraws() external {
        vm.expectRevert(abi.encodeWithSelector(AuctionFiller.NotOwner.selector, stranger));
        vm.prank(stranger);
        filler.withdraw(tokens[DAI], stranger, 1);

        vm.prank(solver);
        filler.withdraw(tokens[DAI], solver, 7e18);
        assertEq(_balanceOf(DAI, solver), 7e18);
    }

    function test_nobody_triggers_a_payment_outside_a_fill() external {
        vm.expectRevert(abi.encodeWithSelector(AuctionFiller.UnexpectedSwap.selector, stranger, address(0)));
        vm.prank(stranger);
        filler.swap(0, 0, stranger, "");

        // Nor through the vault's own executor, which anyone may start.
        bytes memory program = Program.encode(tokens, _paidHere(DAI, LINK));
        vm.expectRevert(abi.encodeWithSelector(AuctionFiller.UnexpectedSwap.selector, address(executor), address(0)));
        vm.prank(stranger);
        executor.execute(program);
    }

    function test_another_fillers_order_does_not_make_this_one_pay() external {
        Order memory order = _asked();
        order.sells = _sells(DAI, SOLD, address(filler));
        bytes memory data = OrderLib.encode(order, Program.encode(tokens, _paidHere(DAI, LINK)));
        vm.expectRevert(abi.encodeWithSelector(AuctionFiller.UnexpectedSwap.selector, address(executor), address(0)));
        vm.prank(stranger);
        vault.rebalanceOpen(data);
    }

    function test_only_the_executor_asks_during_a_fill() external {
        Intruder intruder = _hookInto(DAI);
        intruder.prepare(address(filler), abi.encodeCall(AuctionFiller.swap, (0, 0, address(intruder), "")));
        uint256 before = _balanceOf(LINK, address(filler));
        _fill(_fair());

        assertTrue(intruder.ran());
        assertFalse(intruder.succeeded());
        assertEq(
            intruder.result(),
            abi.encodeWithSelector(AuctionFiller.UnexpectedSwap.selector, address(intruder), address(executor))
        );
        assertEq(_balanceOf(LINK, address(filler)), before - _fair());
    }

    function test_payments_drawn_too_early_undo_the_fill() external {
        Intruder intruder = _hookInto(DAI);
        bytes memory program = Program.encode(tokens, _paidHere(DAI, LINK));
        intruder.prepare(address(executor), abi.encodeCall(ISwapExecutor.execute, (program)));
        _refusedFill(
            _fair(), abi.encodeWithSelector(AuctionFiller.UnexpectedSwap.selector, address(executor), address(0))
        );
    }

    function test_payments_are_made_once() external {
        (bytes memory order, Payment[] memory payments) = _prepared(_fair(), _paidHere(DAI, LINK));
        vm.expectRevert(abi.encodeWithSelector(AuctionFiller.UnexpectedSwap.selector, address(executor), address(0)));
        vm.prank(solver);
        filler.fill(vault, order, payments);
    }

    function test_the_recipient_that_a_route_names_gets_nothing() external {
        (, Payment[] memory payments) = _prepared(_fair());
        Step memory step = _paidHere(DAI, LINK);
        step.to = Program.TO_EXECUTOR;
        Order memory order = _asked();
        order.sells = _sells(DAI, SOLD, address(filler));
        vm.prank(solver);
        filler.fill(vault, OrderLib.encode(order, Program.encode(tokens, step)), payments);
        assertEq(_balanceOf(LINK, address(filler)), _raw(LINK, INVENTORY) - _fair());
        _nothingLeftBehind();
    }

    function test_a_route_that_never_comes_here_is_refused() external {
        Forgetful forgetful = new Forgetful(address(executor));
        vm.expectRevert(AuctionFiller.NeverAsked.selector);
        vm.prank(solver);
        filler.fill(IIndexVault(address(forgetful)), "", new Payment[](0));
    }

    function test_a_filler_without_inventory_fails_as_a_whole() external {
        vm.startPrank(solver);
        filler.withdraw(tokens[LINK], solver, _balanceOf(LINK, address(filler)));
        vm.stopPrank();
        _refusedFill(_fair(), abi.encodeWithSelector(SafeTransferLib.TransferFailed.selector));
        assertEq(_balanceOf(DAI, address(filler)), _raw(DAI, INVENTORY));
        assertEq(vault.openNonce(), 0);
    }

    /* ------------------------------------------------- HELPERS ------------------------------------------------- */

    function _fill(uint256 offered) internal {
        (bytes memory order, Payment[] memory payments) = _prepared(offered);
        vm.prank(solver);
        filler.fill(vault, order, payments);
    }

    function _refusedFill(uint256 offered, bytes memory reason) internal {
        (bytes memory order, Payment[] memory payments) = _prepared(offered);
        vm.prank(solver);
        vm.expectRevert(reason);
        filler.fill(vault, order, payments);
    }

    /// @dev LINK that the vault must get for `SOLD` at the start of an auction.
    function _fair() internal view returns (uint256) {
        return _rawUp(LINK, SOLD * (WAD + PREMIUM) / WAD);
    }

    function _prepared(uint256 offered) internal view returns (bytes memory order, Payment[] memory payments) {
        Order memory o = _asked();
        o.sells = _sells(DAI, SOLD, address(filler));
        o.buys = _buys(LINK, offered);
        payments = new Payment[](1);
        payments[0] = Payment(tokens[LINK], offered);
        order = OrderLib.encode(o, Program.encode(tokens, _paidHere(DAI, LINK)));
    }

    /// @dev The same with a second step behind the first.
    function _prepared(uint256 offered, Step memory more)
        internal
        view
        returns (bytes memory order, Payment[] memory payments)
    {
        (order, payments) = _prepared(offered);
        order = abi.encodePacked(order, Program.step(tokens, more));
    }

    function _asked() internal view returns (Order memory order) {
        order = _order();
        order.nonce = vault.openNonce() + 1;
    }

    /// @dev The one step of a fill: the filler, as a pair that has been paid already, pays the caller.
    function _paidHere(uint256 tokenIn, uint256 tokenOut) internal view returns (Step memory) {
        return
            Step(
                Program.V2, Program.PREFUNDED, Program.TO_CALLER, address(filler), uint8(tokenIn), uint8(tokenOut), 0, 1
            );
    }

    /// @dev Puts a token in the basket's place `index` that calls somebody back, in a new vault with a new auction.
    function _hookInto(uint256 index) internal returns (Intruder intruder) {
        CallbackToken token = new CallbackToken(18);
        intruder = new Intruder();
        _relist(index, address(token));
        _arrange();
        token.setHook(intruder);
    }

    function _nothingLeftBehind() internal view {
        for (uint256 i; i < ASSETS; ++i) {
            assertEq(_balanceOf(i, address(executor)), 0);
            assertEq(TestToken(tokens[i]).allowance(address(filler), address(executor)), 0);
            assertEq(TestToken(tokens[i]).allowance(address(filler), address(vault)), 0);
        }
    }
}

/// @notice A vault that takes a fill for done without asking for anything.
contract Forgetful {
    address internal immutable _executor;

    constructor(address executor) {
        _executor = executor;
    }

    function book() external view returns (Book memory b) {
        b.executor = _executor;
    }

    function rebalanceOpen(bytes calldata) external {}
}
