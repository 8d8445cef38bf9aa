// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice What the oracle reads of a Chainlink-compatible feed.
interface IAggregator {
    function decimals() external view returns (uint8);

    function latestRoundData()
        external
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound);
}

/// @notice What a Chainlink proxy tells of the aggregator behind it, and that aggregator of its bounds.
interface IAggregatorProxy {
    function aggregator() external view returns (address);
    function minAnswer() external view returns (int192);
    function maxAnswer() external view returns (int192);
}
