// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {AuctionTerms, Fees, IVaultEvents, Limits} from "../interfaces/IIndexVault.sol";

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

    uint256 internal constant MAX_OPEN_BAND = 1e18;
    uint256 internal constant MAX_PREMIUM = 0.05e18;
    uint256 internal constant MIN_FILL = 0.01e18;
    uint256 internal constant MAX_FILL = 1e18;
    uint256 internal constant MIN_GRACE = 1 hours;
    uint256 internal constant MAX_GRACE = 90 days;
    uint256 internal constant MIN_AUCTION = 10 minutes;
    uint256 internal constant MAX_AUCTION = 7 days;

    uint256 internal constant MAX_STREAMING_FEE = 0.1e18;
    uint256 internal constant MAX_MINT_FEE = 0.05e18;
    uint256 internal constant MAX_REDEEM_FEE = 0.02e18;

    uint256 internal constant MIN_TIMELOCK = 3 days;
    uint256 internal constant MAX_TIMELOCK = 60 days;

    /// @notice Reverts with the first limit that lies outside its bound.
    function validate(Limits memory l, AuctionTerms memory a) internal pure {
        within("maxSlippage", l.maxSlippage, 0, MAX_SLIPPAGE);
        within("maxBatchLoss", l.maxBatchLoss, 0, MAX_BATCH_LOSS);
        within("lossBudget", l.lossBudget, 0, MAX_LOSS_BUDGET);
        within("turnoverBudget", l.turnoverBudget, 0, MAX_TURNOVER_BUDGET);
        within("deadBand", l.deadBand, 0, MAX_DEAD_BAND);
        within("minProgress", l.minProgress, MIN_PROGRESS, MAX_PROGRESS);
        within("dust", l.dust, 0, MAX_DUST);
        within("window", l.window, MIN_WINDOW, MAX_WINDOW);
        within("cooldown", l.cooldown, MIN_COOLDOWN, MAX_COOLDOWN);
        within("openBand", a.openBand, l.deadBand, MAX_OPEN_BAND);
        within("premium", a.premium, 0, MAX_PREMIUM);
        within("minFill", a.minFill, MIN_FILL, MAX_FILL);
        within("keeperGrace", a.keeperGrace, MIN_GRACE, MAX_GRACE);
        within("auctionLength", a.length, MIN_AUCTION, MAX_AUCTION);
    }

    /// @notice Reverts with the first fee that lies above its bound.
    function validate(Fees memory f) internal pure {
        within("streamingFee", f.streaming, 0, MAX_STREAMING_FEE);
        within("mintFee", f.mint, 0, MAX_MINT_FEE);
        within("redeemFee", f.redeem, 0, MAX_REDEEM_FEE);
    }

    /// @notice Whether `next` is nowhere looser than `current`. The window must stay: a longer one drains a bucket
    ///         more slowly, but lets the levels of the past weigh longer.
    function isTighter(Limits memory current, Limits memory next) internal pure returns (bool) {
        return next.maxSlippage <= current.maxSlippage && next.maxBatchLoss <= current.maxBatchLoss
            && next.lossBudget <= current.lossBudget && next.turnoverBudget <= current.turnoverBudget
            && next.dust <= current.dust && next.deadBand >= current.deadBand && next.minProgress >= current.minProgress
            && next.cooldown >= current.cooldown && next.window == current.window;
    }

    function within(bytes32 name, uint256 value, uint256 min, uint256 max) internal pure {
        if (value < min || value > max) revert IVaultEvents.LimitOutOfBounds(name, value, min, max);
    }
}
