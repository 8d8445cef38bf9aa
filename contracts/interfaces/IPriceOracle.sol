// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice How one token is priced.
struct FeedConfig {
    address token;
    /// Chainlink-compatible aggregator quoting USD.
    address feed;
    /// Oldest answer accepted, seconds.
    uint32 heartbeat;
    /// Bounds on the price, USD in WAD, both exclusive.
    uint128 minPrice;
    uint128 maxPrice;
}

/// @title  IPriceOracle
/// @notice USD prices in WAD for one whole token, or a revert that says which price was refused and why.
/// @dev    Immutable. To change a feed, deploy another oracle.
interface IPriceOracle {
    error NoFeed(address token);
    error DuplicateFeed(address token);
    error BadFeedConfig(address token);
    error NotPositive(address token, int256 answer);
    error StalePrice(address token, uint256 updatedAt, uint256 timestamp, uint256 heartbeat);
    error PriceOutOfBounds(address token, uint256 price, uint256 min, uint256 max);

    /// @notice Prices of `tokens`, in their order. Reverts unless every one is positive, fresh and inside its bounds.
    function prices(address[] calldata tokens) external view returns (uint256[] memory);

    /// @notice One price and when its feed last answered. Reverts as `prices` does.
    function latest(address token) external view returns (uint256 price, uint256 updatedAt);

    /// @notice Every feed, in the order of the constructor.
    function feeds() external view returns (FeedConfig[] memory);
}
