// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice A second feed that a first one is multiplied by: ETH/USD, where the first answers stETH/ETH.
struct QuoteConfig {
    /// Zero for none: the first feed answers in USD.
    address feed;
    /// Oldest answer accepted, seconds.
    uint32 heartbeat;
    /// Bounds on this feed's answer, USD in WAD, both exclusive.
    uint128 minPrice;
    uint128 maxPrice;
}

/// @notice For a token that is an ERC-4626 share: how far its rate (assets per share) is believed. All zero for none.
struct ShareConfig {
    /// How far the rate may stand above and below the checkpoint, WAD fractions of it.
    uint64 maxAbove;
    uint64 maxBelow;
    /// How far the checkpoint may move in a day, in either direction, WAD fraction of it.
    uint64 maxDriftPerDay;
}

/// @notice A Uniswap V3 pool whose mean price the feeds must agree with.
struct AnchorConfig {
    /// Zero for none. Holds the token, or the asset that it is a share of, against another token that has a price here.
    address pool;
    /// What the mean is taken over, seconds. The pool must remember as much (`increaseObservationCardinalityNext`).
    uint32 window;
    /// How far the price may stand from the anchor, WAD fraction of the anchor.
    uint64 maxDeviation;
}

/// @notice How one token is priced: `feed`, times `quote` if there is one, times the rate if the token is a share.
struct FeedConfig {
    address token;
    /// Chainlink-compatible: USD, or the unit that `quote` prices, for one whole token (or what it is a share of).
    address feed;
    /// Oldest answer accepted, seconds.
    uint32 heartbeat;
    /// Bounds on the feed's answer in WAD, both exclusive.
    uint128 minPrice;
    uint128 maxPrice;
    QuoteConfig quote;
    ShareConfig share;
    AnchorConfig anchor;
}

/// @title  IPriceOracle
/// @notice USD prices in WAD for one whole token, or a revert that says which price was refused and why.
/// @dev    Immutable but for the checkpoints of share rates. To change a feed, deploy another oracle.
interface IPriceOracle {
    error NoFeed(address token);
    error NotAShare(address token);

    /// @notice `source` (a feed, or the share itself) reverted, or returned less than it should. `token` is zero for the
    ///         sequencer's feed.
    error NoAnswer(address token, address source);
    error NotPositive(address token, int256 answer);
    error StalePrice(address token, uint256 updatedAt, uint256 timestamp, uint256 heartbeat);
    /// @notice An answer, or a product of answers, is not strictly between the bounds. USD or the feed's unit, WAD.
    error PriceOutOfBounds(address token, uint256 price, uint256 min, uint256 max);
    /// @notice Assets per share, WAD. The bounds are inclusive.
    error RateOutOfCorridor(address token, uint256 rate, uint256 min, uint256 max);
    /// @notice What the feeds say and what the pool says, USD in WAD.
    error AnchorDeviates(address token, uint256 price, uint256 anchor, uint256 maxDeviation);
    error AnchorWithoutHistory(address token, address pool, uint256 window);
    /// @notice The L2's sequencer is not known to be up: its feed does not answer 0, or never started.
    error SequencerDown(int256 answer, uint256 since);
    error SequencerInGrace(uint256 since, uint256 timestamp, uint256 grace);

    error DuplicateFeed(address token);
    error BadDecimals(address token, address source, uint256 decimals);
    error BadHeartbeat(address token, uint256 heartbeat, uint256 maxHeartbeat);
    /// @notice `min` is not below `max`.
    error BadBounds(address token, uint256 min, uint256 max);
    /// @notice The bounds do not lie strictly inside the aggregator's own, WAD.
    error BoundsOutsideAggregator(address token, uint256 min, uint256 max, int256 aggregatorMin, int256 aggregatorMax);
    error BadShare(address token, uint256 maxAbove, uint256 maxBelow, uint256 maxDriftPerDay);
    error BadRate(address token, uint256 rate);
    error BadAnchor(address token, address pool, uint256 window, uint256 maxDeviation);
    error BadSequencer(address sequencer, uint256 grace);

    /// @notice The checkpoint of a share went towards its `rate`. Assets per share, WAD.
    event CheckpointMoved(address indexed token, uint256 from, uint256 to, uint256 rate);

    /// @notice Prices of `tokens`, in their order. Reverts unless every source of every one of them holds.
    function prices(address[] calldata tokens) external view returns (uint256[] memory);

    /// @notice One price, and when the older of the feeds behind it answered. Reverts as `prices` does.
    function latest(address token) external view returns (uint256 price, uint256 updatedAt);

    /// @notice Every feed, in the order of the constructor.
    function feeds() external view returns (FeedConfig[] memory);

    /// @notice The uptime feed of the L2's sequencer (zero: none), and for how long after a start no price is given,
    ///         seconds.
    function sequencer() external view returns (address feed, uint256 grace);

    /// @notice Where the corridor of a share's rate stands (assets per share, WAD), and when it was last moved.
    function checkpoints(address token) external view returns (uint256 rate, uint256 movedAt);

    /// @notice Moves the checkpoint of a share towards its present rate. For anyone, and to be called before the rate
    ///         grows out of its corridor.
    /// @dev    Goes at most `maxDriftPerDay` for each day since it was last moved, and never out of the corridor. So
    ///         whoever bends the rate for the length of a transaction moves the corridor no faster than time does.
    function checkpoint(address token) external;
}
