// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {SSTORE2} from "solady/utils/SSTORE2.sol";

import {IAggregator, IAggregatorProxy} from "./interfaces/IAggregator.sol";
import {FeedConfig, IPriceOracle} from "./interfaces/IPriceOracle.sol";

/// @title  PriceOracle
/// @notice Chainlink-compatible USD feeds behind positivity, age and bounds. Immutable: no owner, no setter.
/// @dev    The configuration lives as the code of a data contract, because a rebalance reads all of it.
contract PriceOracle is IPriceOracle {
    struct Source {
        FeedConfig feed;
        /// Multiplies an answer up to WAD.
        uint256 scale;
    }

    address internal immutable _sources;

    /// @param configs One per token. Bounds must lie strictly inside the aggregator's own, where it has any: an
    ///        aggregator that is stuck at its bound must be refused, not believed.
    constructor(FeedConfig[] memory configs) {
        Source[] memory sources = new Source[](configs.length);
        for (uint256 i; i < configs.length; ++i) {
            FeedConfig memory config = configs[i];
            for (uint256 j; j < i; ++j) {
                if (configs[j].token == config.token) revert DuplicateFeed(config.token);
            }
            uint256 decimals = IAggregator(config.feed).decimals();
            if (decimals > 18 || config.heartbeat == 0 || config.minPrice >= config.maxPrice) {
                revert BadFeedConfig(config.token);
            }
            sources[i] = Source(config, 10 ** (18 - decimals));
            _checkAggregatorBounds(sources[i]);
        }
        _sources = SSTORE2.write(abi.encode(sources));
    }

    /// @inheritdoc IPriceOracle
    function prices(address[] calldata tokens) external view returns (uint256[] memory quoted) {
        Source[] memory sources = _load();
        quoted = new uint256[](tokens.length);
        uint256 next;
        for (uint256 i; i < tokens.length; ++i) {
            uint256 at = _find(sources, tokens[i], next);
            (quoted[i],) = _quote(sources[at]);
            next = at + 1;
        }
    }

    /// @inheritdoc IPriceOracle
    function latest(address token) external view returns (uint256 price, uint256 updatedAt) {
        Source[] memory sources = _load();
        return _quote(sources[_find(sources, token, 0)]);
    }

    /// @inheritdoc IPriceOracle
    function feeds() external view returns (FeedConfig[] memory configs) {
        Source[] memory sources = _load();
        configs = new FeedConfig[](sources.length);
        for (uint256 i; i < sources.length; ++i) {
            configs[i] = sources[i].feed;
        }
    }

    function _load() internal view returns (Source[] memory) {
        return abi.decode(SSTORE2.read(_sources), (Source[]));
    }

    /// @dev Searches from `start` on, and around: a basket in the constructor's order costs one comparison per token.
    function _find(Source[] memory sources, address token, uint256 start) internal pure returns (uint256) {
        for (uint256 steps; steps < sources.length; ++steps) {
            uint256 at = (start + steps) % sources.length;
            if (sources[at].feed.token == token) return at;
        }
        revert NoFeed(token);
    }

    function _quote(Source memory source) internal view returns (uint256 price, uint256 updatedAt) {
        FeedConfig memory f = source.feed;
        int256 answer;
        (, answer,, updatedAt,) = IAggregator(f.feed).latestRoundData();
        if (answer <= 0) revert NotPositive(f.token, answer);
        // An answer from the future is as little worth as an old one.
        if (updatedAt > block.timestamp || block.timestamp - updatedAt > f.heartbeat) {
            revert StalePrice(f.token, updatedAt, block.timestamp, f.heartbeat);
        }
        price = uint256(answer) * source.scale;
        if (price <= f.minPrice || price >= f.maxPrice) {
            revert PriceOutOfBounds(f.token, price, f.minPrice, f.maxPrice);
        }
    }

    function _checkAggregatorBounds(Source memory source) internal view {
        address aggregator;
        try IAggregatorProxy(source.feed.feed).aggregator() returns (address a) {
            aggregator = a;
        } catch {
            return;
        }
        try IAggregatorProxy(aggregator).minAnswer() returns (int192 min) {
            int192 max = IAggregatorProxy(aggregator).maxAnswer();
            if (
                int256(uint256(source.feed.minPrice)) <= int256(min) * int256(source.scale)
                    || int256(uint256(source.feed.maxPrice)) >= int256(max) * int256(source.scale)
            ) revert BadFeedConfig(source.feed.token);
        } catch {}
    }
}
