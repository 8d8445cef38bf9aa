// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {SSTORE2} from "solady/utils/SSTORE2.sol";
import {AuctionTerms, Fees, Limits} from "../interfaces/IIndexVault.sol";
import {Arrays} from "./Arrays.sol";

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
///         words. It is stored as the ABI encodes it and read in place, because encoded arrays and structs of words look
///         just like those in memory: nothing is decoded, however long the basket. That saves 3,500 gas for nine assets
///         against words packed by hand, in whatever a vault does, and costs three times as much to write.
library BookLib {
    using Arrays for bool[];
    using BookLib for Book;

    /// @notice Writes a new data contract.
    function save(Book memory b) internal returns (address pointer) {
        return SSTORE2.write(abi.encode(b));
    }

    /// @notice Reads the book back.
    function load(address pointer) internal view returns (Book memory b) {
        bytes memory data = SSTORE2.read(pointer);
        assembly ("memory-safe") {
            // Behind the length of `data` and the offset of the book. Structs lie in place, arrays are at offsets from here.
            let source := add(data, 0x40)
            mcopy(b, source, 0x60) // oracle, executor, keeper
            mstore(add(b, 0x60), add(source, 0x060)) // limits, nine words
            mstore(add(b, 0x80), add(source, 0x180)) // auction, five words
            mstore(add(b, 0xa0), add(source, 0x220)) // fees, three words
            mcopy(add(b, 0xc0), add(source, 0x280), 0x40) // glideStart, glideEnd
            mstore(add(b, 0x100), add(source, mload(add(source, 0x2c0)))) // tokens
            mstore(add(b, 0x120), add(source, mload(add(source, 0x2e0)))) // units
            mstore(add(b, 0x140), add(source, mload(add(source, 0x300)))) // from
            mstore(add(b, 0x160), add(source, mload(add(source, 0x320)))) // to
            mstore(add(b, 0x180), add(source, mload(add(source, 0x340)))) // quarantined
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
        return b.live(b.quarantined.count());
    }

    /// @notice The same, by who knows already that `dead` are quarantined.
    function live(Book memory b, uint256 dead) internal pure returns (address[] memory tokens) {
        if (dead == 0) return b.tokens;
        uint256 n = b.tokens.length;
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

    /// @notice Lengthens every array but `to` to `tokens`, which begins with the present basket. New units are left at
    ///         zero, and whoever adds tokens says what weights everything glides to.
    function grow(Book memory b, address[] memory tokens) internal pure {
        uint256 n = tokens.length;
        b.units = _resized(b.units, n);
        b.from = _resized(b.from, n);
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
        bool[] memory quarantined = new bool[](last);
        for (uint256 i; i < last; ++i) {
            uint256 j = i < index ? i : i + 1;
            (tokens[i], quarantined[i]) = (b.tokens[j], b.quarantined[j]);
            (b.units[i], b.from[i], b.to[i]) = (b.units[j], b.from[j], b.to[j]);
        }
        (b.tokens, b.quarantined) = (tokens, quarantined);
        (b.units, b.from, b.to) = (_resized(b.units, last), _resized(b.from, last), _resized(b.to, last));
    }

    function _resized(uint256[] memory values, uint256 n) private pure returns (uint256[] memory resized) {
        resized = new uint256[](n);
        for (uint256 i; i < n && i < values.length; ++i) {
            resized[i] = values[i];
        }
    }
}
