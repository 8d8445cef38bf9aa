// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

import {AuctionTerms, Fees, Limits} from "../../contracts/interfaces/IIndexVault.sol";
import {Book, BookLib} from "../../contracts/libraries/Book.sol";
import {Bucket} from "../../contracts/libraries/Bucket.sol";
import {Before, Guard, Outcome} from "../../contracts/libraries/Guard.sol";
import {Buy, Order, OrderHeader, OrderLib, Sell} from "../../contracts/libraries/OrderLib.sol";
import {Tokens} from "../../contracts/libraries/Tokens.sol";

/// @notice Libraries as calls, so that their reverts can be expected and their calldata is calldata.
contract Libraries {
    function decode(bytes calldata data, uint256 count) external pure returns (Order memory order, bytes memory route) {
        OrderHeader memory h;
        (h, route) = OrderLib.open(data);
        order = Order(
            h.nonce, h.deadline, h.epoch, new Sell[]((h.buysAt - 19) / 37), new Buy[]((h.routeAt - h.buysAt) / 17)
        );
        uint256 least;
        for (uint256 i; i < order.sells.length; ++i) {
            Sell memory s = order.sells[i];
            (s.index, s.amount, s.to) = OrderLib.sellAt(data, 19 + 37 * i, least, count);
            least = s.index + 1;
        }
        least = 0;
        for (uint256 i; i < order.buys.length; ++i) {
            Buy memory b = order.buys[i];
            (b.index, b.minAmount) = OrderLib.buyAt(data, h.buysAt + 17 * i, least, count);
            least = b.index + 1;
        }
    }

    function encode(Order memory order, bytes memory route) external pure returns (bytes memory) {
        return OrderLib.encode(order, route);
    }

    function judge(Before memory b, uint256[] memory balances, Limits memory limits)
        external
        pure
        returns (uint256 lossLevel, uint256 turnoverLevel)
    {
        Guard.valuate(b);
        uint256 needed = Guard.progress(b, limits.minProgress, 0);
        return Guard.check(b, Guard.measure(b, balances), limits, int256(uint256(limits.maxSlippage)), needed, 0, 0);
    }

    function judgeAt(Before memory b, uint256[] memory balances, int256 slippage) external pure {
        Guard.valuate(b);
        Limits memory l = Limits(0.05e18, 0.05e18, 0.1e18, 10e18, 0, 0, 0.0001e18, 1 days, 12);
        Guard.check(b, Guard.measure(b, balances), l, slippage, 0, 0, 0);
    }

    function tryBalanceOf(address token, address account) external view returns (bool, uint256) {
        return Tokens.tryBalanceOf(token, account);
    }

    function trySend(address token, address to, uint256 amount) external returns (bool sent, uint256 freeMemory) {
        sent = Tokens.trySend(token, to, amount);
        assembly ("memory-safe") {
            freeMemory := mload(0x40)
        }
    }

    function checkDrift(Before memory b, uint256 deadBand) external pure {
        Guard.valuate(b);
        Guard.checkDrift(b, deadBand);
    }
}

