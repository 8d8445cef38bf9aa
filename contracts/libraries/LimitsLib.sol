// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IIndexVault, Limits} from "../interfaces/IIndexVault.sol";

/// @title  LimitsLib
/// @notice The hard bound of every parameter. No owner can set a vault looser than this.
library LimitsLib {
    uint256 internal constant MAX_SLIPPAGE = 0.05e18;
    uint256 internal constant MAX_BATCH_LOSS = 0.05e18;
    uint256 internal constant MAX_LOSS_BUDGET = 0.1e18;
    uint256 internal constant MAX_TURNOVER_BUDGET = 10e18;
    uint256 internal constant MAX_DEAD_BAND = 0.5e18;
    uint256 internal constant MIN_PROGRESS = 1e12;
    uint256 internal constant MAX_PROGRESS = 0.1e18;
    uint256 internal constant MAX_DUST = 0.0001e18;
    uint256 internal constant MIN_WINDOW = 1 hours;
    uint256 internal constant MAX_WINDOW = 90 days;
    uint256 internal constant MIN_COOLDOWN = 12;
    uint256 internal constant MAX_COOLDOWN = 30 days;

    /// @notice Reverts with the first limit that lies outside its bound.
    function validate(Limits memory limits) internal pure {
        _within("maxSlippage", limits.maxSlippage, 0, MAX_SLIPPAGE);
        _within("maxBatchLoss", limits.maxBatchLoss, 0, MAX_BATCH_LOSS);
        _within("lossBudget", limits.lossBudget, 0, MAX_LOSS_BUDGET);
        _within("turnoverBudget", limits.turnoverBudget, 0, MAX_TURNOVER_BUDGET);
        _within("deadBand", limits.deadBand, 0, MAX_DEAD_BAND);
        _within("minProgress", limits.minProgress, MIN_PROGRESS, MAX_PROGRESS);
        _within("dust", limits.dust, 0, MAX_DUST);
        _within("window", limits.window, MIN_WINDOW, MAX_WINDOW);
        _within("cooldown", limits.cooldown, MIN_COOLDOWN, MAX_COOLDOWN);
    }

    function _within(bytes32 name, uint256 value, uint256 min, uint256 max) private pure {
        if (value < min || value > max) revert IIndexVault.LimitOutOfBounds(name, value, min, max);
    }
}
