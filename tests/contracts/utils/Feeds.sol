// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAggregator} from "../../../contracts/interfaces/IAggregator.sol";
import {AnchorConfig, FeedConfig, QuoteConfig, ShareConfig} from "../../../contracts/interfaces/IPriceOracle.sol";

/// @notice A token that is priced by one feed and nothing else.
function plainFeed(address token, address feed, uint32 heartbeat, uint128 minPrice, uint128 maxPrice)
    pure
    returns (FeedConfig memory)
{
    return FeedConfig(
        token,
        feed,
        heartbeat,
        minPrice,
        maxPrice,
        QuoteConfig(address(0), 0, 0, 0),
        ShareConfig(0, 0, 0),
        AnchorConfig(address(0), 0, 0)
    );
}

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

/// @notice A feed whose reply is any bytes at all.
contract RawFeed {
    uint8 public immutable decimals;
    bytes public reply;

    constructor(uint8 decimals_) {
        decimals = decimals_;
    }

    function setReply(bytes memory reply_) public {
        reply = reply_;
    }

    function set(int256 answer, uint256 startedAt, uint256 updatedAt) external {
        setReply(abi.encode(1, answer, startedAt, updatedAt, 1));
    }

    function latestRoundData() external view {
        bytes memory data = reply;
        assembly ("memory-safe") {
            return(add(data, 0x20), mload(data))
        }
    }
}

/// @notice An oracle that answers whatever it is asked with the same bytes.
contract Parrot {
    bytes internal _reply;

    constructor(bytes memory reply) {
        _reply = reply;
    }

    fallback(bytes calldata) external returns (bytes memory) {
        return _reply;
    }
}