contract OrderLibTest is Test {
    Libraries internal libraries = new Libraries();

    function test_the_layout_is_as_documented() external view {
        Order memory order = Order(0x0102030405060708, 0x1112131415, 0x21222324, new Sell[](1), new Buy[](1));
        order.sells[0] = Sell(0x31, 0x4142434445464748494a4b4c4d4e4f50, 0x5152535455565758595a5b5C5d5e5F6061626364);
        order.buys[0] = Buy(0x71, 0x8182838485868788898A8b8C8D8E8f90);
        assertEq(
            libraries.encode(order, hex"a1a2"),
            hex"0102030405060708" hex"1112131415" hex"21222324" hex"01" hex"01" hex"31"
            hex"4142434445464748494a4b4c4d4e4f50" hex"5152535455565758595a5b5c5d5e5f6061626364" hex"71"
            hex"8182838485868788898a8b8c8d8e8f90" hex"a1a2"
        );
    }

    function testFuzz_an_order_survives_encoding(
        uint64 nonce,
        uint40 deadline,
        uint32 epoch,
        uint256 soldSet,
        uint256 boughtSet,
        uint128 amount,
        address to,
        bytes calldata route
    ) external view {
        Order memory order = Order(nonce, deadline, epoch, new Sell[](_size(soldSet)), new Buy[](_size(boughtSet)));
        uint256 at;
        for (uint256 i; i < 32; ++i) {
            if ((soldSet >> i) & 1 == 1) {
                order.sells[at++] = Sell(i, uint128(uint256(keccak256(abi.encode(amount, i)))), to);
            }
        }
        at = 0;
        for (uint256 i; i < 32; ++i) {
            if ((boughtSet >> i) & 1 == 1) order.buys[at++] = Buy(i, amount >> i);
        }

        (Order memory read, bytes memory readRoute) = libraries.decode(OrderLib.encode(order, route), 32);
        assertEq(abi.encode(read), abi.encode(order));
        assertEq(readRoute, route);
    }

    function testFuzz_what_is_read_has_ascending_indexes_inside_the_basket(bytes calldata data, uint8 count)
        external
        view
    {
        try libraries.decode(data, count) returns (Order memory order, bytes memory) {
            for (uint256 i; i < order.sells.length; ++i) {
                assertLt(order.sells[i].index, count);
                if (i != 0) assertLt(order.sells[i - 1].index, order.sells[i].index);
            }
            for (uint256 i; i < order.buys.length; ++i) {
                assertLt(order.buys[i].index, count);
                if (i != 0) assertLt(order.buys[i - 1].index, order.buys[i].index);
            }
        } catch (bytes memory reason) {
            // Refused by name, not by reading past the end.
            assertTrue(
                bytes4(reason) == OrderLib.MalformedOrder.selector
                    || bytes4(reason) == OrderLib.IndexNotAscending.selector
                    || bytes4(reason) == OrderLib.IndexOutOfRange.selector
            );
        }
    }

    function test_an_order_cut_anywhere_is_refused() external {
        Order memory order = Order(1, 2, 3, new Sell[](2), new Buy[](2));
        order.sells[1].index = 1;
        order.buys[1].index = 1;
        bytes memory whole = OrderLib.encode(order, "");
        assertEq(whole.length, 19 + 2 * 37 + 2 * 17);

        for (uint256 length; length < whole.length; ++length) {
            bytes memory cut = new bytes(length);
            for (uint256 i; i < length; ++i) {
                cut[i] = whole[i];
            }
            uint256 needed = length < 19 ? 19 : whole.length;
            vm.expectRevert(abi.encodeWithSelector(OrderLib.MalformedOrder.selector, length, needed));
            libraries.decode(cut, 32);
        }
        libraries.decode(whole, 2);
    }

    function test_indexes_ascend_strictly() external {
        uint256[2][3] memory places = [[uint256(1), 1], [uint256(2), 1], [uint256(2), 0]];
        for (uint256 i; i < places.length; ++i) {
            Order memory sold = Order(1, 2, 3, new Sell[](2), new Buy[](0));
            (sold.sells[0].index, sold.sells[1].index) = (places[i][0], places[i][1]);
            bytes memory data = OrderLib.encode(sold, "");
            vm.expectRevert(abi.encodeWithSelector(OrderLib.IndexNotAscending.selector, places[i][0], places[i][1]));
            libraries.decode(data, 32);

            Order memory bought = Order(1, 2, 3, new Sell[](0), new Buy[](2));
            (bought.buys[0].index, bought.buys[1].index) = (places[i][0], places[i][1]);
            data = OrderLib.encode(bought, "");
            vm.expectRevert(abi.encodeWithSelector(OrderLib.IndexNotAscending.selector, places[i][0], places[i][1]));
            libraries.decode(data, 32);
        }
    }

    function test_each_list_starts_anew() external view {
        Order memory order = Order(1, 2, 3, new Sell[](1), new Buy[](1));
        order.sells[0].index = 4;
        libraries.decode(OrderLib.encode(order, ""), 5);
    }

    function test_indexes_lie_inside_the_basket() external {
        Order memory sold = Order(1, 2, 3, new Sell[](1), new Buy[](0));
        sold.sells[0].index = 5;
        bytes memory data = OrderLib.encode(sold, "");
        libraries.decode(data, 6);
        vm.expectRevert(abi.encodeWithSelector(OrderLib.IndexOutOfRange.selector, 5, 5));
        libraries.decode(data, 5);

        Order memory bought = Order(1, 2, 3, new Sell[](0), new Buy[](1));
        bought.buys[0].index = 5;
        data = OrderLib.encode(bought, "");
        libraries.decode(data, 6);
        vm.expectRevert(abi.encodeWithSelector(OrderLib.IndexOutOfRange.selector, 5, 5));
        libraries.decode(data, 5);
    }

    function test_a_number_that_does_not_fit_is_not_packed() external {
        Order memory order = Order(1 << 64, 0, 0, new Sell[](0), new Buy[](0));
        _unfit(order, 1 << 64, type(uint64).max);
        order = Order(0, 1 << 40, 0, new Sell[](0), new Buy[](0));
        _unfit(order, 1 << 40, type(uint40).max);
        order = Order(0, 0, 1 << 32, new Sell[](0), new Buy[](0));
        _unfit(order, 1 << 32, type(uint32).max);
        order = Order(0, 0, 0, new Sell[](256), new Buy[](0));
        _unfit(order, 256, 255);
        order = Order(0, 0, 0, new Sell[](0), new Buy[](256));
        _unfit(order, 256, 255);

        order = Order(0, 0, 0, new Sell[](1), new Buy[](0));
        order.sells[0].index = 256;
        _unfit(order, 256, 255);
        order.sells[0] = Sell(0, 1 << 128, address(0));
        _unfit(order, 1 << 128, type(uint128).max);
        order = Order(0, 0, 0, new Sell[](0), new Buy[](1));
        order.buys[0].index = 256;
        _unfit(order, 256, 255);
        order.buys[0] = Buy(0, 1 << 128);
        _unfit(order, 1 << 128, type(uint128).max);
    }

    function _unfit(Order memory order, uint256 value, uint256 max) internal {
        vm.expectRevert(abi.encodeWithSelector(OrderLib.ValueTooLarge.selector, value, max));
        libraries.encode(order, "");
    }

    function _size(uint256 set) internal pure returns (uint256 size) {
        for (uint256 i; i < 32; ++i) {
            size += (set >> i) & 1;
        }
    }
}

