// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title  DevFeed
/// @notice A Chainlink-compatible price feed that anyone may set: proxy and aggregator in one contract.
/// @dev    Initialised through storage, not a constructor, so that its runtime code can be placed at any address.
contract DevFeed {
    struct Round {
        int192 answer;
        uint64 updatedAt;
    }

    error AlreadyInitialized();
    error AnswerOutOfRange(int256 answer, int192 min, int192 max);
    error NoDataPresent(uint80 roundId);

    event AnswerUpdated(int256 indexed current, uint256 indexed roundId, uint256 updatedAt);

    /// @notice The version of the interface, as the real aggregators tell it.
    uint256 public constant version = 4;

    /// @dev A proxy's round ids carry the number of its aggregator above the aggregator's own, which count from one.
    uint80 internal constant PHASE = 1 << 64;

    uint8 public decimals;
    string public description;
    int192 public minAnswer;
    int192 public maxAnswer;

    uint80 internal _latestRound;
    mapping(uint80 roundId => Round) internal _rounds;

    /// @notice Describes the feed and its bounds, both inclusive. Once.
    function initialize(uint8 decimals_, string calldata description_, int192 minAnswer_, int192 maxAnswer_) external {
        if (_latestRound != 0) revert AlreadyInitialized();
        _latestRound = PHASE;
        decimals = decimals_;
        description = description_;
        minAnswer = minAnswer_;
        maxAnswer = maxAnswer_;
    }

    /// @notice Opens a new round with `answer`, as of now.
    function setAnswer(int256 answer) external {
        if (answer < minAnswer || answer > maxAnswer) revert AnswerOutOfRange(answer, minAnswer, maxAnswer);
        uint80 roundId = ++_latestRound;
        // forge-lint: disable-next-line(unsafe-typecast) - it lies between two numbers of that type
        _rounds[roundId] = Round(int192(answer), uint64(block.timestamp));
        emit AnswerUpdated(answer, roundId, block.timestamp);
    }

    /// @notice Where the bounds are read: this very contract.
    function aggregator() external view returns (address) {
        return address(this);
    }

    /// @notice The answer of the latest round and when it was given.
    function latestRoundData()
        external
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound)
    {
        return getRoundData(_latestRound);
    }

    /// @notice The answer of one round and when it was given. Reverts for a round that never was.
    function getRoundData(uint80 id)
        public
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound)
    {
        Round memory round = _rounds[id];
        if (round.updatedAt == 0) revert NoDataPresent(id);
        return (id, round.answer, round.updatedAt, round.updatedAt, id);
    }
}
