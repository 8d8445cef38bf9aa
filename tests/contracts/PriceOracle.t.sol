// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";

import {PriceOracle} from "../../contracts/PriceOracle.sol";
import {FeedConfig, IPriceOracle} from "../../contracts/interfaces/IPriceOracle.sol";
import {Aggregator, Feed, ProxyFeed} from "./utils/Feeds.sol";

/// @notice Which prices are believed, and which configurations.
contract PriceOracleTest is Test {
    uint32 internal constant HEARTBEAT = 1 hours;

    address internal a = makeAddr("a");
    address internal b = makeAddr("b");
    address internal c = makeAddr("c");
    Feed internal feed;

    function setUp() external {
        vm.warp(1_750_000_000);
        feed = new Feed(8, 2_000e8);
    }

    /* ------------------------------------------------- QUOTING ------------------------------------------------- */

    function test_answers_of_any_decimals_become_wad() external {
        uint8[6] memory decimals = [0, 6, 8, 12, 17, 18];
        for (uint256 i; i < decimals.length; ++i) {
            Feed any = new Feed(decimals[i], int192(int256(1_234 * 10 ** decimals[i])));
            (uint256 price, uint256 updatedAt) = _one(any).latest(a);
            assertEq(price, 1_234e18);
            assertEq(updatedAt, block.timestamp);
        }
    }

    function test_prices_come_in_the_order_they_are_asked_for() external {
        IPriceOracle oracle = _three();
        (uint256 pa, uint256 pb, uint256 pc) = (1e18, 2e18, 3e18);

        assertEq(oracle.prices(_tokens(a, b, c)), _numbers(pa, pb, pc));
        assertEq(oracle.prices(_tokens(c, b, a)), _numbers(pc, pb, pa));
        assertEq(oracle.prices(_tokens(b, a, c)), _numbers(pb, pa, pc));
        assertEq(oracle.prices(_tokens(c, a, b)), _numbers(pc, pa, pb));
        assertEq(oracle.prices(_tokens(b, b, a)), _numbers(pb, pb, pa));
        assertEq(oracle.prices(new address[](0)).length, 0);
    }

    function test_a_basket_in_the_order_of_the_feeds_is_not_searched() external {
        FeedConfig[] memory configs = new FeedConfig[](32);
        address[] memory ordered = new address[](32);
        address[] memory backwards = new address[](32);
        for (uint160 i; i < 32; ++i) {
            configs[i] = FeedConfig(address(i + 1), address(feed), HEARTBEAT, 0, type(uint128).max);
            ordered[i] = backwards[31 - i] = address(i + 1);
        }
        IPriceOracle oracle = new PriceOracle(configs);
        oracle.prices(ordered);

        uint256 gas = gasleft();
        oracle.prices(backwards);
        uint256 searched = gas - gasleft();
        gas = gasleft();
        oracle.prices(ordered);
        assertLt(gas - gasleft(), searched * 3 / 4);
    }

    function test_a_token_without_a_feed_is_named() external {
        address unknown = makeAddr("unknown");
        IPriceOracle oracle = _three();
        vm.expectRevert(abi.encodeWithSelector(IPriceOracle.NoFeed.selector, unknown));
        oracle.prices(_tokens(a, unknown, b));
        vm.expectRevert(abi.encodeWithSelector(IPriceOracle.NoFeed.selector, unknown));
        oracle.latest(unknown);

        oracle = new PriceOracle(new FeedConfig[](0));
        vm.expectRevert(abi.encodeWithSelector(IPriceOracle.NoFeed.selector, a));
        oracle.latest(a);
    }

    function test_one_refused_price_refuses_them_all() external {
        IPriceOracle oracle = _three();
        Feed(oracle.feeds()[1].feed).set(0);
        vm.expectRevert(abi.encodeWithSelector(IPriceOracle.NotPositive.selector, b, 0));
        oracle.prices(_tokens(a, c, b));
        oracle.latest(a);
    }

    function test_the_configuration_reads_back() external {
        FeedConfig[] memory configs = new FeedConfig[](2);
        configs[0] = FeedConfig(a, address(feed), 1, 2, 3);
        configs[1] = FeedConfig(b, address(feed), 4, 5, 6);
        assertEq(abi.encode(new PriceOracle(configs).feeds()), abi.encode(configs));
    }

    /* ---------------------------------------------------- AGE ---------------------------------------------------- */

    function test_an_answer_is_good_for_one_heartbeat() external {
        IPriceOracle oracle = _one(feed);
        uint256 updatedAt = block.timestamp;
        skip(HEARTBEAT);
        oracle.latest(a);

        skip(1);
        _refused(
            oracle, abi.encodeWithSelector(IPriceOracle.StalePrice.selector, a, updatedAt, block.timestamp, HEARTBEAT)
        );
    }

    function test_an_answer_from_the_future_is_refused() external {
        IPriceOracle oracle = _one(feed);
        feed.setAt(2_000e8, block.timestamp + 1);
        _refused(
            oracle,
            abi.encodeWithSelector(IPriceOracle.StalePrice.selector, a, block.timestamp + 1, block.timestamp, HEARTBEAT)
        );
        skip(1);
        oracle.latest(a);
    }

    function test_a_feed_that_never_answered_is_refused() external {
        IPriceOracle oracle = _one(feed);
        feed.setAt(2_000e8, 0);
        _refused(oracle, abi.encodeWithSelector(IPriceOracle.StalePrice.selector, a, 0, block.timestamp, HEARTBEAT));
    }

    function test_a_feed_that_reverts_is_not_caught() external {
        IPriceOracle oracle = _one(feed);
        feed.setDead(true);
        _refused(oracle, abi.encodeWithSelector(Feed.FeedIsDead.selector));
    }

    /* -------------------------------------------------- BOUNDS -------------------------------------------------- */

    function test_an_answer_is_positive() external {
        IPriceOracle oracle = _one(feed);
        feed.set(0);
        _refused(oracle, abi.encodeWithSelector(IPriceOracle.NotPositive.selector, a, 0));
        feed.set(-1);
        _refused(oracle, abi.encodeWithSelector(IPriceOracle.NotPositive.selector, a, -1));
        feed.set(type(int192).min);
        _refused(oracle, abi.encodeWithSelector(IPriceOracle.NotPositive.selector, a, type(int192).min));
    }

    function test_the_bounds_are_exclusive() external {
        // One answer above and below each bound, for feeds of 6, 8 and 18 decimals.
        uint8[3] memory decimals = [6, 8, 18];
        for (uint256 i; i < decimals.length; ++i) {
            int192 one = int192(int256(10 ** decimals[i]));
            uint256 step = 10 ** (18 - decimals[i]);
            feed = new Feed(decimals[i], one);
            FeedConfig[] memory configs = new FeedConfig[](1);
            configs[0] = FeedConfig(a, address(feed), HEARTBEAT, 0.9e18, 1.1e18);
            IPriceOracle oracle = new PriceOracle(configs);

            feed.set(one * 9 / 10);
            _refused(oracle, abi.encodeWithSelector(IPriceOracle.PriceOutOfBounds.selector, a, 0.9e18, 0.9e18, 1.1e18));
            feed.set(one * 11 / 10);
            _refused(oracle, abi.encodeWithSelector(IPriceOracle.PriceOutOfBounds.selector, a, 1.1e18, 0.9e18, 1.1e18));
            feed.set(one * 9 / 10 + 1);
            (uint256 price,) = oracle.latest(a);
            assertEq(price, 0.9e18 + step);
            feed.set(one * 11 / 10 - 1);
            (price,) = oracle.latest(a);
            assertEq(price, 1.1e18 - step);
        }
    }

    /* ----------------------------------------------- CONFIGURATION ----------------------------------------------- */

    function test_a_token_has_one_feed() external {
        FeedConfig[] memory configs = new FeedConfig[](3);
        configs[0] = FeedConfig(a, address(feed), HEARTBEAT, 1, 1e30);
        configs[1] = FeedConfig(b, address(feed), HEARTBEAT, 1, 1e30);
        configs[2] = configs[0];
        vm.expectRevert(abi.encodeWithSelector(IPriceOracle.DuplicateFeed.selector, a));
        new PriceOracle(configs);
    }

    function test_a_feed_of_more_than_eighteen_decimals_is_refused() external {
        _unfit(FeedConfig(a, address(new Feed(19, 1)), HEARTBEAT, 1, 2));
        _fit(FeedConfig(a, address(new Feed(18, 1)), HEARTBEAT, 1, 2));
    }

    function test_a_heartbeat_of_nothing_is_refused() external {
        _unfit(FeedConfig(a, address(feed), 0, 1, 2));
        _fit(FeedConfig(a, address(feed), 1, 1, 2));
    }

    function test_bounds_leave_something_between_them() external {
        _unfit(FeedConfig(a, address(feed), HEARTBEAT, 2, 2));
        _unfit(FeedConfig(a, address(feed), HEARTBEAT, 3, 2));
        _fit(FeedConfig(a, address(feed), HEARTBEAT, 1, 2));
    }

    function test_a_feed_without_code_is_refused() external {
        FeedConfig[] memory configs = new FeedConfig[](1);
        configs[0] = FeedConfig(a, makeAddr("nowhere"), HEARTBEAT, 1, 2);
        vm.expectRevert(bytes(""));
        new PriceOracle(configs);
    }

    function test_bounds_lie_strictly_inside_the_aggregators() external {
        // The aggregator answers from 1 to 10,000 USD; at either end it may be stuck.
        address proxy = address(new ProxyFeed(8, 2_000e8, address(new Aggregator(1e8, 10_000e8))));
        _unfit(FeedConfig(a, proxy, HEARTBEAT, 1e18, 9_999e18));
        _unfit(FeedConfig(a, proxy, HEARTBEAT, 2e18, 10_000e18));
        _unfit(FeedConfig(a, proxy, HEARTBEAT, 0, type(uint128).max));
        _fit(FeedConfig(a, proxy, HEARTBEAT, 1e18 + 1, 10_000e18 - 1));
    }

    function test_a_proxy_whose_aggregator_has_no_bounds_is_accepted() external {
        address proxy = address(new ProxyFeed(8, 2_000e8, address(feed)));
        _fit(FeedConfig(a, proxy, HEARTBEAT, 0, type(uint128).max));
    }

    /* ------------------------------------------------- HELPERS ------------------------------------------------- */

    function _one(Feed any) internal returns (IPriceOracle) {
        FeedConfig[] memory configs = new FeedConfig[](1);
        configs[0] = FeedConfig(a, address(any), HEARTBEAT, 0, type(uint128).max);
        return new PriceOracle(configs);
    }

    function _three() internal returns (IPriceOracle) {
        FeedConfig[] memory configs = new FeedConfig[](3);
        configs[0] = FeedConfig(a, address(new Feed(8, 1e8)), HEARTBEAT, 0, 1e30);
        configs[1] = FeedConfig(b, address(new Feed(6, 2e6)), HEARTBEAT, 0, 1e30);
        configs[2] = FeedConfig(c, address(new Feed(18, 3e18)), HEARTBEAT, 0, 1e30);
        return new PriceOracle(configs);
    }

    /// @dev Both doors refuse, for the same reason.
    function _refused(IPriceOracle oracle, bytes memory reason) internal {
        vm.expectRevert(reason);
        oracle.latest(a);
        address[] memory tokens = new address[](1);
        tokens[0] = a;
        vm.expectRevert(reason);
        oracle.prices(tokens);
    }

    function _unfit(FeedConfig memory config) internal {
        FeedConfig[] memory configs = new FeedConfig[](1);
        configs[0] = config;
        vm.expectRevert(abi.encodeWithSelector(IPriceOracle.BadFeedConfig.selector, config.token));
        new PriceOracle(configs);
    }

    function _fit(FeedConfig memory config) internal {
        FeedConfig[] memory configs = new FeedConfig[](1);
        configs[0] = config;
        new PriceOracle(configs);
    }

    function _tokens(address x, address y, address z) internal pure returns (address[] memory list) {
        list = new address[](3);
        (list[0], list[1], list[2]) = (x, y, z);
    }

    function _numbers(uint256 x, uint256 y, uint256 z) internal pure returns (uint256[] memory list) {
        list = new uint256[](3);
        (list[0], list[1], list[2]) = (x, y, z);
    }
}
