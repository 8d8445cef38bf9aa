// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Buy, Order, OrderHeader, OrderLib, Sell} from "../../../contracts/libraries/OrderLib.sol";

/// @notice What is proven of the packed orders.
/// @dev    Run by halmos (`make prove`), not by forge; the lengths of `data` are in halmos.toml.
contract OrderSymbolic {
    function check_no_sell_names_an_index_below_the_last_or_beyond_the_basket(
        bytes calldata data,
        uint256 least,
        uint256 count
    ) external pure {
        if (least > 256 || count > 32) return;
        (uint256 index, uint256 amount,) = OrderLib.sellAt(data, 19, least, count);
        assert(index >= least && index < count);
        assert(amount <= type(uint128).max);
    }

    function check_no_buy_names_an_index_below_the_last_or_beyond_the_basket(
        bytes calldata data,
        bool sells,
        uint256 least,
        uint256 count
    ) external pure {
        if (least > 256 || count > 32) return;
        // Where it is read has to be a constant on each path.
        (uint256 index, uint256 minAmount) =
            sells ? OrderLib.buyAt(data, 19 + 37, least, count) : OrderLib.buyAt(data, 19, least, count);
        assert(index >= least && index < count);
        assert(minAmount <= type(uint128).max);
    }

    function check_no_order_is_shorter_than_its_lists(bytes calldata data) external pure {
        (OrderHeader memory h, bytes calldata route) = OrderLib.open(data);
        assert(h.buysAt >= 19 && (h.buysAt - 19) % 37 == 0 && (h.routeAt - h.buysAt) % 17 == 0);
        assert(data.length == h.routeAt + route.length);
    }

    function check_what_is_packed_is_what_is_read(
        uint64 nonce,
        uint40 deadline,
        uint32 epoch,
        uint8[2] memory indexes,
        uint128[2] memory amounts,
        address to,
        bytes32 route
    ) external view {
        if (indexes[0] >= 32 || indexes[1] >= 32) return;
        Order memory order = Order(nonce, deadline, epoch, new Sell[](1), new Buy[](1));
        order.sells[0] = Sell(indexes[0], amounts[0], to);
        order.buys[0] = Buy(indexes[1], amounts[1]);
        bytes memory data = OrderLib.encode(order, abi.encodePacked(route));
        try this.read(data) returns (Order memory found, bytes32 rest) {
            assert(found.nonce == nonce && found.deadline == deadline && found.epoch == epoch);
            assert(found.sells[0].index == indexes[0] && found.sells[0].amount == amounts[0]);
            assert(found.sells[0].to == to);
            assert(found.buys[0].index == indexes[1] && found.buys[0].minAmount == amounts[1]);
            assert(rest == route);
        } catch {
            assert(false);
        }
    }

    /// @notice Reads an order of one sell, one buy and a route of one word.
    function read(bytes calldata data) external pure returns (Order memory order, bytes32 rest) {
        (OrderHeader memory h, bytes calldata route) = OrderLib.open(data);
        assert(h.buysAt == 19 + 37 && h.routeAt == h.buysAt + 17 && route.length == 32);
        (order.nonce, order.deadline, order.epoch) = (h.nonce, h.deadline, h.epoch);
        order.sells = new Sell[](1);
        order.buys = new Buy[](1);
        Sell memory s = order.sells[0];
        (s.index, s.amount, s.to) = OrderLib.sellAt(data, 19, 0, 32);
        (order.buys[0].index, order.buys[0].minAmount) = OrderLib.buyAt(data, h.buysAt, 0, 32);
        rest = bytes32(route);
    }
}