contract BucketTest is Test {
    function test_a_bucket_drains_in_proportion_to_time() external pure {
        assertEq(Bucket.drained(100, 100, 0, 1000), 100);
        assertEq(Bucket.drained(100, 100, 10, 1000), 99);
        assertEq(Bucket.drained(100, 100, 999, 1000), 1);
        assertEq(Bucket.drained(100, 100, 1000, 1000), 0);
    }

    function test_the_drain_is_rounded_down() external pure {
        assertEq(Bucket.drained(100, 100, 9, 1000), 100);
        assertEq(Bucket.drained(100, 100, 19, 1000), 99);
    }

    function test_an_empty_bucket_stays_empty() external pure {
        assertEq(Bucket.drained(1, 100, 500, 1000), 0);
        assertEq(Bucket.drained(0, 100, type(uint256).max, 1000), 0);
    }

    function test_a_level_above_the_capacity_drains_at_the_pace_of_the_capacity() external pure {
        assertEq(Bucket.drained(1000, 100, 1000, 1000), 900);
    }

    /// @dev The claim that bounds a stolen key: over any closed span, capacity x (1 + T / window).
    function testFuzz_any_closed_span_takes_at_most_its_share(
        uint64 capacity,
        uint32 window,
        uint64[24] memory pours,
        uint32[24] memory waits
    ) external pure {
        window = uint32(bound(window, 1 hours, 90 days));
        capacity = uint64(bound(capacity, 1, 10e18));
        uint256[24] memory taken;
        uint256[24] memory times;
        uint256 level;
        uint256 time;
        for (uint256 k; k < pours.length; ++k) {
            uint256 wait = waits[k] % (window / 4);
            time += wait;
            times[k] = time;
            level = Bucket.drained(level, capacity, wait, window);
            // Half the time the greediest pour there is.
            uint256 pour = pours[k] % 2 == 0 ? capacity - level : pours[k] % capacity;
            if (level + pour > capacity) continue;
            level += pour;
            taken[k] = pour;
        }

        for (uint256 i; i < pours.length; ++i) {
            uint256 sum;
            for (uint256 j = i; j < pours.length; ++j) {
                sum += taken[j];
                assertLe(sum * window, uint256(capacity) * (window + times[j] - times[i]));
            }
        }
    }
}

