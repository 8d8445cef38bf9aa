// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title  OneSlotFeed
/// @notice The cheapest feed that can be read: one slot, no proxy in front.
/// @dev    For benchmarks, which compare with other protocols on feeds like this one.
contract OneSlotFeed {
    uint8 public constant decimals = 8;

    int192 internal _answer;
    uint64 internal _updatedAt;

    constructor(int192 answer) {
        (_answer, _updatedAt) = (answer, uint64(block.timestamp));
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        return (1, _answer, _updatedAt, _updatedAt, 1);
    }
}
