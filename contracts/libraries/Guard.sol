// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {Limits} from "../interfaces/IIndexVault.sol";
import {Arrays} from "./Arrays.sol";

/// @notice The basket as it stood before the batch, at the prices that judge the batch.
struct Before {
    /// Raw amounts, whole-token units (10^decimals), prices (USD WAD), target weights (WAD); all in index order.
    uint256[] balances;
    uint256[] units;
    uint256[] prices;
    uint256[] weights;
    /// USD WAD per asset, rounded down, and their sum.
    uint256[] values;
    uint256 nav;
    /// Weight x nav per asset, USD WAD, rounded down.
    uint256[] targets;
    /// Distance from the targets: sum of |value - target|, USD WAD.
    uint256 gap;
}

/// @notice What a batch did, from measured balances. All USD WAD.
struct Outcome {
    uint256 sold;
    uint256 bought;
    uint256 nav;
    /// Distance from the same targets as before.
    uint256 gap;
}

/// @title  Guard
/// @notice Decides whether a batch may stand. Pure, so that it can be checked by itself, and mirrored by the keeper.
/// @dev    Bought value is rounded down and sold value up, so that value for value and both loss tests are at least as
///         strict as in exact arithmetic. Turnover and gap are sums of rounded values, off by a few wei of USD an asset.
///         Raw amounts and prices are below 2^120, weights below 2^64, NAV below 2^190, what a batch did below 2^192, so that
///         no product overflows with 32 assets. What is wider reverts: that stops trading, never the exit.
library Guard {
    using Arrays for uint256[];
    using FixedPointMathLib for uint256;

    uint256 internal constant WAD = 1e18;

    uint256 internal constant AMOUNT_BITS = 120;
    uint256 internal constant WEIGHT_BITS = 64;
    uint256 internal constant NAV_BITS = 190;
    uint256 internal constant OUTCOME_BITS = 192;

    error WorthlessBasket();
    /// @notice Some amount, price, weight or value has more than `bits` bits: `wide` is the union of all that were looked at.
    error TooWide(uint256 wide, uint256 bits);
    error BelowDeadBand(uint256 drift, uint256 deadBand);
    error UnfairTrade(uint256 sold, uint256 bought, int256 maxSlippage);
    error BatchLossTooLarge(uint256 nav0, uint256 nav1, uint256 maxBatchLoss);
    error LossBudgetExceeded(uint256 level, uint256 budget);
    error TurnoverBudgetExceeded(uint256 level, uint256 budget);
    error NotTowardsTarget(uint256 turnover, uint256 closed, uint256 allowance);
    error TooLittleProgress(uint256 gap0, uint256 gap1, uint256 needed);

    /// @notice Fills in the values, NAV, targets and gap of `b` from its balances, prices and weights.
    function valuate(Before memory b) internal pure {
        (b.values, b.nav) = _values(b.balances, b.prices, b.units);
        if (b.nav == 0) revert WorthlessBasket();
        (b.targets, b.gap) = _targets(b.values, b.weights, b.nav);
    }

    /// @notice Drift before the batch, WAD, rounded down.
    function driftOf(Before memory b) internal pure returns (uint256) {
        return b.gap.mulDiv(WAD, b.nav);
    }

    /// @notice Drift after the batch in terms of the NAV before it, WAD, rounded up.
    function driftOf(Before memory b, Outcome memory o) internal pure returns (uint256) {
        return o.gap.mulDivUp(WAD, b.nav);
    }

    /// @notice The drift before the batch. Reverts unless it is above `band`.
    function checkDrift(Before memory b, uint256 band) internal pure returns (uint256 drift) {
        drift = driftOf(b);
        if (drift <= band) revert BelowDeadBand(drift, band);
    }

    /// @notice Least value by which the gap must shrink, USD WAD: a part of NAV, or of the gap if that is more.
    function progress(Before memory b, uint256 minProgress, uint256 minFill) internal pure returns (uint256) {
        return FixedPointMathLib.max(b.nav.mulDivUp(minProgress, WAD), b.gap.mulDivUp(minFill, WAD));
    }

    /// @notice Values the measured change of every balance.
    /// @param  balances Raw amounts after the batch, in index order.
    function measure(Before memory b, uint256[] memory balances) internal pure returns (Outcome memory o) {
        (o.sold, o.bought, o.gap) = _changes(b, balances);
        o.nav = (b.nav + o.bought).zeroFloorSub(o.sold);
    }

    /// @notice Reverts unless the outcome is fair, near, towards the targets, and within both budgets.
    /// @param  slippage Bought value must reach (1 - slippage) of sold value, WAD; below zero it must exceed it.
    /// @param  needed Least value by which the gap must shrink, USD WAD.
    /// @param  lossLevel Loss bucket before the batch, drained to now.
    /// @param  turnoverLevel Turnover bucket before the batch, drained to now.
    /// @return The two levels after the batch.
    function check(
        Before memory b,
        Outcome memory o,
        Limits memory limits,
        int256 slippage,
        uint256 needed,
        uint256 lossLevel,
        uint256 turnoverLevel
    ) internal pure returns (uint256, uint256) {
        // Narrow enough for all that follows, which saves 900 gas against a check of each product and sum.
        _checkWidth(o.sold | o.bought | o.nav | o.gap | needed | lossLevel | turnoverLevel, OUTCOME_BITS);
        unchecked {
            if (o.bought * WAD < o.sold * uint256(int256(WAD) - slippage)) {
                revert UnfairTrade(o.sold, o.bought, slippage);
            }
            if (o.nav * WAD < b.nav * (WAD - limits.maxBatchLoss)) {
                revert BatchLossTooLarge(b.nav, o.nav, limits.maxBatchLoss);
            }

            // A gain is never credited, or the next batch could lose it again.
            lossLevel += b.nav.zeroFloorSub(o.nav).mulDivUp(WAD, b.nav);
            if (lossLevel > limits.lossBudget) revert LossBudgetExceeded(lossLevel, limits.lossBudget);
            uint256 turnover = o.sold + o.bought;
            turnoverLevel += turnover.mulDivUp(WAD, b.nav);
            if (turnoverLevel > limits.turnoverBudget) {
                revert TurnoverBudgetExceeded(turnoverLevel, limits.turnoverBudget);
            }

            // Turnover never falls short of the gap it closes, and equals it only if no asset turns away from its target
            // or crosses it. Summed over batches the gaps telescope, which bounds wash trading.
            uint256 allowance = b.nav.mulDiv(limits.dust, WAD);
            if (turnover + o.gap > b.gap + allowance) {
                revert NotTowardsTarget(turnover, b.gap.zeroFloorSub(o.gap), allowance);
            }
            if (o.gap + needed > b.gap) revert TooLittleProgress(b.gap, o.gap, needed);
        }

        return (lossLevel, turnoverLevel);
    }

    // In assembly, with no check of a product or a sum: what goes in is narrow enough that none can overflow, which is seen
    // once for all assets. For nine of them that saves 12,000 gas. What it divides is divided as `mulDiv` and `mulDivUp` do.

    /// @dev The value of each balance, rounded down, and the sum of them.
    function _values(uint256[] memory balances, uint256[] memory prices, uint256[] memory units)
        private
        pure
        returns (uint256[] memory values, uint256 sum)
    {
        uint256 wide;
        assembly ("memory-safe") {
            let at := shl(5, mload(balances))
            values := mload(0x40)
            mstore(0x40, add(values, add(at, 0x20)))
            mstore(values, mload(balances))
            for {} at { at := sub(at, 0x20) } {
                let balance_ := mload(add(balances, at))
                let price := mload(add(prices, at))
                wide := or(wide, or(balance_, price))
                let value := div(mul(balance_, price), mload(add(units, at)))
                mstore(add(values, at), value)
                sum := add(sum, value)
            }
        }
        _checkWidth(wide, AMOUNT_BITS);
    }

    /// @dev The target of each asset, rounded down, and the sum of the distances from them.
    function _targets(uint256[] memory values, uint256[] memory weights, uint256 nav)
        private
        pure
        returns (uint256[] memory targets, uint256 sum)
    {
        _checkWidth(nav, NAV_BITS);
        uint256 wide;
        assembly ("memory-safe") {
            let at := shl(5, mload(values))
            targets := mload(0x40)
            mstore(0x40, add(targets, add(at, 0x20)))
            mstore(targets, mload(values))
            for {} at { at := sub(at, 0x20) } {
                let value := mload(add(values, at))
                let weight := mload(add(weights, at))
                wide := or(wide, weight)
                let target := div(mul(nav, weight), WAD)
                mstore(add(targets, at), target)
                switch lt(value, target)
                case 0 { sum := add(sum, sub(value, target)) }
                default { sum := add(sum, sub(target, value)) }
            }
        }
        _checkWidth(wide, WEIGHT_BITS);
    }

    /// @dev What left the basket, rounded up, what came, rounded down, and the sum of the distances from the targets of
    ///      before: one yardstick for the batch.
    function _changes(Before memory b, uint256[] memory balances)
        private
        pure
        returns (uint256 sold, uint256 bought, uint256 gap)
    {
        uint256 wide;
        assembly ("memory-safe") {
            for { let at := shl(5, mload(balances)) } at { at := sub(at, 0x20) } {
                let value := mload(add(mload(add(b, 0x80)), at)) // b.values
                let held := mload(add(mload(b), at)) // b.balances
                let holds := mload(add(balances, at))
                if xor(holds, held) {
                    wide := or(wide, holds)
                    let unit := mload(add(mload(add(b, 0x20)), at)) // b.units
                    let price := mload(add(mload(add(b, 0x40)), at)) // b.prices
                    switch lt(holds, held)
                    case 0 {
                        let change := div(mul(sub(holds, held), price), unit)
                        bought := add(bought, change)
                        value := add(value, change)
                    }
                    default {
                        let product := mul(sub(held, holds), price)
                        let change := add(div(product, unit), iszero(iszero(mod(product, unit))))
                        sold := add(sold, change)
                        // Selling everything can round to one wei more than it was worth.
                        value := mul(gt(value, change), sub(value, change))
                    }
                }
                let target := mload(add(mload(add(b, 0xc0)), at)) // b.targets
                switch lt(value, target)
                case 0 { gap := add(gap, sub(value, target)) }
                default { gap := add(gap, sub(target, value)) }
            }
        }
        _checkWidth(wide, AMOUNT_BITS);
    }

    function _checkWidth(uint256 wide, uint256 bits) private pure {
        if (wide >> bits != 0) revert TooWide(wide, bits);
    }
}