contract BookLibTest is Test {
    using BookLib for Book;

    function testFuzz_a_book_survives_its_data_contract(uint256 seed, uint8 count) external {
        Book memory b = _book(seed, count % 33);
        assertEq(abi.encode(BookLib.load(b.save())), abi.encode(b));
    }

    function testFuzz_a_glide_stays_between_its_ends_and_within_one(uint256 seed, uint256 time) external {
        Book memory b = _book(seed, 8);
        b.glideStart = 1e9;
        b.glideEnd = 1e9 + bound(seed, 0, 365 days);
        _share(b.from, seed);
        _share(b.to, ~seed);
        vm.warp(bound(time, b.glideStart, b.glideEnd + 1));
        uint256[] memory weights = b.weightsNow();
        uint256 sum;
        for (uint256 i; i < weights.length; ++i) {
            assertGe(weights[i], FixedPointMathLib.min(b.from[i], b.to[i]));
            assertLe(weights[i], FixedPointMathLib.max(b.from[i], b.to[i]));
            sum += weights[i];
        }
        assertLe(sum, 1e18);
        assertGe(sum, 1e18 - weights.length);
    }

    function testFuzz_a_removed_asset_leaves_the_others_in_order(uint256 seed, uint8 count, uint8 index) external pure {
        uint256 n = 1 + count % 32;
        index = uint8(index % n);
        Book memory b = _book(seed, n);
        Book memory left = _book(seed, n);
        left.remove(index);
        assertEq(left.tokens.length, n - 1);
        for (uint256 i; i < n - 1; ++i) {
            uint256 j = i < index ? i : i + 1;
            assertEq(left.tokens[i], b.tokens[j]);
            assertEq(left.units[i], b.units[j]);
            assertEq(left.from[i], b.from[j]);
            assertEq(left.to[i], b.to[j]);
            assertEq(left.quarantined[i], b.quarantined[j]);
        }
    }

    function testFuzz_prices_are_spread_over_the_tokens_that_have_one(uint256 seed, uint8 count) external pure {
        Book memory b = _book(seed, count % 33);
        address[] memory live = b.live();
        uint256[] memory prices = new uint256[](live.length);
        for (uint256 i; i < live.length; ++i) {
            prices[i] = uint160(live[i]);
        }
        uint256[] memory spread = b.spread(prices);
        assertEq(spread.length, b.tokens.length);
        for (uint256 i; i < spread.length; ++i) {
            assertEq(spread[i], b.quarantined[i] ? 0 : uint160(b.tokens[i]));
        }
    }

    /// @dev Every field as large as it may be, or anything below.
    function _book(uint256 seed, uint256 n) internal pure returns (Book memory b) {
        b.oracle = address(uint160(_draw(seed, 1)));
        b.executor = address(uint160(_draw(seed, 2)));
        b.keeper = address(uint160(_draw(seed, 3)));
        b.limits = Limits(
            uint64(_draw(seed, 4)),
            uint64(_draw(seed, 5)),
            uint64(_draw(seed, 6)),
            uint64(_draw(seed, 7)),
            uint64(_draw(seed, 8)),
            uint64(_draw(seed, 9)),
            uint64(_draw(seed, 10)),
            uint32(_draw(seed, 11)),
            uint32(_draw(seed, 12))
        );
        b.auction = AuctionTerms(
            uint64(_draw(seed, 13)),
            uint64(_draw(seed, 14)),
            uint64(_draw(seed, 15)),
            uint32(_draw(seed, 16)),
            uint32(_draw(seed, 17))
        );
        b.fees = Fees(uint64(_draw(seed, 18)), uint64(_draw(seed, 19)), uint64(_draw(seed, 20)));
        (b.glideStart, b.glideEnd) = (uint40(_draw(seed, 21)), uint40(_draw(seed, 22)));
        b.tokens = new address[](n);
        b.units = new uint256[](n);
        b.from = new uint256[](n);
        b.to = new uint256[](n);
        b.quarantined = new bool[](n);
        for (uint256 i; i < n; ++i) {
            b.tokens[i] = address(uint160(_draw(seed, 100 + i)));
            b.units[i] = 10 ** (_draw(seed, 200 + i) % 19);
            (b.from[i], b.to[i]) = (uint128(_draw(seed, 300 + i)), uint128(_draw(seed, 400 + i)));
            b.quarantined[i] = _draw(seed, 500 + i) % 2 == 0;
        }
    }

    /// @dev Weights that sum to one.
    function _share(uint256[] memory weights, uint256 seed) internal pure {
        uint256 left = 1e18;
        for (uint256 i; i < weights.length; ++i) {
            weights[i] = i + 1 == weights.length ? left : _draw(seed, i) % (left + 1);
            left -= weights[i];
        }
    }

    function _draw(uint256 seed, uint256 place) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, place)));
    }
}

contract TokensTest is Test {
    Libraries internal libraries = new Libraries();

    function test_a_balance_is_known_if_a_word_came_back() external {
        _balance(abi.encode(7), true, 7);
        _balance(abi.encode(7, 8), true, 7);
        _balance(new bytes(31), false, 0);
        _balance("", false, 0);
    }

    function test_a_balance_behind_a_revert_is_unknown() external {
        vm.mockCallRevert(address(this), abi.encodeWithSignature("balanceOf(address)"), abi.encode(7));
        (bool known, uint256 amount) = libraries.tryBalanceOf(address(this), address(1));
        assertFalse(known);
        assertEq(amount, 0);
    }

    function test_the_balance_of_an_account_without_code_is_unknown() external view {
        (bool known, uint256 amount) = libraries.tryBalanceOf(address(0xbeef), address(1));
        assertFalse(known);
        assertEq(amount, 0);
    }

    function test_a_transfer_is_believed_if_it_returned_true_or_nothing() external {
        _send("", true);
        _send(abi.encode(1), true);
        _send(abi.encode(1, 0), true);
        _send(abi.encode(0), false);
        _send(abi.encode(2), false);
        _send(new bytes(31), false);
        _send(hex"01", false);
    }

    function test_a_transfer_that_reverts_is_not_believed() external {
        vm.mockCallRevert(address(this), abi.encodeWithSignature("transfer(address,uint256)"), abi.encode(1));
        (bool sent,) = libraries.trySend(address(this), address(1), 7);
        assertFalse(sent);
    }

    function test_a_transfer_of_an_account_without_code_is_not_believed() external {
        (bool sent,) = libraries.trySend(address(0xbeef), address(1), 7);
        assertFalse(sent);
    }

    function _balance(bytes memory answer, bool expected, uint256 amount) internal {
        address account = address(0xaa00bB00Cc00DD00Ee00FF001100220033004400);
        vm.mockCall(address(this), abi.encodeWithSignature("balanceOf(address)", account), answer);
        (bool known, uint256 told) = libraries.tryBalanceOf(address(this), account);
        assertEq(known, expected);
        assertEq(told, amount);
    }

    function _send(bytes memory answer, bool expected) internal {
        // The largest amount overwrites as much of the free memory pointer as any can.
        address to = address(0xaa00bB00Cc00DD00Ee00FF001100220033004400);
        bytes memory call = abi.encodeWithSignature("transfer(address,uint256)", to, type(uint256).max);
        vm.mockCall(address(this), call, answer);
        vm.expectCall(address(this), call);
        (bool sent, uint256 freeMemory) = libraries.trySend(address(this), to, type(uint256).max);
        assertEq(sent, expected);
        assertEq(freeMemory, 0x80);
    }
}

