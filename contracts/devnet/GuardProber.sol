// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Limits} from "../interfaces/IIndexVault.sol";
import {Before, Guard, Outcome} from "../libraries/Guard.sol";

/// @title  GuardProber
/// @notice Asks the vault's guard about made-up batches: what the keeper's mirror of it is compared with.
/// @dev    For tests, inside an `eth_call`.
contract GuardProber {
    struct Case {
        uint256[] balances;
        uint256[] units;
        uint256[] prices;
        uint256[] weights;
        uint256[] balancesAfter;
        Limits limits;
        uint256 lossLevel;
        uint256 turnoverLevel;
    }

    struct Verdict {
        uint256 nav;
        uint256 gap;
        Outcome outcome;
        /// Revert data of the guard; empty if the batch may stand.
        bytes refusal;
    }

    /// @notice What the guard makes of each case.
    function judge(Case[] calldata cases) external view returns (Verdict[] memory verdicts) {
        verdicts = new Verdict[](cases.length);
        for (uint256 i; i < cases.length; ++i) {
            Before memory b = _before(cases[i]);
            verdicts[i].nav = b.nav;
            verdicts[i].gap = b.gap;
            verdicts[i].outcome = Guard.measure(b, cases[i].balancesAfter);
            try this.check(cases[i]) {}
            catch (bytes memory refusal) {
                verdicts[i].refusal = refusal;
            }
        }
    }

    /// @notice Reverts as the vault would.
    function check(Case calldata c) external pure {
        Before memory b = _before(c);
        Guard.checkDrift(b, c.limits.deadBand);
        Guard.check(
            b,
            Guard.measure(b, c.balancesAfter),
            c.limits,
            int256(uint256(c.limits.maxSlippage)),
            Guard.progress(b, c.limits.minProgress, 0),
            c.lossLevel,
            c.turnoverLevel
        );
    }

    function _before(Case calldata c) internal pure returns (Before memory b) {
        (b.balances, b.units, b.prices, b.weights) = (c.balances, c.units, c.prices, c.weights);
        Guard.valuate(b);
    }
}
