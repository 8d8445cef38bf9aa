// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice Tokens to send out before the route runs. `to` zero means the executor.
struct Sell {
    uint256 index;
    uint256 amount;
    address to;
}

/// @notice Least that must have come in when the route has run.
struct Buy {
    uint256 index;
    uint256 minAmount;
}

/// @notice What a keeper asks the vault to do, without the route.
struct Order {
    uint256 nonce;
    uint256 deadline;
    uint256 epoch;
    Sell[] sells;
    Buy[] buys;
}

/// @notice The fixed part of an order, and where its parts begin: the sells at `OrderLib.HEADER`.
struct OrderHeader {
    uint256 nonce;
    uint256 deadline;
    uint256 epoch;
    uint256 buysAt;
    uint256 routeAt;
}

/// @title  OrderLib
/// @notice Builds and reads packed orders. Calldata is the second largest cost of a rebalance after the swaps, so
///         tokens are named by their index, and numbers take no more bytes than they can need; what is read once is
///         read in place.
/// @dev    order := nonce:u64, deadline:u40, epoch:u32, sellCount:u8, buyCount:u8, sell*, buy*, route
///         sell  := index:u8, amount:u128, to:20
///         buy   := index:u8, minAmount:u128
///         Indexes ascend strictly within each list.
library OrderLib {
    error MalformedOrder(uint256 length, uint256 needed);
    error IndexNotAscending(uint256 previous, uint256 index);
    error IndexOutOfRange(uint256 index, uint256 count);
    error ValueTooLarge(uint256 value, uint256 max);

    uint256 internal constant HEADER = 19;
    uint256 internal constant SELL = 37;
    uint256 internal constant BUY = 17;

    /// @notice Packs an order and its route.
    function encode(Order memory order, bytes memory route) internal pure returns (bytes memory data) {
        data = abi.encodePacked(
            uint64(_fit(order.nonce, type(uint64).max)),
            uint40(_fit(order.deadline, type(uint40).max)),
            uint32(_fit(order.epoch, type(uint32).max)),
            uint8(_fit(order.sells.length, type(uint8).max)),
            uint8(_fit(order.buys.length, type(uint8).max))
        );
        for (uint256 i; i < order.sells.length; ++i) {
            Sell memory s = order.sells[i];
            data = abi.encodePacked(
                data, uint8(_fit(s.index, type(uint8).max)), uint128(_fit(s.amount, type(uint128).max)), s.to
            );
        }
        for (uint256 i; i < order.buys.length; ++i) {
            Buy memory b = order.buys[i];
            data = abi.encodePacked(
                data, uint8(_fit(b.index, type(uint8).max)), uint128(_fit(b.minAmount, type(uint128).max))
            );
        }
        data = abi.encodePacked(data, route);
    }

    /// @notice Reads the header and the route. Reverts if the order is too short for its lists.
    function open(bytes calldata data) internal pure returns (OrderHeader memory h, bytes calldata route) {
        if (data.length < HEADER) revert MalformedOrder(data.length, HEADER);
        uint256 word = _word(data, 0);
        h.nonce = word >> 192;
        h.deadline = uint40(word >> 152);
        h.epoch = uint32(word >> 120);
        // Not above 14 kB.
        unchecked {
            h.buysAt = HEADER + uint8(word >> 112) * SELL;
            h.routeAt = h.buysAt + uint8(word >> 104) * BUY;
        }
        if (data.length < h.routeAt) revert MalformedOrder(data.length, h.routeAt);
        route = data[h.routeAt:];
    }

    /// @notice The sell at offset `at` of an opened order.
    /// @param  least The least index it may name: one more than the sell before it.
    /// @param  count Number of assets in the basket.
    function sellAt(bytes calldata data, uint256 at, uint256 least, uint256 count)
        internal
        pure
        returns (uint256 index, uint256 amount, address to)
    {
        uint256 word = _word(data, at);
        index = word >> 248;
        unchecked {
            if (index < least) revert IndexNotAscending(least - 1, index);
            if (index >= count) revert IndexOutOfRange(index, count);
            amount = uint128(word >> 120);
            to = address(uint160(_word(data, at + 5)));
        }
    }

    /// @notice The buy at offset `at` of an opened order; the rest as in `sellAt`.
    function buyAt(bytes calldata data, uint256 at, uint256 least, uint256 count)
        internal
        pure
        returns (uint256 index, uint256 minAmount)
    {
        uint256 word = _word(data, at);
        index = word >> 248;
        unchecked {
            if (index < least) revert IndexNotAscending(least - 1, index);
        }
        if (index >= count) revert IndexOutOfRange(index, count);
        minAmount = uint128(word >> 120);
    }

    /// @dev The 32 bytes at `at`, with zeros beyond the end of calldata.
    function _word(bytes calldata data, uint256 at) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := calldataload(add(data.offset, at))
        }
    }

    function _fit(uint256 value, uint256 max) private pure returns (uint256) {
        if (value > max) revert ValueTooLarge(value, max);
        return value;
    }
}
