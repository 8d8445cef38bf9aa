// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {SwapExecutor} from "../../contracts/SwapExecutor.sol";
import {VaultConfig} from "../../contracts/interfaces/IIndexVault.sol";
import {Guard} from "../../contracts/libraries/Guard.sol";
import {Order, OrderLib, Sell} from "../../contracts/libraries/OrderLib.sol";
import {Program, Step} from "./utils/Program.sol";
import {TestToken} from "./utils/Tokens.sol";
import {UniswapTest} from "./utils/UniswapTest.sol";
import {VaultTest} from "./utils/VaultTest.sol";

/// @notice The vault and the executor together, through real pools at the feeds' prices.
contract IndexVaultPoolsTest is VaultTest, UniswapTest {
    SwapExecutor internal executor;
    address internal pairDaiLink;
    address internal poolDaiWeth;
    address internal poolWethLink;

    function setUp() public override {
        super.setUp();
        _deployUniswap();
        executor = new SwapExecutor(address(0));
        VaultConfig memory c = _offTarget(DAI, LINK);
        c.executor = address(executor);
        _deploy(c);

        pairDaiLink = _pair(tokens[DAI], _raw(DAI, 50e24), tokens[LINK], _raw(LINK, 50e24));
        poolDaiWeth = _pool(tokens[DAI], _raw(DAI, 50e24), tokens[WETH], _raw(WETH, 50e24), 500);
        poolWethLink = _pool(tokens[WETH], _raw(WETH, 50e24), tokens[LINK], _raw(LINK, 50e24), 3000);
    }

    function test_a_sale_pushed_into_a_pair_comes_back_in_one_swap() external {
        uint256 out = _quoteV2(pairDaiLink, tokens[DAI], 50_000e18, 3000);
        Step memory step = _step(Program.V2, pairDaiLink, DAI, LINK);
        (step.mode, step.amount) = (Program.PREFUNDED, 50_000e18);
        Order memory order = _order();
        order.sells = _sells(DAI, 50_000e18, pairDaiLink);
        order.buys = _buys(LINK, out);
        _rebalance(OrderLib.encode(order, Program.encode(tokens, step)));

        assertEq(_balanceOf(LINK, address(vault)), _raw(LINK, OFF) + out);
        _nothingLeftBehind();
    }

    function test_a_sale_through_two_pools_reaches_the_vault() external {
        uint256 out = _quoteV3(
            poolWethLink, tokens[WETH], tokens[LINK], _quoteV3(poolDaiWeth, tokens[DAI], tokens[WETH], 50_000e18)
        );
        Step memory first = _step(Program.V3, poolDaiWeth, DAI, WETH);
        first.to = Program.TO_EXECUTOR;
        Order memory order = _order();
        order.sells = _sells(DAI, 50_000e18, address(0));
        order.buys = _buys(LINK, out);
        _rebalance(OrderLib.encode(order, Program.encode(tokens, first, _step(Program.V3, poolWethLink, WETH, LINK))));

        assertEq(_balanceOf(LINK, address(vault)), _raw(LINK, OFF) + out);
        assertEq(_balanceOf(WETH, address(vault)), _raw(WETH, NAV / ASSETS));
        _nothingLeftBehind();
    }

    function test_what_the_route_leaves_comes_back_to_the_vault() external {
        uint256 before = _balanceOf(DAI, address(vault));
        Step memory step = _step(Program.V2, pairDaiLink, DAI, LINK);
        (step.mode, step.amount) = (Program.EXACT, 10_000e18);
        Order memory order = _order();
        order.sells = _sells(DAI, 50_000e18, address(0));
        _rebalance(OrderLib.encode(order, Program.encode(tokens, step)));

        assertEq(_balanceOf(DAI, address(vault)), before - 10_000e18);
        _nothingLeftBehind();
    }

    function test_a_sale_that_stays_in_a_pair_is_a_loss() external {
        Order memory order = _order();
        order.sells = _sells(DAI, 10_000e18, pairDaiLink);
        _refused(
            OrderLib.encode(order, Program.head(tokens)),
            abi.encodeWithSelector(Guard.UnfairTrade.selector, 10_000e18, 0, 0.05e18)
        );
    }

    function test_a_pool_moved_before_the_batch_cannot_take_more_than_the_slippage() external {
        // Somebody buys LINK with as much DAI as the pair holds: the price quadruples.
        TestToken(tokens[DAI]).mint(address(executor), _raw(DAI, 50e24));
        Step memory sandwich = _step(Program.V2, pairDaiLink, DAI, LINK);
        executor.execute(Program.encode(tokens, sandwich));

        uint256 out = _quoteV2(pairDaiLink, tokens[DAI], 10_000e18, 3000);
        Order memory order = _order();
        order.sells = _sells(DAI, 10_000e18, address(0));
        _refused(
            OrderLib.encode(order, Program.encode(tokens, _step(Program.V2, pairDaiLink, DAI, LINK))),
            abi.encodeWithSelector(Guard.UnfairTrade.selector, 10_000e18, _value(LINK, out), 0.05e18)
        );
    }

    function testFuzz_no_route_takes_more_than_the_guard_allows(bytes calldata garbage, uint256 seed, bool prefund)
        external
    {
        Step memory step = _step(Program.V2, pairDaiLink, DAI, LINK);
        if (prefund) (step.mode, step.amount) = (Program.PREFUNDED, 10_000e18);
        bytes memory route = Program.encode(tokens, step, _step(Program.V3, poolWethLink, WETH, LINK));
        for (uint256 i; i < garbage.length % 4; ++i) {
            route[uint256(keccak256(abi.encode(seed, i))) % route.length] = garbage[i];
        }
        Order memory order = _order();
        order.sells = new Sell[](2);
        order.sells[0] = Sell(WETH, 1e15, address(0));
        order.sells[1] = Sell(DAI, 10_000e18, prefund ? pairDaiLink : address(0));

        vm.prank(keeper);
        try vault.rebalance(OrderLib.encode(order, route)) {
            assertGe(vault.nav(), NAV - 10_003e18 * 5 / 100);
        } catch {
            assertEq(vault.nav(), NAV);
        }
    }

    /// @dev Nobody has an allowance from the vault or the executor, and the executor has nothing.
    function _nothingLeftBehind() internal view {
        address[6] memory spenders = [address(executor), address(vault), pairDaiLink, poolDaiWeth, poolWethLink, keeper];
        for (uint256 i; i < ASSETS; ++i) {
            assertEq(_balanceOf(i, address(executor)), 0);
            for (uint256 j; j < spenders.length; ++j) {
                assertEq(TestToken(tokens[i]).allowance(address(vault), spenders[j]), 0);
                assertEq(TestToken(tokens[i]).allowance(address(executor), spenders[j]), 0);
            }
        }
    }

    /// @dev A step that swaps all that is here and pays the vault.
    function _step(uint8 kind, address pool, uint256 tokenIn, uint256 tokenOut) internal pure returns (Step memory) {
        return Step(kind, Program.ALL_HERE, Program.TO_CALLER, pool, uint8(tokenIn), uint8(tokenOut), 3000, 0);
    }
}
