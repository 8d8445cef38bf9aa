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

/// @title  OrderLib
/// @notice Builds and reads packed orders. Calldata is the second largest cost of a rebalance after the swaps, so
///         tokens are named by their index and numbers take no more bytes than they can need.
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
            Sell memory sell = order.sells[i];
            data = abi.encodePacked(
                data, uint8(_fit(sell.index, type(uint8).max)), uint128(_fit(sell.amount, type(uint128).max)), sell.to
            );
        }
        for (uint256 i; i < order.buys.length; ++i) {
            Buy memory buy = order.buys[i];
            data = abi.encodePacked(
                data, uint8(_fit(buy.index, type(uint8).max)), uint128(_fit(buy.minAmount, type(uint128).max))
            );
        }
        data = abi.encodePacked(data, route);
    }

    /// @notice Reads a packed order. Reverts if it is short, or names an index twice, out of order or beyond `count`.
    /// @param  count Number of assets in the basket.
    function decode(bytes calldata data, uint256 count)
        internal
        pure
        returns (Order memory order, bytes calldata route)
    {
        if (data.length < HEADER) {
            revert MalformedOrder(data.length, HEADER);
        }
        order.nonce = uint64(bytes8(data[0:8]));
        order.deadline = uint40(bytes5(data[8:13]));
        order.epoch = uint32(bytes4(data[13:17]));
        order.sells = new Sell[](uint8(data[17]));
        order.buys = new Buy[](uint8(data[18]));

        uint256 needed = HEADER + order.sells.length * SELL + order.buys.length * BUY;
        if (data.length < needed) revert MalformedOrder(data.length, needed);

        uint256 at = HEADER;
        uint256 next;
        for (uint256 i; i < order.sells.length; ++i) {
            uint256 index = uint8(data[at]);
            next = _checkIndex(index, next, count);
            order.sells[i] =
                Sell(index, uint128(bytes16(data[at + 1:at + 17])), address(bytes20(data[at + 17:at + 37])));
            at += SELL;
        }
        next = 0;
        for (uint256 i; i < order.buys.length; ++i) {
            uint256 index = uint8(data[at]);
            next = _checkIndex(index, next, count);
            order.buys[i] = Buy(index, uint128(bytes16(data[at + 1:at + 17])));
            at += BUY;
        }
        route = data[at:];
    }

    /// @return The least index that may follow.
    function _checkIndex(uint256 index, uint256 next, uint256 count) private pure returns (uint256) {
        if (index < next) revert IndexNotAscending(next - 1, index);
        if (index >= count) revert IndexOutOfRange(index, count);
        return index + 1;
    }

    function _fit(uint256 value, uint256 max) private pure returns (uint256) {
        if (value > max) revert ValueTooLarge(value, max);
        return value;
    }
}
