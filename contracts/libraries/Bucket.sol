// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

/// @title  Bucket
/// @notice A leaky bucket: what is poured in drains linearly, a full bucket in one window. Unlike a budget that is
///         reset by the calendar, no two spans side by side can each take a whole budget: any closed span T takes at
///         most capacity x (1 + T / window).
/// @dev    Levels are fractions of NAV, WAD.
library Bucket {
    /// @notice The level after `elapsed` seconds. The drain is rounded down, against whoever wants headroom.
    function drained(uint256 level, uint256 capacity, uint256 elapsed, uint256 window) internal pure returns (uint256) {
        if (elapsed >= window) elapsed = window;
        return FixedPointMathLib.zeroFloorSub(level, capacity * elapsed / window);
    }
}
