// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {SSTORE2} from "solady/utils/SSTORE2.sol";
import {AuctionTerms, Fees, Limits} from "../interfaces/IIndexVault.sol";

/// @notice What every rebalance reads and few transactions change. Arrays are in index order.
struct Book {
    address oracle;
    address executor;
    address keeper;
    Limits limits;
    AuctionTerms auction;
    Fees fees;
    /// Targets move linearly from `from` to `to` between these times.
    uint256 glideStart;
    uint256 glideEnd;
    address[] tokens;
    /// 10^decimals of each token.
    uint256[] units;
    uint256[] from;
    uint256[] to;
    /// A quarantined token has no price and may not move in a rebalance.
    bool[] quarantined;
}

/// @title  BookLib
/// @notice Keeps the book as the code of a data contract: one cold account costs less than a cold slot for each of its
///         words. Words are packed by hand, because reading an ABI-encoded book costs more than the prices it is for.
library BookLib {
    uint256 private constant HEADER = 7;
    uint256 private constant M160 = type(uint160).max;
    uint256 private constant M64 = type(uint64).max;
    uint256 private constant M40 = type(uint40).max;
    uint256 private constant M32 = type(uint32).max;

    /// @notice Writes a new data contract.
    function save(Book memory b) internal returns (address pointer) {
        uint256 n = b.tokens.length;
        uint256[] memory words = new uint256[](HEADER + 2 * n);
        words[0] = uint160(b.oracle) | b.glideStart << 160 | b.glideEnd << 200;
        words[1] = uint160(b.executor) | uint256(b.auction.keeperGrace) << 160 | uint256(b.auction.length) << 192;
        words[2] = uint160(b.keeper);
        words[3] = b.limits.maxSlippage | uint256(b.limits.maxBatchLoss) << 64 | uint256(b.limits.lossBudget) << 128
            | uint256(b.limits.turnoverBudget) << 192;
        words[4] = b.limits.deadBand | uint256(b.limits.minProgress) << 64 | uint256(b.limits.dust) << 128
            | uint256(b.limits.window) << 192 | uint256(b.limits.cooldown) << 224;
        words[5] = b.auction.openBand | uint256(b.auction.premium) << 64 | uint256(b.auction.minFill) << 128;
        words[6] = b.fees.streaming | uint256(b.fees.mint) << 64 | uint256(b.fees.redeem) << 128;
        for (uint256 i; i < n; ++i) {
            words[HEADER + 2 * i] = uint160(b.tokens[i]) | b.units[i] << 160 | (b.quarantined[i] ? 1 << 255 : 0);
            words[HEADER + 2 * i + 1] = b.from[i] | b.to[i] << 128;
        }
        return SSTORE2.write(abi.encodePacked(words));
    }

    /// @notice Reads the book back.
    function load(address pointer) internal view returns (Book memory b) {
        bytes memory data = SSTORE2.read(pointer);
        uint256 w = _word(data, 0);
        b.oracle = address(uint160(w));
        b.glideStart = (w >> 160) & M40;
        b.glideEnd = (w >> 200) & M40;
        w = _word(data, 1);
        b.executor = address(uint160(w));
        b.auction.keeperGrace = uint32(w >> 160);
        b.auction.length = uint32(w >> 192);
        b.keeper = address(uint160(_word(data, 2)));
        w = _word(data, 3);
        b.limits.maxSlippage = uint64(w);
        b.limits.maxBatchLoss = uint64(w >> 64);
        b.limits.lossBudget = uint64(w >> 128);
        b.limits.turnoverBudget = uint64(w >> 192);
        w = _word(data, 4);
        b.limits.deadBand = uint64(w);
        b.limits.minProgress = uint64(w >> 64);
        b.limits.dust = uint64(w >> 128);
        b.limits.window = uint32(w >> 192);
        b.limits.cooldown = uint32(w >> 224);
        w = _word(data, 5);
        b.auction.openBand = uint64(w);
        b.auction.premium = uint64(w >> 64);
        b.auction.minFill = uint64(w >> 128);
        w = _word(data, 6);
        b.fees.streaming = uint64(w);
        b.fees.mint = uint64(w >> 64);
        b.fees.redeem = uint64(w >> 128);

        uint256 n = (data.length / 32 - HEADER) / 2;
        b.tokens = new address[](n);
        b.units = new uint256[](n);
        b.from = new uint256[](n);
        b.to = new uint256[](n);
        b.quarantined = new bool[](n);
        for (uint256 i; i < n; ++i) {
            w = _word(data, HEADER + 2 * i);
            b.tokens[i] = address(uint160(w));
            b.units[i] = (w << 1) >> 161;
            b.quarantined[i] = w >> 255 != 0;
            w = _word(data, HEADER + 2 * i + 1);
            b.from[i] = uint128(w);
            b.to[i] = w >> 128;
        }
    }

    /// @notice Target weights now, WAD. Each is rounded down, so they may sum to a few wei less than one.
    function weightsNow(Book memory b) internal view returns (uint256[] memory weights) {
        if (block.timestamp >= b.glideEnd) return b.to;
        weights = new uint256[](b.to.length);
        uint256 left = b.glideEnd - block.timestamp;
        uint256 length = b.glideEnd - b.glideStart;
        for (uint256 i; i < weights.length; ++i) {
            weights[i] = (b.from[i] * left + b.to[i] * (length - left)) / length;
        }
    }

    /// @notice The tokens that have a price: all but the quarantined ones.
    function live(Book memory b) internal pure returns (address[] memory tokens) {
        uint256 n = b.tokens.length;
        uint256 dead;
        for (uint256 i; i < n; ++i) {
            if (b.quarantined[i]) ++dead;
        }
        if (dead == 0) return b.tokens;
        tokens = new address[](n - dead);
        uint256 k;
        for (uint256 i; i < n; ++i) {
            if (!b.quarantined[i]) tokens[k++] = b.tokens[i];
        }
    }

    /// @notice Prices of `live` tokens in index order, zero for the quarantined ones.
    function spread(Book memory b, uint256[] memory prices) internal pure returns (uint256[] memory all) {
        uint256 n = b.tokens.length;
        if (prices.length == n) return prices;
        all = new uint256[](n);
        uint256 k;
        for (uint256 i; i < n; ++i) {
            if (!b.quarantined[i]) all[i] = prices[k++];
        }
    }

    /// @notice Lengthens every array to `tokens`, which begins with the present basket. New units are left at zero.
    function grow(Book memory b, address[] memory tokens) internal pure {
        uint256 n = tokens.length;
        b.units = _resized(b.units, n);
        b.from = _resized(b.from, n);
        b.to = b.to.length == n ? b.to : _resized(b.to, n);
        bool[] memory quarantined = new bool[](n);
        for (uint256 i; i < b.tokens.length; ++i) {
            quarantined[i] = b.quarantined[i];
        }
        (b.tokens, b.quarantined) = (tokens, quarantined);
    }

    /// @notice Takes out one asset; the ones behind it move up.
    function remove(Book memory b, uint256 index) internal pure {
        uint256 last = b.tokens.length - 1;
        address[] memory tokens = new address[](last);
        for (uint256 i; i < last; ++i) {
            uint256 j = i < index ? i : i + 1;
            tokens[i] = b.tokens[j];
            (b.units[i], b.from[i], b.to[i]) = (b.units[j], b.from[j], b.to[j]);
            b.quarantined[i] = b.quarantined[j];
        }
        b.tokens = tokens;
    }

    function _resized(uint256[] memory values, uint256 n) private pure returns (uint256[] memory resized) {
        resized = new uint256[](n);
        for (uint256 i; i < values.length; ++i) {
            resized[i] = values[i];
        }
    }

    function _word(bytes memory data, uint256 index) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(add(data, 0x20), shl(5, index)))
        }
    }
}
