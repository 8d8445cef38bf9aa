// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {PoolKey} from "../../contracts/interfaces/IUniswapV4.sol";
import {IBalancerPool} from "../../contracts/interfaces/IBalancer.sol";
import {BalancerFragment, BalancerState, Maker} from "../../contracts/periphery/lens/BalancerFragment.sol";
import {CurveFragment, CurvePool, CurveState} from "../../contracts/periphery/lens/CurveFragment.sol";
import {Fragment} from "../../contracts/periphery/lens/Fragment.sol";
import {ConcentratedState} from "../../contracts/periphery/lens/TickFragment.sol";
import {PairState, UniswapV2Fragment} from "../../contracts/periphery/lens/UniswapV2Fragment.sol";
import {UniswapV3Fragment} from "../../contracts/periphery/lens/UniswapV3Fragment.sol";
import {Tier, UniswapV4Fragment} from "../../contracts/periphery/lens/UniswapV4Fragment.sol";
import {BalancerTest, IAuthorizer, IBalancerPausable, IWeightedFactory} from "./utils/BalancerTest.sol";
import {PlainCurve} from "./utils/PlainCurve.sol";
import {TestToken} from "./utils/Tokens.sol";
import {IPairMaker, IPoolLiquidity, IPoolMaker, UniswapTest} from "./utils/UniswapTest.sol";
import {IPoolManagerAdmin, V4Test} from "./utils/V4Test.sol";

/// @notice The fragments, callable.
contract Fragments is UniswapV2Fragment, UniswapV3Fragment, UniswapV4Fragment, BalancerFragment, CurveFragment {
    function v2(address factory, address[] memory tokens) external view returns (bytes[] memory) {
        return _readUniswapV2(abi.encode(factory), tokens);
    }

    function v3(address factory, uint24 fee, address[] memory tokens, uint256 words)
        external
        view
        returns (bytes[] memory)
    {
        uint24[] memory fees = new uint24[](1);
        fees[0] = fee;
        return _readUniswapV3(abi.encode(factory, fees), tokens, words);
    }

    function v4(address manager, Tier[] memory tiers, address[] memory tokens, address weth, uint256 words)
        external
        view
        returns (bytes[] memory)
    {
        return _readUniswapV4(abi.encode(manager, tiers), tokens, weth, words);
    }

    function balancer(address vault, Maker[] memory makers, bytes32[] memory ids, address[] memory tokens)
        external
        returns (bytes[] memory)
    {
        return _readBalancer(abi.encode(vault, makers, ids), tokens);
    }

    function curve(CurvePool[] memory pools, address[] memory tokens) external view returns (bytes[] memory) {
        return _readCurve(abi.encode(pools), tokens);
    }
}

/// @notice Tells a rate, which may change.
contract RateProvider {
    uint256 public getRate = 1e18;

    function set(uint256 rate) external {
        getRate = rate;
    }
}

/// @notice A Curve pool of the first generation: `A` without more digits, and places that are signed.
contract OldCurve {
    uint256 public constant A = 85;
    uint256 public constant fee = 4e6;
    uint256 public constant admin_fee = 5e9;
    address[] internal _coins;

    constructor(address[] memory coins_) {
        _coins = coins_;
    }

    function coins(int128 i) external view returns (address) {
        return _coins[uint128(i)];
    }

    function balances(int128 i) external view returns (uint256) {
        return 1e18 + uint128(i) + _coins.length;
    }
}

/// @notice A later one: `A` with two more digits, and rates of its own.
contract RatedCurve {
    uint256 public constant A_precise = 20_050;
    uint256 public constant fee = 1e6;
    uint256 public constant admin_fee = 5e9;
    uint256 public offpeg_fee_multiplier;
    address[] public coins;
    uint256[] internal _rates;
    bool internal _fixedSize;

    constructor(address[] memory coins_, bool fixedSize, uint256 multiplier) {
        (coins, _fixedSize, offpeg_fee_multiplier) = (coins_, fixedSize, multiplier);
        _rates = [1.05e18, 1e30];
    }

    function balances(uint256 i) external pure returns (uint256) {
        return 7e18 + i;
    }

    function stored_rates() external view returns (uint256[] memory) {
        uint256[] memory rates = _rates;
        if (_fixedSize) {
            (uint256 a, uint256 b) = (rates[0], rates[1]);
            assembly ("memory-safe") {
                mstore(0x00, a)
                mstore(0x20, b)
                return(0x00, 0x40)
            }
        }
        return rates;
    }
}

