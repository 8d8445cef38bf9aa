// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

import {TickMath} from "../../node_modules/@uniswap/v4-core/src/libraries/TickMath.sol";

import {AnchorConfig, FeedConfig, IPriceOracle, ShareConfig} from "../../contracts/interfaces/IPriceOracle.sol";
import {IUniswapV3Pool} from "../../contracts/interfaces/IUniswap.sol";
import {Feed, plainFeed} from "./utils/Feeds.sol";
import {OracleTest} from "./utils/OracleTest.sol";
import {DevShare} from "../../contracts/devnet/DevShare.sol";
import {TestToken} from "./utils/Tokens.sol";
import {IPoolLiquidity, IPoolMaker, UniswapTest} from "./utils/UniswapTest.sol";

interface IPoolObservations {
    function increaseObservationCardinalityNext(uint16 next) external;
}

/// @notice Anchors in pools of the published Uniswap V3 bytecode, moved by swaps.
contract PriceOracleAnchorTest is OracleTest, UniswapTest {
    using FixedPointMathLib for uint256;

    uint32 internal constant WINDOW = 30 minutes;
    uint64 internal constant DEVIATION = 0.03e18;

    TestToken internal weth;
    TestToken internal usdc;
    Feed internal wethFeed;
    Feed internal usdcFeed;
    address internal pool;
    IPriceOracle internal oracle;

    function setUp() public override {
        super.setUp();
        _deployUniswap();
        wethFeed = new Feed(18, 2_000e18);
        usdcFeed = new Feed(8, 1e8);
        _list(18, 6, true);
        pool = _pool(address(weth), 1_000e18, address(usdc), 2_000_000e6, 500);
        IPoolObservations(pool).increaseObservationCardinalityNext(50);
        oracle = _oracle(_anchored(), _plainUsdc());
        _wait(WINDOW);
    }

    /* ------------------------------------------------- DEVIATION ------------------------------------------------- */

    function test_a_price_that_the_pool_agrees_with_stands() external view {
        assertEq(_price(oracle, address(weth)), 2_000e18);
        assertEq(_price(oracle, address(usdc)), 1e18);
    }

    function test_a_price_may_stand_as_far_from_the_anchor_as_its_bound() external {
        uint8[3] memory decimals = [6, 8, 18];
        for (uint256 i; i < decimals.length; ++i) {
            for (uint256 j; j < decimals.length; ++j) {
                for (uint256 first; first < 2; ++first) {
                    _list(decimals[i], decimals[j], first == 0);
                    pool = _emptyPool(
                        address(weth), 1_000 * 10 ** decimals[i], address(usdc), 2_000_000 * 10 ** decimals[j], 500
                    );
                    oracle = _oracle(_anchored(), _plainUsdc());
                    _wait(WINDOW);
                    uint256 anchor = _anchor();
                    // The pool's price is rounded to a tick.
                    assertApproxEqRel(anchor, 2_000e18, 0.0001e18);
                    _deviatesBeyond(anchor, anchor.mulWad(DEVIATION));
                }
            }
        }
    }

    function test_swaps_that_are_held_move_the_anchor_out_of_the_feeds_reach() external {
        int24 tick = _tick();
        // 2.5% up and 3.5% down.
        _swapToTick(tick + 250);
        _wait(WINDOW);
        assertEq(_price(oracle, address(weth)), 2_000e18);
        _swapToTick(tick - 350);
        _wait(WINDOW);
        _refused(oracle, address(weth), _deviates(2_000e18, _priceAt(tick - 350)));
        assertEq(_price(oracle, address(usdc)), 1e18);

        _swapToTick(tick + 350);
        _wait(WINDOW);
        _refused(oracle, address(weth), _deviates(2_000e18, _priceAt(tick + 350)));
        _swapToTick(tick);
        _wait(WINDOW);
        assertEq(_price(oracle, address(weth)), 2_000e18);
    }

    function test_a_swap_moves_the_anchor_by_the_share_of_the_window_that_it_is_held() external {
        int24 tick = _tick();
        _swapToTick(tick + 1000);
        _wait(WINDOW / 4);
        // 250 ticks in the mean.
        assertEq(_price(oracle, address(weth)), 2_000e18);
        _wait(WINDOW / 4);
        _refused(oracle, address(weth), _deviates(2_000e18, _priceAt(tick + 500)));
    }

    function test_a_mean_between_two_ticks_is_between_their_prices() external {
        int24 tick = _tick();
        _swapToTick(tick + 1001);
        _wait(WINDOW / 2);
        uint256 mean = (_priceAt(tick + 500) * _priceAt(tick + 501)).sqrt();
        assertApproxEqAbs(_anchor(), mean, mean / 1e15);
    }

    function test_within_a_transaction_a_swap_does_not_move_the_anchor() external {
        MidSwap swapper = new MidSwap(oracle, address(weth), address(usdc));
        swapper.swap(pool, TickMath.getSqrtPriceAtTick(_tick() + 5_000));
        assertEq(swapper.priceMidSwap(), 2_000e18);
        assertEq(_price(oracle, address(weth)), 2_000e18);

        // It was a real one: after two minutes it counts.
        _wait(2 minutes);
        vm.expectPartialRevert(IPriceOracle.AnchorDeviates.selector);
        oracle.latest(address(weth));
    }

    function test_the_pool_quotes_in_a_token_that_has_a_price_of_its_own() external {
        usdcFeed.set(0.5e8);
        _refused(oracle, address(weth), _deviates(2_000e18, _priceAt(_tick()) / 2));
        wethFeed.set(1_000e18);
        assertEq(_price(oracle, address(weth)), 1_000e18);
        usdcFeed.setAt(0.5e8, block.timestamp - HEARTBEAT - 1);
        _refused(oracle, address(weth), _stale(address(usdc), block.timestamp - HEARTBEAT - 1, HEARTBEAT));
    }

    function test_two_tokens_may_be_each_others_anchor() external {
        FeedConfig memory c = _plainUsdc();
        c.anchor = AnchorConfig(pool, WINDOW, DEVIATION);
        oracle = _oracle(c, _anchored());
        assertEq(_price(oracle, address(weth)), 2_000e18);
        assertEq(_price(oracle, address(usdc)), 1e18);

        usdcFeed.set(1.04e8);
        uint256 anchor = _priceAt(_tick());
        _refused(oracle, address(weth), _deviates(2_000e18, anchor.fullMulDiv(1.04e18, 1e18)));
        vm.expectPartialRevert(IPriceOracle.AnchorDeviates.selector);
        oracle.latest(address(usdc));
        wethFeed.set(2_080e18);
        _price(oracle, address(weth));
        _price(oracle, address(usdc));
    }

    /* -------------------------------------------------- TICKS -------------------------------------------------- */

    function test_the_anchor_is_the_pools_price(int256 tick, uint256 decimals, bool first) external {
        // The pool is started at a tick of the library that the pool's own code agrees with.
        _list(uint8(decimals % 19), uint8((decimals >> 128) % 19), first);
        int24 at = int24(bound(tick, -480_000, 480_000));
        uint256 expected = _wholePrice(at);
        vm.assume(expected > 1e6 && expected < 1e38);

        _deviationFeeds(1);
        _poolAt(at);
        assertEq(_tick(), at);
        uint256 anchor = _anchor();
        assertApproxEqAbs(anchor, expected, expected / 1e15 + 2);
    }

    function test_the_price_of_a_pool_lies_between_the_anchors_of_its_tick_and_the_next(uint256 sqrtPrice) external {
        uint160 start = uint160(bound(sqrtPrice, 1 << 75, 1 << 117));
        _list(18, 18, true);
        _deviationFeeds(1);
        pool = IPoolMaker(v3Factory).createPool(address(weth), address(usdc), 500);
        IPoolLiquidity(pool).initialize(start);
        oracle = _oracle(_anchored(), _plainUsdc());
        _wait(WINDOW);

        uint256 exact = uint256(start).fullMulDiv(start, 1 << 64).fullMulDiv(WAD, 1 << 128);
        uint256 anchor = _anchor();
        assertLe(anchor, exact + exact / 1e15 + 2);
        assertGe(anchor + anchor / 10_000, exact - exact / 1e12 - 2);
    }

    function test_a_pool_at_the_end_of_its_range_deviates() external {
        _list(18, 0, true);
        _poolAt(TickMath.MAX_TICK - 1);
        wethFeed.set(int192(int256(uint256(type(uint128).max) / 2)));
        uint256 price = uint256(type(uint128).max) / 2;
        _refused(oracle, address(weth), _deviates(price, type(uint128).max));
        _list(0, 18, true);
        _poolAt(TickMath.MIN_TICK);
        _refused(oracle, address(weth), _deviates(price, 0));
    }

    /* -------------------------------------------------- HISTORY -------------------------------------------------- */

    function test_a_pool_that_is_younger_than_the_window_is_no_anchor() external {
        pool = _emptyPool(address(weth), 1_000e18, address(usdc), 2_000_000e6, 3000);
        oracle = _oracle(_anchored(), _plainUsdc());
        _refused(oracle, address(weth), _noHistory());
        _wait(WINDOW - 1);
        _refused(oracle, address(weth), _noHistory());
        _wait(1);
        assertEq(_price(oracle, address(weth)), 2_000e18);
    }

    function test_a_pool_that_forgot_the_window_is_no_anchor() external {
        // It remembers one observation, and the swap overwrites it.
        pool = _pool(address(weth), 1_000e18, address(usdc), 2_000_000e6, 3000);
        oracle = _oracle(_anchored(), _plainUsdc());
        _wait(WINDOW);
        assertEq(_price(oracle, address(weth)), 2_000e18);
        _swapToTick(_tick() + 1);
        _refused(oracle, address(weth), _noHistory());
        _wait(WINDOW);
        assertEq(_price(oracle, address(weth)), 2_000e18);
    }

    /* -------------------------------------------------- SHARES -------------------------------------------------- */

    function test_a_pool_of_what_a_token_is_a_share_of_anchors_the_price_of_that() external {
        uint256 anchor = _anchor();
        oracle = _oracle(_anchoredShare(), _plainUsdc());
        address share = oracle.feeds()[0].token;
        assertEq(_price(oracle, share), 2_500e18);

        wethFeed.set(2_100e18);
        _refused(
            oracle,
            share,
            abi.encodeWithSelector(IPriceOracle.AnchorDeviates.selector, share, 2_100e18, anchor, DEVIATION)
        );
    }

    function test_a_pool_of_a_share_anchors_the_price_of_the_share() external {
        FeedConfig memory c = _anchoredShare();
        c.anchor.pool = _emptyPool(c.token, 1_000e18, address(usdc), 2_500_000e6, 500);
        oracle = _oracle(c, _plainUsdc());
        _wait(WINDOW);
        assertEq(_price(oracle, c.token), 2_500e18);
        wethFeed.set(2_100e18);
        vm.expectPartialRevert(IPriceOracle.AnchorDeviates.selector);
        oracle.latest(c.token);
    }

    function test_a_share_that_is_the_pools_other_token_counts_with_its_rate() external {
        FeedConfig memory share = _anchoredShare();
        share.anchor.pool = address(0);
        FeedConfig memory c = _plainUsdc();
        c.anchor = AnchorConfig(_emptyPool(share.token, 1_000e18, address(usdc), 2_500_000e6, 500), WINDOW, DEVIATION);
        oracle = _oracle(share, c);
        _wait(WINDOW);
        assertEq(_price(oracle, address(usdc)), 1e18);
    }

    /* ----------------------------------------------- CONFIGURATION ----------------------------------------------- */

    function test_a_window_is_from_five_minutes_to_a_day() external {
        _unfitAnchor(pool, 5 minutes - 1, DEVIATION);
        _fitAnchor(5 minutes, DEVIATION);
        _fitAnchor(1 days, DEVIATION);
        _unfitAnchor(pool, 1 days + 1, DEVIATION);
    }

    function test_a_deviation_is_above_zero_and_at_most_a_fifth() external {
        _unfitAnchor(pool, WINDOW, 0);
        _fitAnchor(WINDOW, 1);
        _fitAnchor(WINDOW, 0.2e18);
        _unfitAnchor(pool, WINDOW, 0.2e18 + 1);
    }

    function test_an_anchor_holds_the_token() external {
        TestToken dai = new TestToken("DAI", 18);
        TestToken link = new TestToken("LINK", 18);
        _unfitAnchor(_emptyPool(address(dai), 1e18, address(usdc), 1e6, 500), WINDOW, DEVIATION);
        _unfitAnchor(_emptyPool(address(dai), 1e18, address(link), 1e18, 500), WINDOW, DEVIATION);
    }

    function test_the_pools_other_token_has_a_price() external {
        _unfit(_anchored(), abi.encodeWithSelector(IPriceOracle.NoFeed.selector, usdc));
    }

    function test_tokens_of_more_than_eighteen_decimals_have_no_anchor() external {
        for (uint8 i; i < 2; ++i) {
            _list(18 + i, 19 - i, true);
            pool = _emptyPool(address(weth), 1e18, address(usdc), 1e18, 500);
            TestToken many = i == 0 ? usdc : weth;
            _unfit(
                _configs(_anchored(), _plainUsdc()),
                abi.encodeWithSelector(IPriceOracle.BadDecimals.selector, weth, many, 19)
            );
        }
    }

    function test_the_configuration_reads_back() external view {
        assertEq(abi.encode(oracle.feeds()), abi.encode(_configs(_anchored(), _plainUsdc())));
    }

    /* -------------------------------------------------- HELPERS -------------------------------------------------- */

    function _anchored() internal view returns (FeedConfig memory c) {
        c = plainFeed(address(weth), address(wethFeed), HEARTBEAT, 0, type(uint128).max);
        c.anchor = AnchorConfig(pool, WINDOW, DEVIATION);
    }

    function _plainUsdc() internal view returns (FeedConfig memory) {
        return plainFeed(address(usdc), address(usdcFeed), HEARTBEAT, 0, type(uint128).max);
    }

    /// @dev A share of WETH, of which one is worth 1.25, anchored in the pool of WETH.
    function _anchoredShare() internal returns (FeedConfig memory c) {
        DevShare share = new DevShare(address(weth), 0);
        weth.mint(address(this), 1e24 - 1);
        weth.approve(address(share), 1e24 - 1);
        share.deposit(1e24 - 1, address(this));
        weth.mint(address(share), 0.25e24);
        c = _anchored();
        c.token = address(share);
        c.share = ShareConfig(0.01e18, 0.01e18, 0.001e18);
    }

    /// @dev A new WETH and USDC, of which WETH is the pool's first token or not.
    function _list(uint8 wethDecimals, uint8 usdcDecimals, bool wethFirst) internal {
        weth = new TestToken("WETH", wethDecimals);
        do {
            usdc = new TestToken("USDC", usdcDecimals);
        } while ((weth < usdc) != wethFirst);
    }

    function _poolAt(int24 tick) internal {
        pool = IPoolMaker(v3Factory).createPool(address(weth), address(usdc), 500);
        IPoolLiquidity(pool).initialize(TickMath.getSqrtPriceAtTick(tick));
        oracle = _oracle(_anchored(), _plainUsdc());
        _wait(WINDOW);
    }

    function _wait(uint256 time) internal {
        skip(time);
        wethFeed.set(wethFeed.answer());
        usdcFeed.set(usdcFeed.answer());
    }

    function _tick() internal view returns (int24 tick) {
        (, tick,,,,,) = IUniswapV3Pool(pool).slot0();
    }

    function _swapToTick(int24 tick) internal {
        if (tick == _tick()) return;
        bool zeroForOne = tick < _tick();
        IUniswapV3Pool(pool)
            .swap(
                address(this),
                zeroForOne,
                type(int128).max,
                TickMath.getSqrtPriceAtTick(tick),
                abi.encode(address(weth), address(usdc))
            );
        assertEq(_tick(), tick);
    }

    /// @dev What a whole WETH costs in whole USDC at a tick, WAD, by the square of the library's root.
    function _wholePrice(int24 tick) internal view returns (uint256) {
        uint256 root = TickMath.getSqrtPriceAtTick(weth < usdc ? tick : -tick);
        return root.fullMulDiv(root, 1 << 64).fullMulDiv(10 ** weth.decimals() * 1e18, 1 << 128) / 10 ** usdc.decimals();
    }

    /// @dev The anchor of the oracle itself at a tick, which other tests hold against the pool's price.
    function _priceAt(int24 tick) internal returns (uint256 anchor) {
        uint256 before = vm.snapshotState();
        _swapToTick(tick);
        _wait(WINDOW);
        int192 usd = usdcFeed.answer();
        usdcFeed.set(1e8);
        anchor = _anchor();
        usdcFeed.set(usd);
        vm.revertToState(before);
    }

    /// @dev What the oracle holds against the price of WETH: it says so when it refuses a price of almost nothing.
    function _anchor() internal returns (uint256 anchor) {
        int192 answer = wethFeed.answer();
        wethFeed.set(1);
        try oracle.latest(address(weth)) {
            revert("not refused");
        } catch (bytes memory reason) {
            assertEq(bytes4(reason), IPriceOracle.AnchorDeviates.selector);
            assembly ("memory-safe") {
                anchor := mload(add(reason, 0x64))
            }
        }
        wethFeed.set(answer);
    }

    function _deviationFeeds(int192 wethAnswer) internal {
        wethFeed.set(wethAnswer);
        usdcFeed.set(1e8);
    }

    function _deviatesBeyond(uint256 anchor, uint256 most) internal {
        wethFeed.set(int192(int256(anchor + most)));
        assertEq(_price(oracle, address(weth)), anchor + most);
        wethFeed.set(int192(int256(anchor + most + 1)));
        _refused(oracle, address(weth), _deviates(anchor + most + 1, anchor));
        wethFeed.set(int192(int256(anchor - most)));
        assertEq(_price(oracle, address(weth)), anchor - most);
        wethFeed.set(int192(int256(anchor - most - 1)));
        _refused(oracle, address(weth), _deviates(anchor - most - 1, anchor));
        wethFeed.set(2_000e18);
    }

    function _deviates(uint256 price, uint256 anchor) internal view returns (bytes memory) {
        return abi.encodeWithSelector(IPriceOracle.AnchorDeviates.selector, weth, price, anchor, DEVIATION);
    }

    function _noHistory() internal view returns (bytes memory) {
        return abi.encodeWithSelector(IPriceOracle.AnchorWithoutHistory.selector, weth, pool, WINDOW);
    }

    function _unfitAnchor(address pool_, uint32 window, uint64 deviation) internal {
        FeedConfig memory c = _anchored();
        c.anchor = AnchorConfig(pool_, window, deviation);
        _unfit(
            _configs(c, _plainUsdc()),
            abi.encodeWithSelector(IPriceOracle.BadAnchor.selector, weth, pool_, window, deviation)
        );
    }

    function _fitAnchor(uint32 window, uint64 deviation) internal {
        FeedConfig memory c = _anchored();
        c.anchor = AnchorConfig(pool, window, deviation);
        _oracle(c, _plainUsdc());
    }
}

/// @notice Reads a price while a pool waits to be paid.
contract MidSwap {
    IPriceOracle internal immutable _oracle;
    address internal immutable _weth;
    address internal immutable _usdc;
    uint256 public priceMidSwap;

    constructor(IPriceOracle oracle, address weth, address usdc) {
        (_oracle, _weth, _usdc) = (oracle, weth, usdc);
    }

    /// @notice Buys the pool's first token up to a price.
    function swap(address pool, uint160 sqrtPrice) external {
        IUniswapV3Pool(pool).swap(address(this), false, type(int128).max, sqrtPrice, "");
    }

    function uniswapV3SwapCallback(int256 amount0, int256 amount1, bytes calldata) external {
        (priceMidSwap,) = _oracle.latest(_weth);
        (address token, int256 amount) = amount0 > 0 ? (_weth, amount0) : (_usdc, amount1);
        TestToken(token).mint(msg.sender, uint256(amount));
    }
}
