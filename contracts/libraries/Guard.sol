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
///         A product above 2^256 reverts: that stops trading, never the exit.
library Guard {
    using Arrays for uint256[];
    using FixedPointMathLib for uint256;

    uint256 internal constant WAD = 1e18;

    error WorthlessBasket();
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

    /// @notice Reverts unless drift is above `band`.
    function checkDrift(Before memory b, uint256 band) internal pure {
        uint256 drift = driftOf(b);
        if (drift <= band) revert BelowDeadBand(drift, band);
    }

    /// @notice Least value by which the gap must shrink, USD WAD: a part of NAV, or of the gap if that is more.
    function progress(Before memory b, uint256 minProgress, uint256 minFill) internal pure returns (uint256) {
        return FixedPointMathLib.max(b.nav.mulDivUp(minProgress, WAD), b.gap.mulDivUp(minFill, WAD));
    }

    /// @notice Values the measured change of every balance.
    /// @param  balances Raw amounts after the batch, in index order.
    function measure(Before memory b, uint256[] memory balances) internal pure returns (Outcome memory o) {
        for (uint256 i; i < balances.length; ++i) {
            uint256 at = Arrays.offset(i);
            uint256 value = b.values.get(at);
            uint256 held = b.balances.get(at);
            uint256 holds = balances.get(at);
            if (holds > held) {
                uint256 bought = (holds - held).mulDiv(b.prices.get(at), b.units.get(at));
                o.bought += bought;
                value += bought;
            } else if (holds < held) {
                uint256 sold = (held - holds).mulDivUp(b.prices.get(at), b.units.get(at));
                o.sold += sold;
                // Selling everything can round to one wei more than it was worth.
                value = value.zeroFloorSub(sold);
            }
            // One yardstick for the batch: the targets at the NAV before it.
            o.gap += value.dist(b.targets.get(at));
        }
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

        return (lossLevel, turnoverLevel);
    }

    // In assembly, with the compiler's checks of products and sums done once for all assets: for nine of them it saves
    // 5,000 gas. What it multiplies and divides is what `mulDiv` does.

    /// @dev The value of each balance, rounded down, and the sum of them.
    function _values(uint256[] memory balances, uint256[] memory prices, uint256[] memory units)
        private
        pure
        returns (uint256[] memory values, uint256 sum)
    {
        bool failed;
        assembly ("memory-safe") {
            let size := shl(5, add(mload(balances), 1))
            values := mload(0x40)
            mstore(0x40, add(values, size))
            mstore(values, mload(balances))
            for { let at := 0x20 } lt(at, size) { at := add(at, 0x20) } {
                let balance_ := mload(add(balances, at))
                let price := mload(add(prices, at))
                let unit := mload(add(units, at))
                let product := mul(balance_, price)
                let value := div(product, unit)
                mstore(add(values, at), value)
                sum := add(sum, value)
                failed := or(
                    or(failed, lt(sum, value)),
                    iszero(mul(or(iszero(price), eq(div(product, price), balance_)), unit))
                )
            }
        }
        if (failed) revert FixedPointMathLib.MulDivFailed();
    }

    /// @dev The target of each asset, rounded down, and the sum of the distances from them. `nav` is not zero.
    function _targets(uint256[] memory values, uint256[] memory weights, uint256 nav)
        private
        pure
        returns (uint256[] memory targets, uint256 sum)
    {
        bool failed;
        assembly ("memory-safe") {
            let size := shl(5, add(mload(values), 1))
            targets := mload(0x40)
            mstore(0x40, add(targets, size))
            mstore(targets, mload(values))
            for { let at := 0x20 } lt(at, size) { at := add(at, 0x20) } {
                let value := mload(add(values, at))
                let weight := mload(add(weights, at))
                let target := mul(nav, weight)
                failed := or(failed, xor(div(target, nav), weight))
                target := div(target, WAD)
                mstore(add(targets, at), target)
                let distance := sub(value, target)
                if lt(value, target) { distance := sub(target, value) }
                sum := add(sum, distance)
                failed := or(failed, lt(sum, distance))
            }
        }
        if (failed) revert FixedPointMathLib.MulDivFailed();
    }
}
