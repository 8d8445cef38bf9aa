// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Program} from "../utils/Program.sol";
import {Campaign} from "./Campaign.sol";
import {CampaignTest} from "./CampaignTest.sol";
import {PoolsHandler} from "./PoolsHandler.sol";

/// @notice What holds whatever the keeper does through the real executor, with real pools and a crooked one.
contract PoolsInvariants is CampaignTest {
    PoolsHandler internal handler;

    function _start() internal override returns (Campaign) {
        handler = new PoolsHandler();
        handler.setUp();
        return handler;
    }

    /// forge-config: default.invariant.fail-on-revert = true
    function invariant_no_pool_and_no_program_breaks_a_bound() external view {
        _checkState();
    }

    /// @dev A campaign in which nothing passes the guard would prove nothing.
    function test_the_campaign_does_what_it_is_about() external {
        _play(800);
        assertGt(handler.rebalanced(), 100, "batches");
        assertGt(handler.refused(), 50, "refusals");
        assertGt(handler.sandwiched(), 10, "sandwiches");
        for (uint8 kind; kind <= Program.CURVE; ++kind) {
            if (kind != Program.CURVE) assertGt(handler.tradedOn(kind), 3, "a published pool of each kind");
            assertGt(handler.crookedOn(kind), 1, "a crooked venue of each kind");
        }
        assertGt(handler.garbled(), 3, "garbled programs");
        assertGt(handler.swept(), 10, "sweeps");
        assertGt(handler.lossEdges(), 3, "loss budget nearly used up");
    }

    function _acts() internal pure override returns (bytes4[] memory acts) {
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
