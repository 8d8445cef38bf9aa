// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {PriceOracle} from "../../contracts/PriceOracle.sol";
import {FeedConfig, IPriceOracle, QuoteConfig} from "../../contracts/interfaces/IPriceOracle.sol";
import {Aggregator, Feed, ProxyFeed, RawFeed, plainFeed} from "./utils/Feeds.sol";
import {OracleTest} from "./utils/OracleTest.sol";

/// @notice Prices that are the product of two feeds, as stETH/ETH times ETH/USD.
contract PriceOracleComposedTest is OracleTest {
    address internal steth = makeAddr("stETH");
    address internal weth = makeAddr("WETH");
    Feed internal ratio;
    Feed internal quote;
    IPriceOracle internal oracle;

    function setUp() public override {
        super.setUp();
        ratio = new Feed(18, 0.99e18);
        quote = new Feed(8, 2_000e8);
        oracle = _oracle(_composed(), plainFeed(weth, address(quote), HEARTBEAT, 100e18, 10_000e18));
    }

    function test_the_price_is_the_product_of_both_answers() external view {
        assertEq(_price(oracle, steth), 1_980e18);
    }

    function test_each_feed_has_its_own_decimals() external {
        uint8[3] memory decimals = [6, 8, 18];
        for (uint256 i; i < decimals.length; ++i) {
            for (uint256 j; j < decimals.length; ++j) {
                FeedConfig memory c = _composed();
                c.feed = address(new Feed(decimals[i], int192(int256(99 * 10 ** decimals[i] / 100))));
                c.quote.feed = address(new Feed(decimals[j], int192(int256(2_000 * 10 ** decimals[j]))));
                assertEq(_price(_oracle(c), steth), 1_980e18);
            }
        }
    }

    function test_the_product_rounds_down() external {
        // 0.5 and one 1e-18 of it times 100.00000001 is 50.000000005 and 100 times 1e-18 and a fraction of it.
        ratio.set(0.5e18 + 1);
        quote.set(100e8 + 1);
        assertEq(_price(oracle, steth), 50.000000005e18 + 100);
    }

    function test_the_price_is_as_old_as_the_older_answer() external {
        ratio.setAt(0.99e18, block.timestamp - 10);
        quote.setAt(2_000e8, block.timestamp - 20);
        (, uint256 updatedAt) = oracle.latest(steth);
        assertEq(updatedAt, block.timestamp - 20);
        ratio.setAt(0.99e18, block.timestamp - 30);
        (, updatedAt) = oracle.latest(steth);
        assertEq(updatedAt, block.timestamp - 30);
    }

    function test_each_answer_is_good_for_its_own_heartbeat() external {
        ratio.setAt(0.99e18, block.timestamp - 1 days);
        quote.setAt(2_000e8, block.timestamp - HEARTBEAT);
        _price(oracle, steth);

        quote.setAt(2_000e8, block.timestamp - HEARTBEAT - 1);
        _refused(oracle, steth, _stale(steth, block.timestamp - HEARTBEAT - 1, HEARTBEAT));
        quote.set(2_000e8);
        ratio.setAt(0.99e18, block.timestamp - 1 days - 1);
        _refused(oracle, steth, _stale(steth, block.timestamp - 1 days - 1, 1 days));
    }

    function test_each_answer_has_its_own_bounds() external {
        quote.set(100e8);
        _refused(oracle, steth, _outOfBounds(steth, 100e18, 100e18, 10_000e18));
        quote.set(10_000e8);
        _refused(oracle, steth, _outOfBounds(steth, 10_000e18, 100e18, 10_000e18));
        quote.set(10_000e8 - 1);
        _price(oracle, steth);
        quote.set(100e8 + 1);
        _price(oracle, steth);

        ratio.set(0.5e18);
        _refused(oracle, steth, _outOfBounds(steth, 0.5e18, 0.5e18, 1.1e18));
        ratio.set(1.1e18);
        _refused(oracle, steth, _outOfBounds(steth, 1.1e18, 0.5e18, 1.1e18));
        ratio.set(1.1e18 - 1);
        _price(oracle, steth);
        ratio.set(0.5e18 + 1);
        _price(oracle, steth);
    }

    function test_each_feed_must_answer_above_zero() external {
        quote.set(-1);
        _refused(oracle, steth, abi.encodeWithSelector(IPriceOracle.NotPositive.selector, steth, -1));
        quote.setDead(true);
        _refused(oracle, steth, abi.encodeWithSelector(IPriceOracle.NoAnswer.selector, steth, quote));
        quote.setDead(false);
        quote.set(2_000e8);
        ratio.setDead(true);
        _refused(oracle, steth, abi.encodeWithSelector(IPriceOracle.NoAnswer.selector, steth, ratio));
    }

    function test_a_product_of_nothing_is_refused() external {
        (Feed x, Feed y) = (new Feed(18, 1e9), new Feed(18, 1e9));
        oracle = _unbounded(x, y);
        assertEq(_price(oracle, steth), 1);
        x.set(1e9 - 1);
        _refused(oracle, steth, _outOfBounds(steth, 0, 0, 1 << 128));
    }

    function test_a_product_is_no_larger_than_an_answer_may_be() external {
        uint256 most = type(uint128).max;
        (Feed x, Feed y) = (new Feed(18, int192(int256(most / 3))), new Feed(18, 3e18));
        oracle = _unbounded(x, y);
        assertEq(_price(oracle, steth), most);
        y.set(3e18 + 1);
        _refused(oracle, steth, _outOfBounds(steth, most + most / 3 / 1e18, 0, 1 << 128));
        // The largest there are do not overflow on the way.
        x.set(int192(int256(most - 1)));
        y.set(int192(int256(most - 1)));
        _refused(oracle, steth, _outOfBounds(steth, (most - 1) * (most - 1) / 1e18, 0, 1 << 128));
    }

    function test_its_place_in_the_basket_does_not_matter() external view {
        address[] memory tokens = new address[](4);
        (tokens[0], tokens[1], tokens[2], tokens[3]) = (weth, steth, steth, weth);
        uint256[] memory prices = oracle.prices(tokens);
        assertEq(prices[0], 2_000e18);
        assertEq(prices[1], 1_980e18);
        assertEq(prices[2], 1_980e18);
        assertEq(prices[3], 2_000e18);
    }

    function test_a_composed_price_costs_the_plain_ones_nothing() external {
        // Eight plain feeds, after a composed one and before it.
        FeedConfig[] memory after_ = new FeedConfig[](9);
        FeedConfig[] memory before = new FeedConfig[](9);
        after_[0] = before[8] = _composed();
        for (uint160 i = 1; i < 9; ++i) {
            after_[i] = before[i - 1] = plainFeed(address(i), address(new Feed(8, 1e8)), HEARTBEAT, 0, 2e18);
        }
        uint256 gasAfter = _gasOfAll(after_);
        uint256 gasBefore = _gasOfAll(before);
        // Had each of them to go the long way as well, it would cost more than this.
        assertApproxEqAbs(gasAfter, gasBefore, 1000);
    }

    function test_an_address_with_dirty_bits_is_no_way_around_the_quote() external view {
        // The first word of the token's entry: the offset of what it has beyond a plain feed, and its address.
        for (uint256 offset; offset <= 400; ++offset) {
            bytes memory data = abi.encodePacked(
                IPriceOracle.prices.selector, uint256(0x20), uint256(1), offset << 160 | uint160(steth)
            );
            (bool ok, bytes memory reply) = address(oracle).staticcall(data);
            assertEq(ok, offset == 0);
            if (ok) assertEq(abi.decode(reply, (uint256[]))[0], 1_980e18);
        }
    }

    function test_a_quote_feed_is_held_to_the_same_configuration() external {
        FeedConfig memory c = _composed();
        c.quote.heartbeat = 0;
        _unfit(c, abi.encodeWithSelector(IPriceOracle.BadHeartbeat.selector, steth, 0, 3 days));
        c.quote.heartbeat = 3 days + 1;
        _unfit(c, abi.encodeWithSelector(IPriceOracle.BadHeartbeat.selector, steth, 3 days + 1, 3 days));
        c = _composed();
        c.quote.maxPrice = c.quote.minPrice;
        _unfit(c, abi.encodeWithSelector(IPriceOracle.BadBounds.selector, steth, 100e18, 100e18));
        c = _composed();
        c.quote.feed = address(new Feed(19, 1));
        _unfit(c, abi.encodeWithSelector(IPriceOracle.BadDecimals.selector, steth, c.quote.feed, 19));
        c = _composed();
        c.quote.feed = address(new ProxyFeed(8, 2_000e8, address(new Aggregator(100e8, 10_001e8))));
        _unfit(
            c,
            abi.encodeWithSelector(
                IPriceOracle.BoundsOutsideAggregator.selector, steth, 100e18, 10_000e18, 100e18, 10_001e18
            )
        );
    }

    function test_the_configuration_reads_back() external {
        FeedConfig[] memory configs =
            _configs(plainFeed(weth, address(quote), HEARTBEAT, 100e18, 10_000e18), _composed());
        assertEq(abi.encode(new PriceOracle(configs, address(0), 0).feeds()), abi.encode(configs));
    }

    /// @dev Of all its prices, when every account is warm.
    function _gasOfAll(FeedConfig[] memory configs) internal returns (uint256 used) {
        IPriceOracle any = new PriceOracle(configs, address(0), 0);
        address[] memory tokens = new address[](configs.length);
        for (uint256 i; i < tokens.length; ++i) {
            tokens[i] = configs[i].token;
        }
        any.prices(tokens);
        used = gasleft();
        any.prices(tokens);
        used -= gasleft();
    }

    function _unbounded(Feed x, Feed y) internal returns (IPriceOracle) {
        FeedConfig memory c = _composed();
        (c.feed, c.minPrice, c.maxPrice) = (address(x), 0, type(uint128).max);
        (c.quote.feed, c.quote.minPrice, c.quote.maxPrice) = (address(y), 0, type(uint128).max);
        return _oracle(c);
    }

    function _composed() internal view returns (FeedConfig memory c) {
        c = plainFeed(steth, address(ratio), 1 days, 0.5e18, 1.1e18);
        c.quote = QuoteConfig(address(quote), HEARTBEAT, 100e18, 10_000e18);
    }
}