contract LensFragmentsTest is UniswapTest, V4Test, BalancerTest {
    Fragments internal lens = new Fragments();
    /// In ascending order of address.
    address[] internal tokens;
    Tier[] internal tiers;

    function setUp() external {
        _deployWeth9();
        _deployUniswap();
        _deployV4();
        _deployBalancer();
        tokens = [address(new TestToken("A", 18)), address(new TestToken("B", 6)), weth9];
        for (uint256 i; i < 3; ++i) {
            for (uint256 j = i; j > 0 && tokens[j] < tokens[j - 1]; --j) {
                (tokens[j], tokens[j - 1]) = (tokens[j - 1], tokens[j]);
            }
        }
        tiers.push(Tier(500, 10));
        tiers.push(Tier(3000, 60));
    }

    /* ------------------------------------------------- THE WINDOW ------------------------------------------------- */

    function test_the_window_reaches_to_the_first_tick_of_the_word_above() external {
        (address a, address b) = _others();
        // At 255.5 spacings of 60: inside the last spacing of word 0, where the window once ended below the price.
        address pool = IPoolMaker(v3Factory).createPool(a, b, 3000);
        IPoolLiquidity(pool).initialize(170509924127626405030917731361); // the price of tick 15,330 and a bit
        IPoolLiquidity(pool).mint(address(this), -60, 15_360, 1e18, abi.encode(a, b));
        IPoolLiquidity(pool).mint(address(this), -60, 15_420, 1e18, abi.encode(a, b));

        ConcentratedState memory p = abi.decode(lens.v3(v3Factory, 3000, tokens, 0)[0], (ConcentratedState));
        assertEq(p.tick, 15_330);
        assertEq(p.tickLower, 0);
        assertEq(p.tickUpper, 15_360);
        // The first of the word above is inside and listed, the second is not.
        assertEq(p.ticks.length, 1);
        assertEq(p.ticks[0].index, 15_360);
        assertEq(p.ticks[0].liquidityNet, -1e18);

        p = abi.decode(lens.v3(v3Factory, 3000, tokens, 1)[0], (ConcentratedState));
        assertEq(p.tickLower, -15_360);
        assertEq(p.tickUpper, 30_720);
        assertEq(p.ticks.length, 3);
        assertEq(p.ticks[0].index, -60);
        assertEq(p.ticks[0].liquidityNet, 2e18);
    }

    function test_a_window_wider_than_the_pool_ends_where_prices_do() external {
        (address a, address b) = _others();
        _pool(a, 1e24, b, 1e24, 3000);
        ConcentratedState memory p = abi.decode(lens.v3(v3Factory, 3000, tokens, 64)[0], (ConcentratedState));
        assertEq(p.tickLower, -887_272);
        assertEq(p.tickUpper, 887_272);
        assertEq(p.ticks.length, 2);
        assertEq(p.ticks[1].index, 887_220);
        assertEq(p.ticks[1].liquidityNet, -p.ticks[0].liquidityNet);
    }

    /* -------------------------------------------- UNISWAP V2 AND V3 -------------------------------------------- */

    function test_a_pair_is_read_unless_it_is_empty() external {
        (address a, address b) = _others();
        address pair = _pair(a, 3e18, b, 5e18);
        IPairMaker(v2Factory).createPair(a, weth9);
        bytes[] memory states = lens.v2(v2Factory, tokens);
        assertEq(states.length, 1);
        PairState memory p = abi.decode(states[0], (PairState));
        assertEq(p.pair, pair);
        assertEq(p.token0, a);
        assertEq(p.token1, b);
        assertEq(p.reserve0, 3e18);
        assertEq(p.reserve1, 5e18);
    }

    function test_a_pool_without_a_price_is_left_out() external {
        (address a, address b) = _others();
        IPoolMaker(v3Factory).createPool(a, b, 3000);
        assertEq(lens.v3(v3Factory, 3000, tokens, 1).length, 0);
    }

    /* ------------------------------------------------ UNISWAP V4 ------------------------------------------------ */

    function test_a_v4_pool_is_read_with_its_ticks() external {
        (address a, address b) = _others();
        PoolKey memory key = _openV4(a, 1e24, b, 2e24, 3000, 60);
        _addV4(key, -600, 6000, 5e20);
        ConcentratedState[] memory found = _v4();
        assertEq(found.length, 1);
        ConcentratedState memory p = found[0];
        assertEq(p.id, keccak256(abi.encode(key)));
        assertEq(p.token0, key.currency0);
        assertEq(p.token1, key.currency1);
        assertEq(p.fee, 3000);
        assertEq(p.tickSpacing, 60);
        assertEq(p.tick, a < b ? int24(6931) : int24(-6932));
        assertEq(p.ticks.length, 2);
        assertEq(p.ticks[0].index, -600);
        assertEq(p.ticks[0].liquidityNet, 5e20);
        assertEq(p.ticks[1].index, 6000);
        assertEq(p.ticks[1].liquidityNet, -5e20);
        assertEq(p.liquidity, 1_414213562373095048801688);
    }

    function test_a_pool_of_ether_counts_as_one_of_weth_and_one_of_weth_stands_beside_it() external {
        (address a,) = _others();
        bytes32 ether_ = keccak256(abi.encode(_openV4(address(0), 1e21, a, 1e21, 500, 10)));
        bytes32 wrapped = keccak256(abi.encode(_openV4(weth9, 1e21, a, 1e21, 500, 10)));
        ConcentratedState[] memory found = _v4();
        assertEq(found.length, 2);
        for (uint256 i; i < 2; ++i) {
            bool native = found[i].id == ether_;
            if (!native) assertEq(found[i].id, wrapped);
            assertEq(found[i].token0, native || weth9 < a ? weth9 : a);
            assertEq(found[i].token1, native || weth9 < a ? a : weth9);
        }
        assertTrue(found[0].id != found[1].id);
    }

    function test_the_protocols_part_of_a_fee_is_counted_as_the_pool_does() external {
        (address a, address b) = _others();
        PoolKey memory key = _openV4(a, 1e24, b, 1e24, 3000, 60);
        IPoolManagerAdmin(v4Manager).setProtocolFeeController(address(this));
        IPoolManagerAdmin(v4Manager).setProtocolFee(key, (1000 << 12) | 1000);
        assertEq(_v4()[0].fee, 3997);
        // One fee both ways, or none that could be told.
        IPoolManagerAdmin(v4Manager).setProtocolFee(key, (1000 << 12) | 999);
        assertEq(_v4().length, 0);
    }

    /* ------------------------------------------------- BALANCER ------------------------------------------------- */

    function test_a_weighted_pool_is_read() external {
        bytes32 id = _weightedPool();
        BalancerState memory p = _balancer(id)[0];
        assertEq(p.maker, 0);
        assertEq(p.id, id);
        assertEq(p.tokens, tokens);
        for (uint256 i; i < 3; ++i) {
            assertEq(p.balances[i], 1e20 + i);
        }
        assertEq(p.factors[0], 0.5e18);
        assertEq(p.factors[1], 0.3e18);
        assertEq(p.factors[2], 0.2e18);
        assertEq(p.swapFee, 0.003e18);
    }

    function test_a_stable_pool_is_read_without_its_own_token() external {
        uint256[] memory amounts = _units();
        BalancerState memory p = _balancer(_stable(tokens, amounts, 200, 0.0004e18))[0];
        assertEq(p.maker, 1);
        assertEq(p.tokens, tokens);
        assertEq(p.balances, amounts);
        for (uint256 i; i < 3; ++i) {
            assertEq(p.factors[i], 10 ** (36 - TestToken(tokens[i]).decimals()));
        }
        assertEq(p.amplification, 200_000);
        assertEq(p.amplificationPrecision, 1000);
        assertEq(p.swapFee, 0.0004e18);
    }

    function test_a_rate_that_has_expired_is_read_anew_as_a_swap_would() external {
        RateProvider provider = new RateProvider();
        address[] memory providers = new address[](3);
        uint256[] memory durations = new uint256[](3);
        (providers[0], durations[0]) = (address(provider), 1 hours);
        bytes32 id = _stable(tokens, _units(), 200, 0.0004e18, providers, durations);
        uint256 unit = 10 ** (18 - TestToken(tokens[0]).decimals());
        provider.set(1.1e18);
        vm.warp(block.timestamp + 1 hours);
        assertEq(_balancer(id)[0].factors[0], 1e18 * unit);
        vm.warp(block.timestamp + 1);
        assertEq(_balancer(id)[0].factors[0], 1.1e18 * unit);
    }

    function test_a_pool_that_is_paused_is_left_out() external {
        uint256[] memory weights = new uint256[](3);
        (weights[0], weights[1], weights[2]) = (0.2e18, 0.3e18, 0.5e18);
        (bytes32 id, bytes32 other) = (_weightedPool(), _weighted(tokens, _units(), weights, 0.003e18));
        _allow(address(bytes20(id)), IBalancerPausable.pause.selector);
        IBalancerPausable(address(bytes20(id))).pause();
        assertEq(_balancer(id).length, 0);
        assertEq(_balancer(other).length, 1);

        _allow(balancerVault, IBalancerPausable.setPaused.selector);
        IBalancerPausable(balancerVault).setPaused(true);
        assertEq(_balancer(other).length, 0);
    }

    function test_a_pool_that_nobody_has_joined_is_left_out() external {
        address[] memory none = new address[](3);
        uint256[] memory weights = new uint256[](3);
        (weights[0], weights[1], weights[2]) = (0.5e18, 0.3e18, 0.2e18);
        address pool = IWeightedFactory(weightedFactory).create("", "", tokens, weights, none, 0.003e18, address(this));
        assertEq(_balancer(IBalancerPool(pool).getPoolId()).length, 0);
    }

    function test_a_pool_that_no_listed_factory_made_is_refused() external {
        bytes32 id = _weightedPool();
        Maker[] memory makers = new Maker[](1);
        makers[0] = Maker(stableFactory, true);
        vm.expectRevert(abi.encodeWithSelector(Fragment.NotAdmitted.selector, address(bytes20(id))));
        lens.balancer(balancerVault, makers, _list(id), tokens);
    }

    function test_an_id_that_is_not_the_pools_own_is_refused() external {
        bytes32 id = _weightedPool();
        vm.expectRevert(abi.encodeWithSelector(Fragment.NotAdmitted.selector, address(bytes20(id))));
        lens.balancer(balancerVault, _makers(), _list(bytes32(uint256(id) ^ 1)), tokens);
    }

    function test_a_pool_of_another_vault_is_refused() external {
        bytes32 id = _weightedPool();
        (address first, address factory) = (balancerVault, weightedFactory);
        _deployBalancer();
        Maker[] memory makers = new Maker[](1);
        makers[0] = Maker(factory, false);
        vm.expectRevert(abi.encodeWithSelector(Fragment.NotAdmitted.selector, address(bytes20(id))));
        lens.balancer(balancerVault, makers, _list(id), tokens);
        assertEq(lens.balancer(first, makers, _list(id), tokens).length, 1);
    }

    function test_a_pool_of_a_token_that_is_not_read_is_refused() external {
        bytes32 id = _weightedPool();
        address[] memory fewer = new address[](2);
        (fewer[0], fewer[1]) = (tokens[0], tokens[2]);
        vm.expectRevert(abi.encodeWithSelector(Fragment.TokenNotListed.selector, address(bytes20(id)), tokens[1]));
        lens.balancer(balancerVault, _makers(), _list(id), fewer);
    }

    /* --------------------------------------------------- CURVE --------------------------------------------------- */

    function test_a_curve_pool_of_the_first_generation_is_read() external {
        CurveState memory p = _curve(address(new OldCurve(tokens)));
        assertEq(p.coins, tokens);
        for (uint256 i; i < 3; ++i) {
            assertEq(p.balances[i], 1e18 + 3 + i);
            assertEq(p.rates[i], 10 ** (36 - TestToken(tokens[i]).decimals()));
        }
        assertEq(p.amplification, 85);
        assertEq(p.amplificationPrecision, 1);
        assertEq(p.fee, 4e6);
        assertEq(p.adminFee, 5e9);
    }

    function test_a_curve_pool_with_rates_of_its_own_is_read() external {
        (address a, address b) = _others();
        address[] memory coins = new address[](2);
        (coins[0], coins[1]) = (a, b);
        for (uint256 i; i < 2; ++i) {
            CurveState memory p = _curve(address(new RatedCurve(coins, i == 0, 1e10)));
            assertEq(p.coins, coins);
            assertEq(p.balances[1], 7e18 + 1);
            assertEq(p.rates[0], 1.05e18);
            assertEq(p.rates[1], 1e30);
            assertEq(p.amplification, 20_050);
            assertEq(p.amplificationPrecision, 100);
        }
    }

    function test_an_empty_curve_pool_is_left_out() external {
        assertEq(lens.curve(_curveList(address(new PlainCurve(tokens))), tokens).length, 0);
    }

    function test_a_curve_pool_of_other_code_is_refused() external {
        address pool = address(new OldCurve(tokens));
        CurvePool[] memory pools = new CurvePool[](1);
        pools[0] = CurvePool(pool, keccak256(""));
        vm.expectRevert(abi.encodeWithSelector(Fragment.NotAdmitted.selector, pool));
        lens.curve(pools, tokens);
    }

    function test_a_curve_pool_whose_fee_depends_on_its_balances_is_refused() external {
        address pool = address(new RatedCurve(tokens, true, 2e10));
        vm.expectRevert(abi.encodeWithSelector(CurveFragment.NotPlain.selector, pool));
        lens.curve(_curveList(pool), tokens);
    }

    function test_what_is_no_curve_pool_is_refused() external {
        vm.expectRevert(abi.encodeWithSelector(Fragment.NotAdmitted.selector, weth9));
        lens.curve(_curveList(weth9), tokens);
    }

    function test_a_curve_pool_of_a_token_that_is_not_read_is_refused() external {
        address pool = address(new OldCurve(tokens));
        address[] memory fewer = new address[](2);
        (fewer[0], fewer[1]) = (tokens[0], tokens[1]);
        vm.expectRevert(abi.encodeWithSelector(Fragment.TokenNotListed.selector, pool, tokens[2]));
        lens.curve(_curveList(pool), fewer);
    }

    /* ------------------------------------------------- HELPERS ------------------------------------------------- */

    /// @dev The two tokens that are not WETH.
    function _others() internal view returns (address a, address b) {
        (a, b) = tokens[0] == weth9 ? (tokens[1], tokens[2]) : (tokens[0], tokens[1] == weth9 ? tokens[2] : tokens[1]);
    }

    function _allow(address target, bytes4 selector) internal {
        IAuthorizer(authorizer).grantRole(IBalancerPausable(target).getActionId(selector), address(this));
    }

    /// @dev One, two and three whole tokens.
    function _units() internal view returns (uint256[] memory amounts) {
        amounts = new uint256[](3);
        for (uint256 i; i < 3; ++i) {
            amounts[i] = (i + 1) * 10 ** TestToken(tokens[i]).decimals();
        }
    }

    function _weightedPool() internal returns (bytes32) {
        uint256[] memory amounts = new uint256[](3);
        uint256[] memory weights = new uint256[](3);
        (amounts[0], amounts[1], amounts[2]) = (1e20, 1e20 + 1, 1e20 + 2);
        (weights[0], weights[1], weights[2]) = (0.5e18, 0.3e18, 0.2e18);
        return _weighted(tokens, amounts, weights, 0.003e18);
    }

    function _v4() internal view returns (ConcentratedState[] memory found) {
        bytes[] memory states = lens.v4(v4Manager, tiers, tokens, weth9, 1);
        found = new ConcentratedState[](states.length);
        for (uint256 i; i < states.length; ++i) {
            found[i] = abi.decode(states[i], (ConcentratedState));
        }
    }

    function _balancer(bytes32 id) internal returns (BalancerState[] memory found) {
        uint256 before = vm.snapshotState();
        bytes[] memory states = lens.balancer(balancerVault, _makers(), _list(id), tokens);
        vm.revertToState(before);
        found = new BalancerState[](states.length);
        for (uint256 i; i < states.length; ++i) {
            found[i] = abi.decode(states[i], (BalancerState));
        }
    }

    function _curve(address pool) internal view returns (CurveState memory) {
        return abi.decode(lens.curve(_curveList(pool), tokens)[0], (CurveState));
    }

    function _makers() internal view returns (Maker[] memory makers) {
        makers = new Maker[](2);
        (makers[0], makers[1]) = (Maker(weightedFactory, false), Maker(stableFactory, true));
    }

    function _list(bytes32 id) internal pure returns (bytes32[] memory ids) {
        ids = new bytes32[](1);
        ids[0] = id;
    }

    function _curveList(address pool) internal view returns (CurvePool[] memory pools) {
        pools = new CurvePool[](1);
        pools[0] = CurvePool(pool, pool.codehash);
    }
}
