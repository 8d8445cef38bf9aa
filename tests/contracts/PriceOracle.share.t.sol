// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {PriceOracle} from "../../contracts/PriceOracle.sol";
import {FeedConfig, IPriceOracle, QuoteConfig, ShareConfig} from "../../contracts/interfaces/IPriceOracle.sol";
import {Feed, plainFeed} from "./utils/Feeds.sol";
import {OracleTest} from "./utils/OracleTest.sol";
import {DevShare} from "../../contracts/devnet/DevShare.sol";
import {TestToken} from "./utils/Tokens.sol";

/// @notice ERC-4626 shares: the rate is believed in a corridor around a checkpoint that moves no faster than time.
contract PriceOracleShareTest is OracleTest {
    /// Assets that back the shares at a rate of one, with the virtual one that makes the rate exact.
    uint256 internal constant DEPOSIT = 1e24 - 1;
    uint256 internal constant ABOVE = 0.01e18;
    uint256 internal constant BELOW = 0.005e18;
    uint256 internal constant DRIFT = 0.001e18;

    Feed internal feed;
    TestToken internal dai;
    DevShare internal share;
    IPriceOracle internal oracle;

    function setUp() public override {
        super.setUp();
        feed = new Feed(8, 2e8);
        dai = new TestToken("DAI", 18);
        share = new DevShare(address(dai), 0);
        _deposit(address(this), DEPOSIT);
        oracle = _oracle(_config());
    }

    /* -------------------------------------------------- PRICE -------------------------------------------------- */

    function test_the_price_is_that_of_the_assets_of_one_share() external {
        assertEq(_price(oracle, address(share)), 2e18);
        _setRate(1.003e18);
        assertEq(_price(oracle, address(share)), 2.006e18);
        feed.set(1e8);
        assertEq(_price(oracle, address(share)), 1.003e18);
        (, uint256 updatedAt) = oracle.latest(address(share));
        assertEq(updatedAt, block.timestamp);
    }

    function test_shares_and_assets_of_any_decimals() external {
        uint8[3] memory decimals = [6, 8, 18];
        for (uint256 i; i < decimals.length; ++i) {
            for (uint8 offset; offset <= 18 - decimals[i]; offset += 4) {
                dai = new TestToken("DAI", decimals[i]);
                share = new DevShare(address(dai), offset);
                _deposit(address(this), 10 ** (decimals[i] + 6));
                dai.mint(address(share), 10 ** (decimals[i] + 6) / 4);
                oracle = _oracle(_config());
                assertApproxEqRel(_price(oracle, address(share)), 2.5e18, 1e12);
            }
        }
    }

    function test_the_asset_may_be_quoted_by_two_feeds() external {
        FeedConfig memory c = _config();
        c.quote = QuoteConfig(address(new Feed(6, 3_000e6)), HEARTBEAT, 0, type(uint128).max);
        oracle = _oracle(c);
        _setRate(1.005e18);
        assertEq(_price(oracle, address(share)), 6_030e18);
    }

    function test_the_rate_of_each_share_stands_in_its_own_corridor() external {
        DevShare first = share;
        FeedConfig memory c = _config();
        share = new DevShare(address(dai), 0);
        _deposit(address(this), DEPOSIT);
        oracle = _oracle(c, _config());
        _setRate(1.02e18);
        assertEq(_price(oracle, address(first)), 2e18);
        _refused(oracle, address(share), _outOfCorridor(1.02e18, WAD));
    }

    function test_the_corridor_ends_at_its_bounds() external {
        _setRate(1.01e18);
        assertEq(_price(oracle, address(share)), 2.02e18);
        _setRate(1.01e18 + 1);
        _refused(oracle, address(share), _outOfCorridor(1.01e18 + 1, WAD));
        _setRate(0.995e18);
        assertEq(_price(oracle, address(share)), 1.99e18);
        _setRate(0.995e18 - 1);
        _refused(oracle, address(share), _outOfCorridor(0.995e18 - 1, WAD));
    }

    function test_the_bounds_of_the_corridor_round_inwards() external {
        // 1% and 0.5% of the odd 99 are fractions: from 1e18 + 98.505 to 1e18 + 99.99, in what is below the corridor.
        _setRate(1e18 + 99);
        oracle = _oracle(_config());
        (uint256 min, uint256 max) = (0.995e18 + 99, 1.01e18 + 99);
        _setRate(min);
        _price(oracle, address(share));
        _setRate(max);
        _price(oracle, address(share));
        _setRate(min - 1);
        _refused(oracle, address(share), _outOfCorridor(min - 1, min, max));
        _setRate(max + 1);
        _refused(oracle, address(share), _outOfCorridor(max + 1, min, max));
    }

    function test_the_feed_of_the_asset_is_guarded_as_any_other() external {
        feed.setAt(2e8, block.timestamp - HEARTBEAT - 1);
        _refused(oracle, address(share), _stale(address(share), block.timestamp - HEARTBEAT - 1, HEARTBEAT));
        feed.set(10e8);
        _refused(oracle, address(share), _outOfBounds(address(share), 10e18, 0.1e18, 10e18));
    }

    function test_a_share_that_does_not_answer_is_refused() external {
        share.setDead(true);
        bytes memory reason = abi.encodeWithSelector(IPriceOracle.NoAnswer.selector, share, share);
        _refused(oracle, address(share), reason);
        vm.expectRevert(reason);
        oracle.checkpoint(address(share));
    }

    function test_a_rate_beyond_all_measure_is_out_of_the_corridor() external {
        // Raw assets that would wrap around to the checkpoint when they are taken to WAD.
        dai = new TestToken("USDC", 6);
        share = new DevShare(address(dai), 0);
        oracle = _oracle(_config());
        uint256 assets = type(uint256).max / 1e12 + 1;
        vm.mockCall(address(share), abi.encodeCall(share.convertToAssets, (1e6)), abi.encode(assets));
        _refused(oracle, address(share), _outOfCorridor(type(uint256).max, WAD));
    }

    /* ------------------------------------------------ CHECKPOINT ------------------------------------------------ */

    function test_a_checkpoint_moves_towards_the_rate_as_fast_as_time() external {
        _setRate(1.01e18);
        skip(12 hours);
        vm.expectEmit(address(oracle));
        emit IPriceOracle.CheckpointMoved(address(share), 1e18, 1.0005e18, 1.01e18);
        vm.prank(makeAddr("anyone"));
        oracle.checkpoint(address(share));
        _checkpointIs(1.0005e18);

        _setRate(0.99e18);
        skip(6 hours);
        vm.expectEmit(address(oracle));
        emit IPriceOracle.CheckpointMoved(address(share), 1.0005e18, 1.000249875e18, 0.99e18);
        oracle.checkpoint(address(share));
        _checkpointIs(1.000249875e18);
    }

    function test_a_checkpoint_goes_no_further_than_the_rate() external {
        _setRate(1.001e18);
        skip(1 days);
        oracle.checkpoint(address(share));
        _checkpointIs(1.001e18);
        _setRate(1.0000001e18);
        skip(1 days);
        oracle.checkpoint(address(share));
        _checkpointIs(1.0000001e18);
    }

    function test_one_second_short_of_the_time_the_checkpoint_is_short_of_the_rate() external {
        _setRate(1.001e18);
        skip(1 days - 1);
        oracle.checkpoint(address(share));
        _checkpointIs(1e18 + DRIFT * (1 days - 1) / 1 days);
    }

    function test_time_that_was_used_is_used() external {
        _setRate(1.01e18);
        skip(1 days);
        oracle.checkpoint(address(share));
        oracle.checkpoint(address(share));
        _checkpointIs(1.001e18);
        _setRate(0.99e18);
        oracle.checkpoint(address(share));
        _checkpointIs(1.001e18);
    }

    function test_however_long_it_waited_a_checkpoint_stays_in_its_corridor() external {
        skip(1000 days);
        _setRate(1.5e18);
        oracle.checkpoint(address(share));
        _checkpointIs(1e18 + ABOVE);
        skip(1000 days);
        _setRate(0.5e18);
        oracle.checkpoint(address(share));
        _checkpointIs((1e18 + ABOVE) * (1e18 - BELOW) / 1e18);
    }

    function test_a_rate_that_grew_out_of_its_corridor_is_followed() external {
        skip(20 days);
        feed.set(2e8);
        _setRate(1.011e18);
        _refused(oracle, address(share), _outOfCorridor(1.011e18, WAD));
        oracle.checkpoint(address(share));
        assertEq(_price(oracle, address(share)), 2.022e18);
    }

    function test_the_corridor_goes_with_the_checkpoint() external {
        skip(1 days);
        feed.set(2e8);
        _setRate(1.001e18);
        oracle.checkpoint(address(share));
        _setRate(1.01101e18);
        assertEq(_price(oracle, address(share)), 2.02202e18);
        _setRate(1.01101e18 + 1);
        _refused(oracle, address(share), _outOfCorridor(1.01101e18 + 1, 1.001e18));
        _setRate(0.995995e18);
        assertEq(_price(oracle, address(share)), 1.99199e18);
        _setRate(0.995995e18 - 1);
        _refused(oracle, address(share), _outOfCorridor(0.995995e18 - 1, 1.001e18));
    }

    function test_only_a_share_has_a_checkpoint() external {
        (address plain, address composed) = (makeAddr("plain"), makeAddr("composed"));
        FeedConfig memory c = plainFeed(composed, address(feed), HEARTBEAT, 0.1e18, 10e18);
        c.quote = QuoteConfig(address(feed), HEARTBEAT, 0.1e18, 10e18);
        oracle = _oracle(plainFeed(plain, address(feed), HEARTBEAT, 0.1e18, 10e18), c);
        vm.expectRevert(abi.encodeWithSelector(IPriceOracle.NotAShare.selector, plain));
        oracle.checkpoint(plain);
        vm.expectRevert(abi.encodeWithSelector(IPriceOracle.NotAShare.selector, composed));
        oracle.checkpoint(composed);
        vm.expectRevert(abi.encodeWithSelector(IPriceOracle.NoFeed.selector, share));
        oracle.checkpoint(address(share));
    }

    /* ------------------------------------------------- DONATIONS ------------------------------------------------- */

    function test_a_flash_donation_is_refused_beyond_the_corridor() external {
        // The attacker owns nearly every share, so that what it donates comes back to it when it redeems.
        address attacker = makeAddr("attacker");
        uint256 shares = _deposit(attacker, 100e24);
        assertEq(_price(oracle, address(share)), 2e18);

        dai.mint(address(share), 1.01e24);
        assertEq(_price(oracle, address(share)), 2.02e18);
        dai.mint(address(share), 50e24);
        uint256 rate = share.convertToAssets(1e18);
        assertGt(rate, 1.5e18);
        _refused(oracle, address(share), _outOfCorridor(rate, WAD));

        // The rate comes back down within the same block, and nothing of it stays.
        oracle.checkpoint(address(share));
        vm.prank(attacker);
        share.redeem(shares, attacker, attacker);
        _checkpointIs(1e18);
    }

    function test_a_flash_donation_moves_the_checkpoint_no_faster_than_time() external {
        skip(12 seconds);
        feed.set(2e8);
        dai.mint(address(share), 1e24);
        oracle.checkpoint(address(share));
        _setRate(1e18);

        uint256 reach = DRIFT * 12 / 1 days;
        _checkpointIs(1e18 + reach);
        // The next block takes it back.
        skip(12 seconds);
        oracle.checkpoint(address(share));
        _checkpointIs(1e18);
    }

    function test_no_call_of_anyone_carries_the_price_beyond_time_and_corridor(uint256 seed) external {
        uint256 start = block.timestamp;
        for (uint256 i; i < 20; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            skip(seed % 2 days);
            _setRate(0.5e18 + seed % 1e18);
            oracle.checkpoint(address(share));
        }
        (uint256 rate,) = oracle.checkpoints(address(share));
        uint256 elapsed = block.timestamp - start;
        // Compounded over 20 steps of at most two days, 0.2%, the reach grows by less than a twentieth.
        assertApproxEqAbs(rate, 1e18, DRIFT * elapsed / 1 days * 21 / 20);

        feed.set(2e8);
        try oracle.latest(address(share)) returns (uint256 price, uint256) {
            assertLe(price, rate * 2 * (WAD + ABOVE) / WAD);
            assertGe(price, rate * 2 * (WAD - BELOW) / WAD);
        } catch {}
    }

    /* ----------------------------------------------- CONFIGURATION ----------------------------------------------- */

    function test_the_corridor_is_limited_on_both_sides_and_in_time() external {
        for (uint256 i; i < 3; ++i) {
            uint64[3] memory s = [uint64(0.1e18), 0.1e18, 0.1e18];
            _oracle(_withShare(s));
            s[i] += 1;
            _unfitShare(s);
            s[i] = 0;
            _unfitShare(s);
            s[i] = 1;
            _oracle(_withShare(s));
        }
    }

    function test_a_share_without_a_rate_is_refused() external {
        dai.burn(address(share), DEPOSIT);
        _unfit(_config(), abi.encodeWithSelector(IPriceOracle.BadRate.selector, share, 0));
        vm.mockCall(address(share), abi.encodeCall(share.convertToAssets, (1e18)), abi.encode(1 << 128));
        _unfit(_config(), abi.encodeWithSelector(IPriceOracle.BadRate.selector, share, 1 << 128));
        vm.mockCall(address(share), abi.encodeCall(share.convertToAssets, (1e18)), abi.encode(type(uint128).max));
        _oracle(_config());
    }

    function test_shares_and_assets_of_more_than_eighteen_decimals_are_refused() external {
        share = new DevShare(address(dai), 1);
        _unfit(_config(), abi.encodeWithSelector(IPriceOracle.BadDecimals.selector, share, share, 19));
        // A share of 18 decimals whose asset says that it has more.
        share = new DevShare(address(dai), 0);
        vm.mockCall(address(dai), abi.encodeCall(dai.decimals, ()), abi.encode(19));
        _unfit(_config(), abi.encodeWithSelector(IPriceOracle.BadDecimals.selector, share, dai, 19));
    }

    function test_the_first_checkpoint_is_the_rate_of_the_deployment() external {
        _setRate(1.2e18);
        vm.expectEmit();
        emit IPriceOracle.CheckpointMoved(address(share), 0, 1.2e18, 1.2e18);
        oracle = _oracle(_config());
        _checkpointIs(1.2e18);
        assertEq(_price(oracle, address(share)), 2.4e18);
    }

    function test_the_configuration_reads_back() external view {
        assertEq(abi.encode(oracle.feeds()), abi.encode(_configs(_config())));
    }

    /* -------------------------------------------------- HELPERS -------------------------------------------------- */

    function _config() internal view returns (FeedConfig memory) {
        return _withShare([uint64(ABOVE), uint64(BELOW), uint64(DRIFT)]);
    }

    function _withShare(uint64[3] memory s) internal view returns (FeedConfig memory c) {
        c = plainFeed(address(share), address(feed), HEARTBEAT, 0.1e18, 10e18);
        c.share = ShareConfig(s[0], s[1], s[2]);
    }

    function _unfitShare(uint64[3] memory s) internal {
        _unfit(_withShare(s), abi.encodeWithSelector(IPriceOracle.BadShare.selector, share, s[0], s[1], s[2]));
    }

    function _deposit(address who, uint256 amount) internal returns (uint256 shares) {
        dai.mint(who, amount);
        vm.startPrank(who);
        dai.approve(address(share), amount);
        shares = share.deposit(amount, who);
        vm.stopPrank();
    }

    /// @dev By a donation or a loss. Exact, because the shares and the virtual one are a power of ten.
    function _setRate(uint256 rate) internal {
        uint256 assets = rate * 1e6 - 1;
        uint256 held = dai.balanceOf(address(share));
        if (assets > held) dai.mint(address(share), assets - held);
        else dai.burn(address(share), held - assets);
        assertEq(share.convertToAssets(1e18), rate);
    }

    function _checkpointIs(uint256 expected) internal view {
        (uint256 rate, uint256 movedAt) = oracle.checkpoints(address(share));
        assertEq(rate, expected);
        assertEq(movedAt, block.timestamp);
    }

    function _outOfCorridor(uint256 rate, uint256 middle) internal view returns (bytes memory) {
        return _outOfCorridor(rate, middle * (WAD - BELOW) / WAD, middle * (WAD + ABOVE) / WAD);
    }

    function _outOfCorridor(uint256 rate, uint256 min, uint256 max) internal view returns (bytes memory) {
        return abi.encodeWithSelector(IPriceOracle.RateOutOfCorridor.selector, share, rate, min, max);
    }
}