contract GuardTest is Test {
    uint256 internal constant WAD = 1e18;

    Libraries internal libraries = new Libraries();

    /* ------------------------------------------------- VALUING ------------------------------------------------- */

    function test_values_are_rounded_down() external pure {
        Before memory b = _pair(1e8, 3, 66_666_666, 1e8);
        Guard.valuate(b);
        assertEq(b.values[0], 1);
        assertEq(b.values[1], 3);
        assertEq(b.nav, 4);
    }

    function test_the_gap_sums_the_distances_from_the_targets() external pure {
        Before memory b = _pair(1, 1, 70e18, 30e18);
        Guard.valuate(b);
        assertEq(b.nav, 100e18);
        assertEq(b.gap, 40e18);
        assertEq(b.targets.length, 2);
    }

    function test_target_values_are_rounded_down() external pure {
        // Of 3, a half counts as 1 and a quarter as nothing: the gap is 2, where exact targets would make it 3.
        Before memory b = _three(3, 0, 0);
        Guard.valuate(b);
        assertEq(b.gap, 2);
        assertEq(Guard.measure(b, b.balances).gap, 2);
    }

    function test_a_basket_without_value_is_refused() external {
        vm.expectRevert(Guard.WorthlessBasket.selector);
        libraries.checkDrift(_pair(1e8, 1, 1e8 - 1, 0), 0);
        libraries.checkDrift(_pair(1e8, 1, 1e8, 0), 0);
    }

    function test_amounts_and_prices_have_120_bits() external {
        uint256 most = 2 ** 120 - 1;
        Guard.valuate(_pair(WAD, most, most, 1));
        vm.expectRevert(abi.encodeWithSelector(Guard.TooWide.selector, most + 1, 120));
        libraries.checkDrift(_pair(WAD, 0, 0, most + 1), 0);
        vm.expectRevert(abi.encodeWithSelector(Guard.TooWide.selector, most + 1, 120));
        libraries.checkDrift(_pair(WAD, most + 1, 0, 0), 0);
    }

    function test_what_comes_in_has_120_bits() external {
        uint256 most = 2 ** 120 - 1;
        Before memory b = _pair(WAD, 1e18, 2e18, 1e18);
        Guard.valuate(b);
        assertEq(Guard.measure(b, _two(2e18, most)).bought, most - 1e18);
        vm.expectRevert(abi.encodeWithSelector(Guard.TooWide.selector, most + 1, 120));
        libraries.judge(b, _two(2e18, most + 1), _loose());
    }

    function test_nav_has_190_bits() external {
        // The first asset is worth 2^190 less 2^75, the second makes up for it, all but one wei.
        Before memory b = _pair(1, 2 ** 75, 2 ** 115 - 1, 0);
        (b.prices[1], b.balances[1]) = (1, 2 ** 75 - 1);
        Guard.valuate(b);
        assertEq(b.nav, 2 ** 190 - 1);
        b.balances[1] += 1;
        vm.expectRevert(abi.encodeWithSelector(Guard.TooWide.selector, 2 ** 190, 190));
        libraries.checkDrift(b, 0);
    }

    function test_what_a_batch_did_has_192_bits() external {
        Before memory b = _pair(1, 2 ** 75, 0, 1);
        vm.expectPartialRevert(Guard.TurnoverBudgetExceeded.selector);
        libraries.judge(b, _two(2 ** 117 - 2, 1), _loose());
        vm.expectPartialRevert(Guard.TooWide.selector);
        libraries.judge(b, _two(2 ** 117, 1), _loose());
    }

    function test_weights_have_64_bits() external {
        Before memory b = _pair(1, 1, 1, 1);
        b.weights[0] = 2 ** 64 - 1;
        Guard.valuate(b);
        (b.weights[0], b.weights[1]) = (0, 2 ** 64);
        vm.expectRevert(abi.encodeWithSelector(Guard.TooWide.selector, 2 ** 64, 64));
        libraries.checkDrift(b, 0);
    }

    function testFuzz_nothing_overflows_at_the_edges_of_the_widths(uint256 seed) external pure {
        // 32 assets, each number near its limit or anything: what the guard makes of them is what exact arithmetic does.
        Before memory b;
        (b.balances, b.prices, b.units, b.weights) =
        (new uint256[](32), new uint256[](32), new uint256[](32), new uint256[](32));
        uint256[] memory left = new uint256[](32);
        for (uint256 i; i < 32; ++i) {
            b.balances[i] = _wide(seed, i, 120);
            b.prices[i] = _wide(seed, 40 + i, 120);
            b.units[i] = 10 ** (17 + _draw(seed, 80 + i) % 2);
            b.weights[i] = _wide(seed, 120 + i, 64);
            left[i] = _wide(seed, 160 + i, 120);
        }
        Guard.valuate(b);
        Outcome memory o = Guard.measure(b, left);
        uint256 nav;
        uint256 gap;
        uint256 sold;
        uint256 bought;
        for (uint256 i; i < 32; ++i) {
            uint256 value = FixedPointMathLib.fullMulDiv(b.balances[i], b.prices[i], b.units[i]);
            nav += value;
            if (left[i] > b.balances[i]) {
                uint256 change = FixedPointMathLib.fullMulDiv(left[i] - b.balances[i], b.prices[i], b.units[i]);
                (bought, value) = (bought + change, value + change);
            } else {
                uint256 change = FixedPointMathLib.fullMulDivUp(b.balances[i] - left[i], b.prices[i], b.units[i]);
                (sold, value) = (sold + change, FixedPointMathLib.zeroFloorSub(value, change));
            }
            gap += FixedPointMathLib.dist(value, FixedPointMathLib.fullMulDiv(b.nav, b.weights[i], WAD));
        }
        assertEq(b.nav, nav);
        assertEq(abi.encode(o), abi.encode(Outcome(sold, bought, nav + bought - sold, gap)));
    }

    /// @dev Below 2^bits, in one of two cases as near to it as it can be.
    function _wide(uint256 seed, uint256 place, uint256 bits) internal pure returns (uint256) {
        uint256 number = _draw(seed, place);
        return number % 2 == 0 ? 2 ** bits - 1 : (number >> 1) % 2 ** bits;
    }

    function test_drift_is_rounded_down() external {
        // The gap is 1 of 3.
        Before memory b = _pair(1, 1, 2e18, 1e18);
        libraries.checkDrift(b, 333333333333333332);
        vm.expectRevert(abi.encodeWithSelector(Guard.BelowDeadBand.selector, 333333333333333333, 333333333333333333));
        libraries.checkDrift(b, 333333333333333333);
    }

    function test_bought_is_rounded_down_and_sold_up() external pure {
        Before memory b = _pair(1e6, 1e6 + 1, 1e6, 1e6);
        Guard.valuate(b);
        Outcome memory o = Guard.measure(b, _two(1e6 - 1, 1e6 + 1));
        assertEq(o.sold, 2);
        assertEq(o.bought, 1);
        assertEq(o.nav, b.nav - 1);
    }

    function test_many_tiny_legs_are_each_rounded_against_the_keeper() external {
        // One unit is worth 0.4 wei of USD. 31 of them, each of another asset, are sold for 31 of the last one.
        Before memory b;
        (b.balances, b.prices, b.units, b.weights) =
        (new uint256[](32), new uint256[](32), new uint256[](32), new uint256[](32));
        uint256[] memory left = new uint256[](32);
        for (uint256 i; i < 32; ++i) {
            (b.balances[i], b.prices[i], b.units[i], b.weights[i]) = (1000, 4, 10, WAD / 32);
            left[i] = i == 31 ? 1000 + 31 : 1000 - 1;
        }
        vm.expectRevert(abi.encodeWithSelector(Guard.UnfairTrade.selector, 31, 12, 0));
        libraries.judgeAt(b, left, 0);
    }

    function test_selling_everything_loses_all_that_it_was_worth() external pure {
        // 1.5 wei of USD count as 1 when held and as 2 when sold.
        Before memory b = _pair(2, 3, 1, 4);
        Guard.valuate(b);
        assertEq(b.nav, 1 + 6);
        Outcome memory o = Guard.measure(b, _two(0, 4));
        assertEq(o.sold, 2);
        assertEq(o.nav, 7 - 2);
        assertEq(o.gap, 3 + 3);
    }

    /* ------------------------------------------------- ROUNDING ------------------------------------------------- */

    // In all of these, asset 0 is 500,001 above its target of 1,500,000 and asset 1 is 500,000 below.

    function test_the_loss_level_is_rounded_up() external {
        // One wei of a NAV of 3,000,001 is 333,333,222,222.3 of WAD.
        Limits memory l = _loose();
        l.lossBudget = 333_333_222_223;
        libraries.judge(_odd(), _two(1_600_001, 1_399_999), l);
        l.lossBudget -= 1;
        vm.expectRevert(abi.encodeWithSelector(Guard.LossBudgetExceeded.selector, 333_333_222_223, 333_333_222_222));
        libraries.judge(_odd(), _two(1_600_001, 1_399_999), l);
    }

    function test_the_turnover_level_is_rounded_up() external {
        uint256 roundedDown = uint256(800_000) * WAD / 3_000_001;
        Limits memory l = _loose();
        l.turnoverBudget = uint64(roundedDown + 1);
        libraries.judge(_odd(), _two(1_600_001, 1_400_000), l);
        l.turnoverBudget -= 1;
        vm.expectRevert(abi.encodeWithSelector(Guard.TurnoverBudgetExceeded.selector, roundedDown + 1, roundedDown));
        libraries.judge(_odd(), _two(1_600_001, 1_400_000), l);
    }

    function test_the_dust_allowance_is_rounded_down() external {
        // The assets cross their targets by 150 and 151: on the way there and back, 602 too much.
        Limits memory l = _loose();
        l.dust = uint64(uint256(602) * WAD / 3_000_001 + 1);
        libraries.judge(_odd(), _two(1_499_850, 1_500_151), l);
        l.dust -= 1;
        vm.expectRevert(abi.encodeWithSelector(Guard.NotTowardsTarget.selector, 2 * 500_151, 1_000_001 - 301, 601));
        libraries.judge(_odd(), _two(1_499_850, 1_500_151), l);
    }

    function test_a_negative_slippage_asks_for_more_than_was_sold() external {
        Before memory b = _pair(1, 1, 2e6, 1e6);
        libraries.judgeAt(b, _two(1_900_000, 1_102_000), -0.02e18);
        vm.expectRevert(abi.encodeWithSelector(Guard.UnfairTrade.selector, 100_000, 101_999, -0.02e18));
        libraries.judgeAt(b, _two(1_900_000, 1_101_999), -0.02e18);
    }

    function test_the_least_fill_is_rounded_up() external pure {
        Before memory b = _odd();
        Guard.valuate(b);
        assertEq(b.gap, 1_000_001);
        assertEq(Guard.progress(b, 0, 0.5e18), 500_001);
        // The larger of the two counts.
        assertEq(Guard.progress(b, 0.2e18, 0.5e18), 600_001);
    }

    function test_the_least_progress_is_rounded_up() external {
        Limits memory l = _loose();
        l.minProgress = uint64(uint256(200_000) * WAD / 3_000_001);
        libraries.judge(_odd(), _two(1_900_001, 1_100_000), l);
        l.minProgress += 1;
        vm.expectRevert(abi.encodeWithSelector(Guard.TooLittleProgress.selector, 1_000_001, 800_001, 200_001));
        libraries.judge(_odd(), _two(1_900_001, 1_100_000), l);
    }

    /// @dev Values in exact arithmetic: with units that divide 1e18, balance x price x (1e18 / unit) is a whole number
    ///      of 1e-36 USD.
    struct Exact {
        uint256 nav0;
        uint256 nav1;
        uint256 sold;
        uint256 bought;
        uint256 gap0;
        uint256 gap1;
    }

    function testFuzz_what_passes_keeps_every_bound_in_exact_arithmetic(
        uint256 seed,
        uint64 slippage,
        uint64 dust,
        uint64 progress
    ) external view {
        Before memory b;
        uint256[] memory left;
        (b, left) = _basket(seed);
        Limits memory l = _loose();
        l.maxSlippage = slippage % 0.05e18;
        l.maxBatchLoss = uint64(uint256(keccak256(abi.encode(slippage))) % 0.02e18);
        l.dust = dust % 0.0001e18;
        l.minProgress = progress % 0.1e18;

        try libraries.judge(b, left, l) returns (uint256 loss, uint256 turnover) {
            Exact memory e = _exact(b, left);
            assertGe(e.bought * WAD, e.sold * (WAD - l.maxSlippage), "value for value");
            assertGe(e.nav1 * WAD, e.nav0 * (WAD - l.maxBatchLoss), "batch loss");
            if (e.nav1 < e.nav0) assertLe((e.nav0 - e.nav1) * WAD, loss * e.nav0, "loss level");
            // Turnover and gap are sums of values that are each rounded, within one wei of USD an asset.
            uint256 slack = 4 * b.units.length * WAD;
            assertLe((e.sold + e.bought) * WAD, turnover * e.nav0 + slack * WAD, "turnover level");
            assertLe(e.sold + e.bought + e.gap1, e.gap0 + e.nav0 * l.dust / WAD + slack, "towards the target");
            assertLe(e.gap1 + e.nav0 * l.minProgress / WAD, e.gap0 + slack, "progress");
        } catch {}
    }

    /* ------------------------------------------------- HELPERS ------------------------------------------------- */

    /// @dev A basket of four assets of any size, and balances after a batch that mostly goes towards the targets.
    function _basket(uint256 seed) internal pure returns (Before memory b, uint256[] memory left) {
        uint256 n = 4;
        b.balances = new uint256[](n);
        b.units = new uint256[](n);
        b.prices = new uint256[](n);
        b.weights = new uint256[](n);
        uint256 weight = WAD;
        uint256 size = 10 ** (_draw(seed, 1) % 16);
        for (uint256 i; i < n; ++i) {
            b.balances[i] = _draw(seed, 10 + i) % size;
            b.units[i] = 10 ** ([uint256(6), 8, 18, 0][_draw(seed, 20 + i) % 4]);
            b.prices[i] = 1 + _draw(seed, 30 + i) % 10 ** (_draw(seed, 40 + i) % 19);
            b.weights[i] = i == n - 1 ? weight : _draw(seed, 50 + i) % (weight + 1);
            weight -= b.weights[i];
        }
        // Worth something for certain.
        b.balances[0] += b.units[0];
        Before memory valued = abi.decode(abi.encode(b), (Before));
        Guard.valuate(valued);

        // Each asset goes some way to its target, and now and then all the way to nothing.
        left = new uint256[](n);
        uint256 part = _draw(seed, 2) % (WAD + 1);
        for (uint256 i; i < n; ++i) {
            uint256 target = valued.nav * b.weights[i] / WAD * b.units[i] / b.prices[i];
            left[i] = target > b.balances[i]
                ? b.balances[i] + (target - b.balances[i]) * part / WAD
                : b.balances[i] - (b.balances[i] - target) * part / WAD;
            if (left[i] != 0) left[i] -= _draw(seed, 60 + i) % 2;
            if (_draw(seed, 70 + i) % 4 == 0 && valued.values[i] < 100) left[i] = 0;
        }
    }

    function _exact(Before memory b, uint256[] memory left) internal pure returns (Exact memory e) {
        uint256 n = left.length;
        uint256[] memory before = new uint256[](n);
        uint256[] memory rest = new uint256[](n);
        for (uint256 i; i < n; ++i) {
            before[i] = b.balances[i] * b.prices[i] * (WAD / b.units[i]);
            rest[i] = left[i] * b.prices[i] * (WAD / b.units[i]);
            e.nav0 += before[i];
            e.nav1 += rest[i];
            if (rest[i] > before[i]) e.bought += rest[i] - before[i];
            else e.sold += before[i] - rest[i];
        }
        for (uint256 i; i < n; ++i) {
            uint256 target = FixedPointMathLib.fullMulDiv(e.nav0, b.weights[i], WAD);
            e.gap0 += FixedPointMathLib.dist(before[i], target);
            e.gap1 += FixedPointMathLib.dist(rest[i], target);
        }
    }

    function _draw(uint256 seed, uint256 place) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, place)));
    }

    function _loose() internal pure returns (Limits memory) {
        return Limits({
            maxSlippage: 0.05e18,
            maxBatchLoss: 0.05e18,
            lossBudget: 0.1e18,
            turnoverBudget: 10e18,
            deadBand: 0,
            minProgress: 0,
            dust: 0.0001e18,
            window: 1 days,
            cooldown: 12
        });
    }

    /// @dev Two assets of the same unit and price, half of each as the target.
    function _pair(uint256 unit, uint256 price, uint256 balance0, uint256 balance1)
        internal
        pure
        returns (Before memory b)
    {
        b.balances = _two(balance0, balance1);
        b.units = _two(unit, unit);
        b.prices = _two(price, price);
        b.weights = _two(WAD / 2, WAD / 2);
    }

    /// @dev Three assets at a price of one, a half and two quarters as the targets.
    function _three(uint256 x, uint256 y, uint256 z) internal pure returns (Before memory b) {
        b.balances = _list(x, y, z);
        b.units = b.prices = _list(1, 1, 1);
        b.weights = _list(WAD / 2, WAD / 4, WAD / 4);
    }

    function _list(uint256 x, uint256 y, uint256 z) internal pure returns (uint256[] memory three) {
        three = new uint256[](3);
        (three[0], three[1], three[2]) = (x, y, z);
    }

    function _odd() internal pure returns (Before memory) {
        return _pair(1, 1, 2_000_001, 1_000_000);
    }

    function _two(uint256 a, uint256 b) internal pure returns (uint256[] memory both) {
        both = new uint256[](2);
        (both[0], both[1]) = (a, b);
    }
}
