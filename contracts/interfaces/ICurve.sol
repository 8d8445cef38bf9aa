// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice What Ballast calls of a plain Curve StableSwap pool. Some return what they paid, some nothing.
interface ICurvePool {
    function exchange(int128 i, int128 j, uint256 dx, uint256 minDy) external;
}
