// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAggregator} from "../interfaces/IAggregator.sol";

interface IAccessController {
    function hasAccess(address user, bytes calldata data) external view returns (bool);
}

/// @title  FeedProxy
/// @notice Stands in front of an aggregator as Chainlink's proxies do: it reads who may read, then who answers.
/// @dev    For benchmarks: with a `DevFeed` behind it a read touches two accounts and four slots, as on mainnet or less.
contract FeedProxy {
    error NoAccess(address caller);

    IAccessController internal _controller;
    address public aggregator;

    constructor(address aggregator_) {
        aggregator = aggregator_;
    }

    function decimals() external view returns (uint8) {
        return IAggregator(aggregator).decimals();
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        if (address(_controller) != address(0) && !_controller.hasAccess(msg.sender, msg.data)) {
            revert NoAccess(msg.sender);
        }
        return IAggregator(aggregator).latestRoundData();
    }
}
