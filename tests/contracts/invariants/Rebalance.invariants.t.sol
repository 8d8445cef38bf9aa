// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Campaign} from "./Campaign.sol";
import {CampaignTest} from "./CampaignTest.sol";
import {KeeperHandler} from "./KeeperHandler.sol";

/// @notice What holds whatever the keeper and the fillers do, with an executor that does whatever they say.
contract RebalanceInvariants is CampaignTest {
    KeeperHandler internal handler;

    function _start() internal override returns (Campaign) {
        handler = new KeeperHandler();
        handler.setUp();
        return handler;
    }

    /// @dev One campaign for all of them: each invariant function would run its own.
    /// forge-config: default.invariant.fail-on-revert = true
    function invariant_a_stolen_key_stays_within_its_bounds() external view {
        _checkState();
    }

    /// @dev A campaign in which nothing passes the guard would prove nothing.
    function test_the_campaign_does_what_it_is_about() external {
        _play(1000);
        assertGt(handler.rebalanced(), 100, "batches");
        assertGt(handler.filled(), 5, "fills");
        assertGt(handler.refused(), 50, "refusals");
        assertGt(handler.nested(), 5, "nested batches");
        assertGt(handler.shareMoves(), 50, "mints and redemptions");
        assertGt(handler.claimsMade(), 5, "claims made");
        assertGt(handler.claimsPaid(), 5, "claims paid");
        assertGt(handler.changes(), 10, "changes of settings");
        // The keeper takes nearly all that the budgets and the dust allow, again and again.
        assertGt(handler.lossEdges(), 10, "loss budget nearly used up");
        assertGt(handler.turnoverEdges(), 5, "turnover budget nearly used up");
        assertGt(handler.dustEdges(), 3, "dust nearly used up");
    }

    /// @dev The keeper's greed is the subject, and without drift there is nothing to take.
    function _acts() internal pure override returns (bytes4[] memory acts) {
        acts = new bytes4[](24);
        for (uint256 i; i < 5; ++i) {
            acts[i] = KeeperHandler.drain.selector;
        }
        for (uint256 i = 5; i < 9; ++i) {
            acts[i] = KeeperHandler.movePrice.selector;
        }
        (acts[9], acts[10]) = (KeeperHandler.drip.selector, KeeperHandler.enrich.selector);
        (acts[11], acts[12]) = (KeeperHandler.wash.selector, KeeperHandler.wash.selector);
        (acts[13], acts[14]) = (KeeperHandler.fill.selector, KeeperHandler.fill.selector);
        (acts[15], acts[16]) = (KeeperHandler.flail.selector, KeeperHandler.wait.selector);
        (acts[17], acts[18]) = (KeeperHandler.redeem.selector, KeeperHandler.redeem.selector);
        (acts[19], acts[20]) = (KeeperHandler.mint.selector, KeeperHandler.claim.selector);
        (acts[21], acts[22]) = (KeeperHandler.donate.selector, KeeperHandler.shrink.selector);
        acts[23] = KeeperHandler.curate.selector;
    }
}
