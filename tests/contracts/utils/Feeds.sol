// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAggregator} from "../../../contracts/interfaces/IAggregator.sol";

/// @notice A Chainlink-compatible feed in one slot, settable by anyone.
contract Feed is IAggregator {
    uint8 public immutable decimals;
    int192 public answer;
    uint56 public updatedAt;
    bool public dead;

    error FeedIsDead();

    constructor(uint8 decimals_, int192 answer_) {
        decimals = decimals_;
        set(answer_);
    }

    function set(int192 answer_) public {
        setAt(answer_, block.timestamp);
    }

    function setAt(int192 answer_, uint256 updatedAt_) public {
        (answer, updatedAt) = (answer_, uint56(updatedAt_));
    }

    function setDead(bool dead_) external {
        dead = dead_;
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        if (dead) revert FeedIsDead();
        return (1, answer, updatedAt, updatedAt, 1);
    }
}

/// @notice The bounds of an aggregator, as Chainlink's have them.
contract Aggregator {
    int192 public immutable minAnswer;
    int192 public immutable maxAnswer;

    constructor(int192 min, int192 max) {
        (minAnswer, maxAnswer) = (min, max);
    }
}

/// @notice A feed that names the aggregator behind it.
contract ProxyFeed is Feed {
    address public immutable aggregator;

    constructor(uint8 decimals_, int192 answer_, address aggregator_) Feed(decimals_, answer_) {
        aggregator = aggregator_;
    }
}
