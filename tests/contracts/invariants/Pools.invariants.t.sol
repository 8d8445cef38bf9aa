// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";

import {PoolsHandler} from "./PoolsHandler.sol";

/// @notice What holds whatever the keeper does through the real executor, with real pools and a crooked one.
contract PoolsInvariants is Test {
    PoolsHandler internal handler;

    function setUp() external {
        handler = new PoolsHandler();
        handler.setUp();
        targetSelector(FuzzSelector(address(handler), _acts()));
        targetContract(address(handler));
    }

    /// forge-config: default.invariant.fail-on-revert = true
    function invariant_no_pool_and_no_program_breaks_a_bound() external view {
        handler.checkState();
    }

    function afterInvariant() external view {
        handler.checkHistory();
    }

    /// @dev A campaign in which nothing passes the guard would prove nothing.
    function test_the_campaign_does_what_it_is_about() external {
        bytes4[] memory acts = _acts();
        for (uint256 i; i < 800; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(i)));
            (bool ok,) = address(handler).call(abi.encodeWithSelector(acts[seed % acts.length], seed));
            assertTrue(ok);
        }
        handler.checkState();
        handler.checkHistory();
        assertGt(handler.rebalanced(), 100, "batches");
        assertGt(handler.refused(), 50, "refusals");
        assertGt(handler.sandwiched(), 10, "sandwiches");
        assertGt(handler.crooked(), 5, "crooked pools");
        assertGt(handler.garbled(), 3, "garbled programs");
        assertGt(handler.swept(), 10, "sweeps");
        assertGt(handler.lossEdges(), 3, "loss budget nearly used up");
    }

    function _acts() internal pure returns (bytes4[] memory acts) {
        acts = new bytes4[](14);
        for (uint256 i; i < 4; ++i) {
            acts[i] = PoolsHandler.trade.selector;
        }
        (acts[4], acts[5]) = (PoolsHandler.prefund.selector, PoolsHandler.garble.selector);
        (acts[6], acts[7]) = (PoolsHandler.crook.selector, PoolsHandler.crook.selector);
        (acts[8], acts[9]) = (PoolsHandler.shift.selector, PoolsHandler.shift.selector);
        (acts[10], acts[11]) = (PoolsHandler.movePrice.selector, PoolsHandler.litter.selector);
        (acts[12], acts[13]) = (PoolsHandler.wait.selector, PoolsHandler.comeOrGo.selector);
    }
}
