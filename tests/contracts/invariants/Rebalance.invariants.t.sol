// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";

import {IndexVault} from "../../../contracts/IndexVault.sol";
import {Limits} from "../../../contracts/interfaces/IIndexVault.sol";
import {TestToken} from "../utils/Tokens.sol";
import {KeeperHandler} from "./KeeperHandler.sol";

/// @notice What holds whatever the keeper does.
contract RebalanceInvariants is Test {
    uint256 internal constant WAD = 1e18;
    uint256 internal constant RAY = 1e27;

    KeeperHandler internal handler;

    function setUp() external {
        handler = new KeeperHandler();
        handler.setUp();
        bytes4[] memory acts = _acts();
        targetSelector(FuzzSelector(address(handler), acts));
        targetContract(address(handler));
    }

    /// @dev One campaign for all of them: each invariant function would run its own.
    function invariant_a_stolen_key_stays_within_its_bounds() public view {
        assertEq(handler.broken(), "");
        _sumsStayWithinTheBudgets();
        _noAllowance();
        _sharesReconcile();
    }

    /// @dev A campaign in which nothing passes the guard would prove nothing.
    function test_the_campaign_does_rebalance() external {
        bytes4[] memory acts = _acts();
        for (uint256 i; i < 400; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(i)));
            (bool ok,) = address(handler).call(abi.encodeWithSelector(acts[seed % acts.length], seed));
            assertTrue(ok);
        }
        invariant_a_stolen_key_stays_within_its_bounds();
        assertGt(handler.rebalanced(), 50);
        assertGt(handler.filled(), 5);
        assertGt(handler.refused(), 50);
        assertGt(handler.shareMoves(), 20);
        // The keeper takes nearly all that the budgets allow.
        assertGt(handler.lossPeak(), handler.limits().lossBudget * RAY / WAD * 99 / 100);
        assertGt(handler.turnoverPeak(), handler.limits().turnoverBudget * RAY / WAD * 99 / 100);
    }

    /// @dev Over every closed span T: losses at most lossBudget (1 + T / window), turnover likewise, and what the
    ///      market says was lost at most (losses + turnover x delta) / (1 - delta).
    function _sumsStayWithinTheBudgets() internal view {
        Limits memory l = handler.limits();
        assertLe(handler.lossPeak(), l.lossBudget * RAY / WAD, "loss over the worst span");
        assertLe(handler.turnoverPeak(), l.turnoverBudget * RAY / WAD, "turnover over the worst span");

        uint256 time = handler.lastAt() - handler.firstAt();
        uint256 losses = _allowed(l.lossBudget, time, l.window);
        uint256 turnover = _allowed(l.turnoverBudget, time, l.window);
        assertLe(handler.lossSum(), losses, "losses over the whole span");
        assertLe(handler.turnoverSum(), turnover, "turnover over the whole span");
        uint256 delta = handler.DELTA();
        assertLe(
            handler.shortfallSum(), (losses + turnover * delta / WAD) * WAD / (WAD - delta), "shortfall at the market"
        );
    }

    function _allowed(uint256 budget, uint256 time, uint256 window) internal pure returns (uint256) {
        return budget * RAY / WAD * (window + time) / window + 1;
    }

    function _noAllowance() internal view {
        (address vault, address executor, address[] memory accounts) = handler.parties();
        address[] memory tokens = handler.assets();
        for (uint256 i; i < tokens.length; ++i) {
            assertEq(TestToken(tokens[i]).allowance(vault, executor), 0);
            for (uint256 j; j < accounts.length; ++j) {
                assertEq(TestToken(tokens[i]).allowance(vault, accounts[j]), 0);
            }
        }
    }

    function _sharesReconcile() internal view {
        (address vault,, address[] memory accounts) = handler.parties();
        uint256 sum;
        for (uint256 i; i < accounts.length; ++i) {
            sum += IndexVault(vault).balanceOf(accounts[i]);
        }
        assertEq(IndexVault(vault).totalSupply(), sum);
    }

    function _acts() internal pure returns (bytes4[] memory acts) {
        acts = new bytes4[](16);
        // The keeper's greed is the subject, and without drift there is nothing to take.
        for (uint256 i; i < 4; ++i) {
            acts[i] = KeeperHandler.drain.selector;
        }
        for (uint256 i = 4; i < 7; ++i) {
            acts[i] = KeeperHandler.movePrice.selector;
        }
        acts[7] = KeeperHandler.enrich.selector;
        acts[8] = KeeperHandler.wash.selector;
        acts[9] = KeeperHandler.flail.selector;
        acts[10] = KeeperHandler.wait.selector;
        acts[11] = KeeperHandler.mint.selector;
        acts[12] = KeeperHandler.redeem.selector;
        acts[13] = KeeperHandler.donate.selector;
        acts[14] = KeeperHandler.fill.selector;
        acts[15] = KeeperHandler.fill.selector;
    }
}
