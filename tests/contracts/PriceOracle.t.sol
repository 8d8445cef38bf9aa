// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

import {PriceOracle} from "../../contracts/PriceOracle.sol";
import {
    AnchorConfig,
    FeedConfig,
    IPriceOracle,
    QuoteConfig,
    ShareConfig
} from "../../contracts/interfaces/IPriceOracle.sol";
import {Aggregator, Feed, ProxyFeed, RawFeed, plainFeed} from "./utils/Feeds.sol";
import {OracleTest} from "./utils/OracleTest.sol";

/// @notice Which answers of a single feed are believed, and which configurations. And the L2's sequencer.
contract PriceOracleTest is OracleTest {
    address internal a = makeAddr("a");
    address internal b = makeAddr("b");
    address internal c = makeAddr("c");
    Feed internal feed;

    function setUp() public override {
        super.setUp();
        feed = new Feed(8, 2_000e8);
    }

    /* ------------------------------------------------- QUOTING ------------------------------------------------- */

    function test_answers_of_any_decimals_become_wad() external {
        uint8[6] memory decimals = [0, 6, 8, 12, 17, 18];
        for (uint256 i; i < decimals.length; ++i) {
            IPriceOracle oracle = _one(new Feed(decimals[i], int192(int256(1_234 * 10 ** decimals[i]))));
            assertEq(_price(oracle, a), 1_234e18);
            (, uint256 updatedAt) = oracle.latest(a);
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
        assertEq(oracle.prices(_tokens(a, c, c)), _numbers(pa, pc, pc));
        assertEq(oracle.prices(_tokens(c)), _numbers(pc));
        assertEq(oracle.prices(new address[](0)).length, 0);
    }

    function test_a_token_without_a_feed_is_named() external {
        address unknown = makeAddr("unknown");
        IPriceOracle oracle = _three();
        _refused(oracle, unknown, abi.encodeWithSelector(IPriceOracle.NoFeed.selector, unknown));
        _refused(oracle, address(0), abi.encodeWithSelector(IPriceOracle.NoFeed.selector, address(0)));
        vm.expectRevert(abi.encodeWithSelector(IPriceOracle.NoFeed.selector, unknown));
        oracle.prices(_tokens(a, unknown, b));
        // The place after the last one is empty.
        vm.expectRevert(abi.encodeWithSelector(IPriceOracle.NoFeed.selector, address(0)));
        oracle.prices(_tokens(c, address(0), b));

        oracle = new PriceOracle(new FeedConfig[](0), address(0), 0);
        _refused(oracle, a, abi.encodeWithSelector(IPriceOracle.NoFeed.selector, a));
    }

    function test_one_refused_price_refuses_them_all() external {
        IPriceOracle oracle = _three();
        Feed(oracle.feeds()[1].feed).set(0);
        bytes memory reason = abi.encodeWithSelector(IPriceOracle.NotPositive.selector, b, 0);
        vm.expectRevert(reason);
        oracle.prices(_tokens(a, b, c));
        vm.expectRevert(reason);
        oracle.prices(_tokens(a, c, b));
        oracle.prices(_tokens(a, c, a));
        oracle.latest(a);
    }

    function test_the_configuration_reads_back() external {
        FeedConfig[] memory configs = _configs(
            FeedConfig(
                a,
                address(feed),
                1,
                2,
                3,
                QuoteConfig(address(new Feed(6, 1e6)), 4, 5, 6),
                ShareConfig(0, 0, 0),
                AnchorConfig(address(0), 0, 0)
            ),
            plainFeed(b, address(feed), 7, 8, 9)
        );
        assertEq(abi.encode(new PriceOracle(configs, address(0), 0).feeds()), abi.encode(configs));
    }

    function test_both_doors_judge_alike(int256 answer, uint256 size, uint256 age, uint256 bounds, uint256 decimals)
        external
    {
        // Answers of all sizes, of about the age of the heartbeat, against bounds of all sizes.
        RawFeed raw = new RawFeed(uint8(decimals % 19));
        raw.set(answer >> size % 256, 0, block.timestamp + HEARTBEAT - age % (3 * HEARTBEAT));
        uint128 min = uint128(bounds) >> bounds % 128;
        IPriceOracle oracle =
            _oracle(plainFeed(a, address(raw), HEARTBEAT, min, uint128(_max(bounds >> 128, uint256(min) + 1))));

        try oracle.latest(a) returns (uint256 price, uint256) {
            assertEq(oracle.prices(_tokens(a))[0], price);
        } catch (bytes memory reason) {
            vm.expectRevert(reason);
            oracle.prices(_tokens(a));
        }
    }

    function test_a_plain_feed_costs_little_beyond_its_own() external {
        // The long way, which names every guard, costs more than this even when everything is warm.
        IPriceOracle oracle = _three();
        oracle.prices(_tokens(a, b, c));
        uint256 three = _gasOf(address(oracle), abi.encodeCall(oracle.prices, (_tokens(a, b, c))));
        uint256 one = _gasOf(address(oracle), abi.encodeCall(oracle.prices, (_tokens(a))));
        uint256 own = _gasOf(oracle.feeds()[1].feed, abi.encodeCall(Feed.latestRoundData, ()));
        assertLt(three, one + 2 * (own + 800));
    }

    /* ---------------------------------------------------- AGE ---------------------------------------------------- */

    function test_an_answer_is_good_for_one_heartbeat() external {
        IPriceOracle oracle = _one(feed);
        uint256 updatedAt = block.timestamp;
        skip(HEARTBEAT);
        _price(oracle, a);

        skip(1);
        _refused(oracle, a, _stale(a, updatedAt, HEARTBEAT));
    }

    function test_an_answer_from_the_future_is_refused() external {
        IPriceOracle oracle = _one(feed);
        feed.setAt(2_000e8, block.timestamp + 1);
        _refused(oracle, a, _stale(a, block.timestamp + 1, HEARTBEAT));
        skip(1);
        _price(oracle, a);
    }

    function test_a_feed_that_never_answered_is_refused() external {
        IPriceOracle oracle = _one(feed);
        feed.setAt(2_000e8, 0);
        _refused(oracle, a, _stale(a, 0, HEARTBEAT));
    }

    function test_age_counts_from_the_answer_and_not_from_the_start_of_its_round() external {
        RawFeed raw = new RawFeed(8);
        IPriceOracle oracle = _oracle(plainFeed(a, address(raw), HEARTBEAT, 0, type(uint128).max));
        raw.set(1e8, 0, block.timestamp);
        assertEq(_price(oracle, a), 1e18);
        raw.set(1e8, block.timestamp, block.timestamp - HEARTBEAT - 1);
        _refused(oracle, a, _stale(a, block.timestamp - HEARTBEAT - 1, HEARTBEAT));
        raw.set(1e8, 0, type(uint256).max);
        _refused(oracle, a, _stale(a, type(uint256).max, HEARTBEAT));
    }

    /* --------------------------------------------------- ANSWER --------------------------------------------------- */

    function test_a_feed_that_reverts_is_named() external {
        IPriceOracle oracle = _one(feed);
        feed.setDead(true);
        _refused(oracle, a, abi.encodeWithSelector(IPriceOracle.NoAnswer.selector, a, feed));
    }

    function test_a_feed_that_lost_its_code_is_named() external {
        IPriceOracle oracle = _one(feed);
        vm.etch(address(feed), "");
        _refused(oracle, a, abi.encodeWithSelector(IPriceOracle.NoAnswer.selector, a, feed));
    }

    function test_a_reply_is_five_words_or_more() external {
        RawFeed raw = new RawFeed(8);
        IPriceOracle oracle = _oracle(plainFeed(a, address(raw), HEARTBEAT, 0, type(uint128).max));
        bytes memory reply = abi.encode(1, 2_000e8, block.timestamp, block.timestamp, 1);
        raw.setReply(reply);
        assertEq(_price(oracle, a), 2_000e18);
        raw.setReply(bytes.concat(reply, new bytes(1000)));
        assertEq(_price(oracle, a), 2_000e18);

        bytes memory reason = abi.encodeWithSelector(IPriceOracle.NoAnswer.selector, a, raw);
        assembly ("memory-safe") {
            mstore(reply, 159)
        }
        raw.setReply(reply);
        _refused(oracle, a, reason);
        raw.setReply("");
        _refused(oracle, a, reason);
    }

    function test_an_answer_is_positive() external {
        IPriceOracle oracle = _one(feed);
        int192[3] memory answers = [int192(0), -1, type(int192).min];
        for (uint256 i; i < answers.length; ++i) {
            feed.set(answers[i]);
            _refused(oracle, a, abi.encodeWithSelector(IPriceOracle.NotPositive.selector, a, answers[i]));
        }
    }

    function test_an_answer_beyond_all_measure_is_out_of_bounds() external {
        // The second and third wrap around to a price inside the bounds when they are multiplied by 10^10.
        RawFeed raw = new RawFeed(8);
        IPriceOracle oracle = _oracle(plainFeed(a, address(raw), HEARTBEAT, 0, type(uint128).max));
        uint256 wraps = type(uint256).max / 1e10 + 1;
        uint256[4] memory answers = [uint256(type(int256).max), wraps, wraps * 2, 1 << 190];
        for (uint256 i; i < answers.length; ++i) {
            raw.set(int256(answers[i]), 0, block.timestamp);
            uint256 price = FixedPointMathLib.saturatingMul(answers[i], 1e10);
            _refused(oracle, a, _outOfBounds(a, price, 0, type(uint128).max));
        }
    }

    function test_the_bounds_are_exclusive() external {
        // One answer above and below each bound, for feeds of 6, 8 and 18 decimals.
        uint8[3] memory decimals = [6, 8, 18];
        for (uint256 i; i < decimals.length; ++i) {
            int192 one = int192(int256(10 ** decimals[i]));
            uint256 step = 10 ** (18 - decimals[i]);
            feed = new Feed(decimals[i], one);
            IPriceOracle oracle = _oracle(plainFeed(a, address(feed), HEARTBEAT, 0.9e18, 1.1e18));

            feed.set(one * 9 / 10);
            _refused(oracle, a, _outOfBounds(a, 0.9e18, 0.9e18, 1.1e18));
            feed.set(one * 11 / 10);
            _refused(oracle, a, _outOfBounds(a, 1.1e18, 0.9e18, 1.1e18));
            feed.set(one * 9 / 10 + 1);
            assertEq(_price(oracle, a), 0.9e18 + step);
            feed.set(one * 11 / 10 - 1);
            assertEq(_price(oracle, a), 1.1e18 - step);
        }
    }

    /* ------------------------------------------------- SEQUENCER ------------------------------------------------- */

    function test_while_the_sequencer_is_down_there_is_no_price() external {
        (IPriceOracle oracle, Feed uptime) = _sequenced();
        uptime.setAt(1, block.timestamp - 2 hours);
        _refused(oracle, a, abi.encodeWithSelector(IPriceOracle.SequencerDown.selector, 1, block.timestamp - 2 hours));
        uptime.setAt(0, block.timestamp - 2 hours);
        assertEq(_price(oracle, a), 2_000e18);
    }

    function test_a_sequencer_that_never_started_is_down() external {
        (IPriceOracle oracle, Feed uptime) = _sequenced();
        uptime.setAt(0, 0);
        _refused(oracle, a, abi.encodeWithSelector(IPriceOracle.SequencerDown.selector, 0, 0));
    }

    function test_after_a_start_of_the_sequencer_prices_wait_for_the_grace() external {
        (IPriceOracle oracle, Feed uptime) = _sequenced();
        uint256 start = block.timestamp;
        uptime.setAt(0, start);
        _refused(oracle, a, _inGrace(start));
        skip(1 hours);
        feed.set(2_000e8);
        _refused(oracle, a, _inGrace(start));
        skip(1);
        assertEq(_price(oracle, a), 2_000e18);

        uptime.setAt(0, block.timestamp + 1);
        _refused(oracle, a, _inGrace(block.timestamp + 1));
    }

    function test_grace_counts_from_the_start_and_not_from_the_last_report() external {
        RawFeed uptime = new RawFeed(0);
        IPriceOracle oracle = new PriceOracle(_configs(_plain(feed)), address(uptime), 1 hours);
        uptime.set(0, block.timestamp - 2 hours, block.timestamp);
        assertEq(_price(oracle, a), 2_000e18);
        uptime.set(0, block.timestamp - 1 hours, block.timestamp - 3 hours);
        _refused(oracle, a, _inGrace(block.timestamp - 1 hours));
    }

    function test_an_uptime_feed_that_says_nothing_is_not_believed() external {
        (IPriceOracle oracle, Feed uptime) = _sequenced();
        uptime.setDead(true);
        _refused(oracle, a, abi.encodeWithSelector(IPriceOracle.NoAnswer.selector, address(0), uptime));
    }

    function test_the_sequencer_reads_back() external {
        (IPriceOracle oracle, Feed uptime) = _sequenced();
        (address source, uint256 grace) = oracle.sequencer();
        assertEq(source, address(uptime));
        assertEq(grace, 1 hours);
    }

    function test_a_sequencer_has_a_grace_of_at_most_a_day() external {
        _unfitSequencer(address(feed), 0);
        _unfitSequencer(address(0), 1);
        _unfitSequencer(address(feed), 1 days + 1);
        new PriceOracle(_configs(_plain(feed)), address(feed), 1);
        new PriceOracle(_configs(_plain(feed)), address(feed), 1 days);
    }

    /* ----------------------------------------------- CONFIGURATION ----------------------------------------------- */

    function test_a_token_has_one_feed() external {
        FeedConfig[] memory configs = new FeedConfig[](3);
        configs[0] = plainFeed(a, address(feed), HEARTBEAT, 1, 1e30);
        configs[1] = plainFeed(b, address(feed), HEARTBEAT, 1, 1e30);
        configs[2] = configs[0];
        _unfit(configs, abi.encodeWithSelector(IPriceOracle.DuplicateFeed.selector, a));
    }

    function test_a_feed_of_more_than_eighteen_decimals_is_refused() external {
        Feed fine = new Feed(19, 1);
        _unfit(
            plainFeed(a, address(fine), HEARTBEAT, 1, 2),
            abi.encodeWithSelector(IPriceOracle.BadDecimals.selector, a, fine, 19)
        );
        _oracle(plainFeed(a, address(new Feed(18, 1)), HEARTBEAT, 1, 2));
    }

    function test_a_heartbeat_is_from_one_second_to_three_days() external {
        uint32[2] memory bad = [uint32(0), 3 days + 1];
        for (uint256 i; i < bad.length; ++i) {
            _unfit(
                plainFeed(a, address(feed), bad[i], 1, 2),
                abi.encodeWithSelector(IPriceOracle.BadHeartbeat.selector, a, bad[i], 3 days)
            );
        }
        _oracle(plainFeed(a, address(feed), 1, 1, 2));
        _oracle(plainFeed(a, address(feed), 3 days, 1, 2));
    }

    function test_bounds_leave_something_between_them() external {
        _unfit(
            plainFeed(a, address(feed), HEARTBEAT, 2, 2),
            abi.encodeWithSelector(IPriceOracle.BadBounds.selector, a, 2, 2)
        );
        _unfit(
            plainFeed(a, address(feed), HEARTBEAT, 3, 2),
            abi.encodeWithSelector(IPriceOracle.BadBounds.selector, a, 3, 2)
        );
        _oracle(plainFeed(a, address(feed), HEARTBEAT, 1, 2));
    }

    function test_a_feed_without_code_is_refused() external {
        _unfit(plainFeed(a, makeAddr("nowhere"), HEARTBEAT, 1, 2), "");
    }

    function test_bounds_lie_strictly_inside_the_aggregators() external {
        // The aggregator answers from 1 to 10,000 USD; at either end it may be stuck.
        address aggregator = address(new Aggregator(1e8, 10_000e8));
        _boundedByAggregator(address(new ProxyFeed(8, 2_000e8, aggregator)));
    }

    function test_a_feed_that_is_its_own_aggregator_bounds_the_bounds() external {
        _boundedByAggregator(address(new BoundedFeed(8, 2_000e8, 1e8, 10_000e8)));
    }

    function test_a_proxy_whose_aggregator_has_no_bounds_is_accepted() external {
        address proxy = address(new ProxyFeed(8, 2_000e8, address(feed)));
        _oracle(plainFeed(a, proxy, HEARTBEAT, 0, type(uint128).max));
    }

    /* ------------------------------------------------- HELPERS ------------------------------------------------- */

    function _gasOf(address target, bytes memory data) internal view returns (uint256 used) {
        used = gasleft();
        (bool ok,) = target.staticcall(data);
        used -= gasleft();
        assertTrue(ok);
    }

    function _boundedByAggregator(address source) internal {
        _outsideAggregator(source, 1e18, 9_999e18);
        _outsideAggregator(source, 2e18, 10_000e18);
        _outsideAggregator(source, 0, type(uint128).max);
        _oracle(plainFeed(a, source, HEARTBEAT, 1e18 + 1, 10_000e18 - 1));
    }

    function _outsideAggregator(address source, uint128 min, uint128 max) internal {
        _unfit(
            plainFeed(a, source, HEARTBEAT, min, max),
            abi.encodeWithSelector(IPriceOracle.BoundsOutsideAggregator.selector, a, min, max, 1e18, 10_000e18)
        );
    }

    function _unfitSequencer(address uptime, uint256 grace) internal {
        vm.expectRevert(abi.encodeWithSelector(IPriceOracle.BadSequencer.selector, uptime, grace));
        new PriceOracle(_configs(_plain(feed)), uptime, grace);
    }

    function _inGrace(uint256 since) internal view returns (bytes memory) {
        return abi.encodeWithSelector(IPriceOracle.SequencerInGrace.selector, since, block.timestamp, 1 hours);
    }

    function _sequenced() internal returns (IPriceOracle oracle, Feed uptime) {
        uptime = new Feed(0, 0);
        oracle = new PriceOracle(_configs(_plain(feed)), address(uptime), 1 hours);
    }

    function _plain(Feed any) internal view returns (FeedConfig memory) {
        return plainFeed(a, address(any), HEARTBEAT, 0, type(uint128).max);
    }

    function _one(Feed any) internal returns (IPriceOracle) {
        return _oracle(_plain(any));
    }

    function _three() internal returns (IPriceOracle) {
        FeedConfig[] memory configs = new FeedConfig[](3);
        configs[0] = plainFeed(a, address(new Feed(8, 1e8)), HEARTBEAT, 0, 1e30);
        configs[1] = plainFeed(b, address(new Feed(6, 2e6)), HEARTBEAT, 0, 1e30);
        configs[2] = plainFeed(c, address(new Feed(18, 3e18)), HEARTBEAT, 0, 1e30);
        return new PriceOracle(configs, address(0), 0);
    }

    function _max(uint256 x, uint256 y) internal pure returns (uint256) {
        return x > y ? x : y;
    }

    function _tokens(address x, address y, address z) internal pure returns (address[] memory list) {
        list = new address[](3);
        (list[0], list[1], list[2]) = (x, y, z);
    }

    function _numbers(uint256 x) internal pure returns (uint256[] memory list) {
        list = new uint256[](1);
        list[0] = x;
    }

    function _numbers(uint256 x, uint256 y, uint256 z) internal pure returns (uint256[] memory list) {
        list = new uint256[](3);
        (list[0], list[1], list[2]) = (x, y, z);
    }
}

/// @notice A feed without a proxy before it.
contract BoundedFeed is Feed, Aggregator {
    constructor(uint8 decimals_, int192 answer_, int192 min, int192 max)
        Feed(decimals_, answer_)
        Aggregator(min, max)
    {}
}
