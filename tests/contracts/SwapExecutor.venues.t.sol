// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ReentrancyGuardTransient} from "solady/utils/ReentrancyGuardTransient.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {SwapExecutor} from "../../contracts/SwapExecutor.sol";
import {ISwapExecutor} from "../../contracts/interfaces/ISwapExecutor.sol";
import {IUniswapV3Pool} from "../../contracts/interfaces/IUniswap.sol";
import {IPoolManager, PoolKey} from "../../contracts/interfaces/IUniswapV4.sol";
import {BalancerTest} from "./utils/BalancerTest.sol";
import {PlainCurve} from "./utils/PlainCurve.sol";
import {Program, Step} from "./utils/Program.sol";
import {ScriptedVenue} from "./utils/ScriptedVenue.sol";
import {CallbackToken, ITransferHook, NoReturnToken, TestToken} from "./utils/Tokens.sol";
import {UniswapTest} from "./utils/UniswapTest.sol";
import {V4Test} from "./utils/V4Test.sol";

/// @notice Takes what is being paid to the PoolManager for a payment of its own.
contract Settler is ITransferHook {
    IPoolManager internal immutable _manager;

    constructor(address manager) {
        _manager = IPoolManager(manager);
    }

    function onTransfer() external {
        _manager.settle();
    }
}

/// @notice Programs through the published bytecode of Uniswap V4 and Balancer V2 and through a double of a Curve pool, and
///         what hostile ones cannot do.
contract SwapExecutorVenuesTest is UniswapTest, V4Test, BalancerTest {
    SwapExecutor internal executor;
    /// A, B and C in ascending order of address, then WETH.
    address[] internal tokens;
    PoolKey internal keyAB;
    PoolKey internal keyEther;
    bytes32 internal weighted;
    bytes32 internal stable;
    PlainCurve internal curve;
    address internal pairBC;

    uint8 internal constant A = 0;
    uint8 internal constant B = 1;
    uint8 internal constant C = 2;
    uint8 internal constant W = 3;

    uint24 internal constant FEE = 500;
    int24 internal constant SPACING = 10;

    function setUp() external {
        _deployWeth9();
        _deployUniswap();
        _deployV4();
        _deployBalancer();
        executor = new SwapExecutor(weth9);

        tokens = new address[](3);
        uint256[] memory amounts = new uint256[](3);
        for (uint256 i; i < 3; ++i) {
            tokens[i] = address(new TestToken("T", 18));
            amounts[i] = 1_000_000e18;
            for (uint256 j = i; j > 0 && tokens[j] < tokens[j - 1]; --j) {
                (tokens[j], tokens[j - 1]) = (tokens[j - 1], tokens[j]);
            }
        }
        uint256[] memory weights = new uint256[](3);
        (weights[0], weights[1], weights[2]) = (0.5e18, 0.3e18, 0.2e18);
        weighted = _weighted(tokens, amounts, weights, 0.003e18);
        stable = _stable(tokens, amounts, 200, 0.0004e18);

        curve = new PlainCurve(tokens);
        for (uint256 i; i < 3; ++i) {
            TestToken(tokens[i]).mint(address(curve), amounts[i]);
        }
        curve.sync();
        tokens.push(weth9);

        keyAB = _openV4(tokens[A], 1_000_000e18, tokens[B], 1_100_000e18, FEE, SPACING);
        keyEther = _openV4(address(0), 1_000e18, tokens[B], 2_000_000e18, FEE, SPACING);
        pairBC = _pair(tokens[B], 1_000_000e18, tokens[C], 900_000e18);
    }

    /* ------------------------------------------------ UNISWAP V4 ------------------------------------------------ */

    function test_a_v4_pool_swaps_exactly_the_amount_in_either_direction() external {
        _give(A, 30e18);
        uint256 out = _quoteV4(keyAB, true, 10e18);
        _run(_exact(_v4(A, B), 10e18));
        assertEq(_mine(A), 20e18);
        assertEq(_mine(B), out);

        _give(B, 30e18);
        uint256 back = _quoteV4(keyAB, false, 10e18);
        _run(_exact(_v4(B, A), 10e18));
        assertEq(_mine(B), out + 20e18);
        assertEq(_mine(A), 20e18 + back);
    }

    function test_a_v4_pool_swaps_all_that_is_here_and_pays_the_caller() external {
        _give(A, 30e18);
        uint256 out = _quoteV4(keyAB, true, 30e18);
        Step memory step = _v4(A, B);
        step.to = Program.TO_CALLER;
        vm.expectCall(tokens[B], abi.encodeWithSignature("transfer(address,uint256)", executor), 0);
        _run(step);
        assertEq(_mine(A), 0);
        assertEq(_mine(B), out);
    }

    function test_a_v4_pool_swaps_what_the_step_before_paid_and_pays_the_next_pair() external {
        _give(A, 10e18);
        _give(B, 7e18);
        uint256 hop = _quoteV4(keyAB, true, 10e18);
        uint256 out = _quoteV2(pairBC, tokens[B], hop, 3000);
        Step memory first = _v4(A, B);
        first.to = Program.TO_NEXT_POOL;
        _execute(abi.encodePacked(_head(), _bytes(first), _pairChained()));
        assertEq(_mine(B), 7e18);
        assertEq(_mine(C), out);

        _give(C, 10e18);
        hop = _quoteV2(pairBC, tokens[C], 10e18, 3000);
        out = _quoteV4(keyAB, false, hop);
        Step memory second = _v4(B, A);
        second.mode = Program.CHAINED;
        Step memory pair = Step(Program.V2, Program.ALL_HERE, Program.TO_EXECUTOR, pairBC, C, B, 3000, 0);
        _give(B, 5e18);
        _execute(abi.encodePacked(_head(), Program.step(tokens, pair), _bytes(second)));
        assertEq(_mine(B), 12e18);
        assertEq(_mine(A), out);
    }

    function test_what_a_v4_pool_could_not_take_goes_back_to_the_caller() external {
        PoolKey memory narrow = _openV4(tokens[A], 1, tokens[C], 1, 3000, 60);
        _addV4(narrow, -120, 120, 1_000e18);
        _give(A, 1_000e18);
        _run(_v4(A, C));
        assertGt(_mine(A), 900e18);
        assertGt(_mine(C), 0);
    }

    function test_weth_buys_in_a_pool_of_ether() external {
        _give(W, 3e18);
        uint256 out = _quoteV4(keyEther, true, 2e18);
        _run(_exact(_v4(W, B), 2e18));
        assertEq(_mine(W), 1e18);
        assertEq(_mine(B), out);
    }

    function test_ether_bought_is_wrapped_for_whoever_gets_it() external {
        _give(B, 3_000e18);
        uint256 out = _quoteV4(keyEther, false, 3_000e18);
        Step memory step = _v4(B, W);
        step.to = Program.TO_CALLER;
        _run(step);
        assertEq(_mine(W), out);

        _give(B, 3_000e18);
        uint256 more = _quoteV4(keyEther, false, 3_000e18);
        step.to = Program.TO_EXECUTOR;
        _run(step);
        assertEq(_mine(W), out + more);
    }

    function test_ether_bought_pays_the_next_pair_as_weth() external {
        address pair = _pair(weth9, 1_000e18, tokens[C], 2_000_000e18);
        _give(B, 3_000e18);
        uint256 out = _quoteV2(pair, weth9, _quoteV4(keyEther, false, 3_000e18), 3000);
        Step memory first = _v4(B, W);
        first.to = Program.TO_NEXT_POOL;
        Step memory second = Step(Program.V2, Program.CHAINED, Program.TO_EXECUTOR, pair, W, C, 3000, 0);
        _execute(abi.encodePacked(_head(), _bytes(first), Program.step(tokens, second)));
        assertEq(_mine(C), out);
    }

    function test_the_mark_of_ether_means_nothing_in_a_pool_without_weth() external {
        _give(A, 10e18);
        uint256 out = _quoteV4(keyAB, true, 10e18);
        bytes memory detail = abi.encodePacked(FEE, uint16(uint24(SPACING)) | 0x8000);
        _execute(abi.encodePacked(_head(), Program.step(tokens, _v4(A, B), true, detail)));
        assertEq(_mine(B), out);
    }

    function test_a_pool_of_weth_itself_takes_weth() external {
        PoolKey memory key = _openV4(weth9, 1_000e18, tokens[C], 2_000_000e18, FEE, SPACING);
        _give(W, 2e18);
        uint256 out = _quoteV4(key, key.currency0 == weth9, 2e18);
        _run(_v4(W, C));
        assertEq(_mine(W), 0);
        assertEq(_mine(C), out);
    }

    function test_ether_is_settled_although_another_currency_was_synced_before() external {
        _give(W, 2e18);
        (bool ok,) = v4Manager.call(abi.encodeWithSignature("sync(address)", tokens[A]));
        assertTrue(ok);
        _run(_v4(W, B));
        assertGt(_mine(B), 0);
    }

    function test_ether_comes_from_nobody_but_weth_and_a_paying_manager() external {
        vm.deal(address(this), 1 ether);
        vm.expectRevert(abi.encodeWithSelector(ISwapExecutor.UnexpectedEther.selector, address(this)));
        (bool ok,) = address(executor).call{value: 1}("");
        assertTrue(ok);
        vm.deal(v4Manager, 1 ether);
        vm.prank(v4Manager);
        vm.expectRevert(abi.encodeWithSelector(ISwapExecutor.UnexpectedEther.selector, v4Manager));
        (ok,) = address(executor).call{value: 1}("");
        assertTrue(ok);
    }

    function test_a_manager_may_not_send_ether_once_it_has_paid() external {
        ScriptedVenue manager = new ScriptedVenue();
        vm.deal(address(manager), 1 ether);
        manager.claim(1, 0, 1);
        _give(B, 2e18);
        Step memory step = _exact(_v4(B, W), 1e18);
        step.pool = address(manager);
        bytes memory program = _bytes(step);
        _execute(abi.encodePacked(_head(), program));
        assertEq(_mine(W), 1);
        vm.prank(address(manager));
        vm.expectRevert(abi.encodeWithSelector(ISwapExecutor.UnexpectedEther.selector, address(manager)));
        (bool ok,) = address(executor).call{value: 1}("");
        assertTrue(ok);
    }

    function test_ether_that_was_forced_in_is_wrapped_with_the_rest() external {
        vm.deal(address(executor), 5);
        _give(B, 3_000e18);
        uint256 out = _quoteV4(keyEther, false, 3_000e18);
        _run(_v4(B, W));
        assertEq(_mine(W), out + 5);
        assertEq(address(executor).balance, 0);
    }

    /* ------------------------------------------- V4: WHAT A MANAGER MAY NOT ------------------------------------------- */

    function test_nobody_unlocks_what_is_not_being_swapped() external {
        _give(A, 30e18);
        bytes memory data = abi.encode(keyAB, true, 30e18, address(this));
        vm.expectRevert(abi.encodeWithSelector(ISwapExecutor.UnexpectedCallback.selector, address(this)));
        executor.unlockCallback(data);
        vm.prank(v4Manager);
        vm.expectRevert(abi.encodeWithSelector(ISwapExecutor.UnexpectedCallback.selector, v4Manager));
        executor.unlockCallback(data);
    }

    function test_nobody_but_the_manager_of_the_step_calls_back() external {
        ScriptedVenue accomplice = new ScriptedVenue();
        ScriptedVenue manager = new ScriptedVenue();
        manager.claim(0, 0, 0);
        manager.prepare(address(accomplice), abi.encodeCall(ScriptedVenue.exchange, (0, 1, 0, 0)));
        bytes memory data = abi.encode(keyAB, true, 30e18, address(executor));
        accomplice.prepare(address(executor), abi.encodeCall(SwapExecutor.unlockCallback, (data)));
        _give(A, 30e18);
        Step memory step = _v4(A, B);
        step.pool = address(manager);
        _refused(_bytes(step), abi.encodeWithSelector(ISwapExecutor.UnexpectedCallback.selector, address(accomplice)));
    }

    function test_a_manager_calls_back_once() external {
        ScriptedVenue manager = new ScriptedVenue();
        manager.claim(-10e18, 0, 2);
        _give(A, 30e18);
        Step memory step = _v4(A, B);
        step.pool = address(manager);
        _refused(_bytes(step), abi.encodeWithSelector(ISwapExecutor.UnexpectedCallback.selector, address(manager)));
    }

    function test_a_manager_that_never_called_back_cannot_do_so_later() external {
        ScriptedVenue manager = new ScriptedVenue();
        manager.claim(0, 0, 0);
        _give(A, 30e18);
        manager.strikeAt(1);
        bytes memory data = abi.encode(keyAB, true, 10e18, address(executor));
        manager.prepare(address(executor), abi.encodeCall(SwapExecutor.unlockCallback, (data)));
        Step memory step = _exact(_v4(A, B), 10e18);
        Step memory later = _exact(_curve(A, B), 1);
        (step.pool, later.pool) = (address(manager), address(manager));
        _refused(
            abi.encodePacked(_bytes(step), _bytes(later)),
            abi.encodeWithSelector(ISwapExecutor.UnexpectedCallback.selector, address(manager))
        );
    }

    function test_a_manager_that_hands_back_other_data_is_refused() external {
        ScriptedVenue manager = new ScriptedVenue();
        manager.hand(abi.encode(keyAB, true, 31e18, address(executor)));
        _give(A, 30e18);
        Step memory step = _v4(A, B);
        step.pool = address(manager);
        _refused(_bytes(step), abi.encodeWithSelector(ISwapExecutor.UnexpectedCallback.selector, address(manager)));
    }

    function test_a_manager_may_not_ask_for_more_than_the_step() external {
        ScriptedVenue manager = new ScriptedVenue();
        manager.claim(-10e18 - 1, 0, 1);
        _give(A, 30e18);
        Step memory step = _exact(_v4(A, B), 10e18);
        step.pool = address(manager);
        bytes memory program = _bytes(step);
        _refused(
            program,
            abi.encodeWithSelector(ISwapExecutor.CallbackTooGreedy.selector, address(manager), 10e18 + 1, 10e18)
        );
        manager.claim(-10e18, 0, 1);
        _execute(abi.encodePacked(_head(), program));
        assertEq(_mine(A), 20e18);
    }

    function test_a_manager_that_pays_for_what_it_buys_gets_nothing() external {
        ScriptedVenue manager = new ScriptedVenue();
        manager.claim(1, 1, 1);
        _give(A, 30e18);
        Step memory step = _v4(A, B);
        step.pool = address(manager);
        _refused(
            _bytes(step),
            abi.encodeWithSelector(ISwapExecutor.CallbackTooGreedy.selector, address(manager), type(uint256).max, 30e18)
        );
    }

    function test_no_venue_runs_a_program_of_its_own() external {
        ScriptedVenue venue = new ScriptedVenue();
        venue.prepare(address(executor), abi.encodeCall(ISwapExecutor.execute, (_head())));
        _give(A, 30e18);
        bytes memory reason = abi.encodeWithSelector(ReentrancyGuardTransient.Reentrancy.selector);
        Step[3] memory steps = [_v4(A, B), _balancer(A, B), _curve(A, B)];
        for (uint256 i; i < 3; ++i) {
            steps[i].pool = address(venue);
            _refused(_bytes(steps[i]), reason);
        }
    }

    function test_a_token_that_settles_for_itself_while_it_is_paid_in_makes_the_swap_revert() external {
        CallbackToken hooked = new CallbackToken(18);
        PoolKey memory key = _openV4(address(hooked), 1_000e18, tokens[C], 1_000e18, 3000, 60);
        hooked.setHook(new Settler(v4Manager));
        hooked.mint(address(executor), 10e18);
        bytes memory step = abi.encodePacked(
            uint8(Program.V4 | (key.currency0 == address(hooked) ? 8 : 0)),
            v4Manager,
            tokens[C],
            uint24(3000),
            uint16(60),
            uint8(0),
            uint128(10e18)
        );
        // Settled by whoever the hook is, what was paid is not this contract's: the manager lets nobody leave in debt.
        vm.expectRevert(abi.encodeWithSignature("CurrencyNotSettled()"));
        executor.execute(abi.encodePacked(uint8(1), uint8(1), address(hooked), step));
        assertEq(hooked.balanceOf(address(executor)), 10e18);
    }

    /* ------------------------------------------------- BALANCER ------------------------------------------------- */

    function test_a_weighted_pool_swaps_exactly_the_amount() external {
        _give(A, 30e18);
        uint256 out = _quoteBalancer(weighted, tokens[A], tokens[B], 10e18);
        _run(_exact(_balancer(A, B), 10e18));
        assertEq(_mine(A), 20e18);
        assertEq(_mine(B), out);
    }

    function test_a_stable_pool_swaps_all_that_is_here_and_pays_the_caller() external {
        _give(C, 30e18);
        uint256 out = _quoteBalancer(stable, tokens[C], tokens[A], 30e18);
        Step memory step = _balancer(C, A);
        step.to = Program.TO_CALLER;
        vm.expectCall(tokens[A], abi.encodeWithSignature("transfer(address,uint256)", executor), 0);
        _run(step);
        assertEq(_mine(A), out);
    }

    function test_a_balancer_pool_swaps_what_the_step_before_paid_and_pays_the_next_pair() external {
        _give(A, 10e18);
        _give(C, 1e18);
        uint256 hop = _quoteBalancer(weighted, tokens[A], tokens[C], 10e18);
        uint256 next = _quoteBalancer(stable, tokens[C], tokens[B], hop);
        uint256 out = _quoteV2(pairBC, tokens[B], next, 3000);
        Step memory second = _balancer(C, B);
        (second.mode, second.to) = (Program.CHAINED, Program.TO_NEXT_POOL);
        _execute(abi.encodePacked(_head(), _bytes(_balancer(A, C)), _bytes(second), _pairChained()));
        assertEq(_mine(C), 1e18 + out);
    }

    /* --------------------------------------------------- CURVE --------------------------------------------------- */

    function test_a_curve_pool_swaps_exactly_the_amount() external {
        _give(A, 30e18);
        _give(B, 1e18);
        uint256 out = curve.get_dy(0, 1, 10e18);
        _run(_exact(_curve(A, B), 10e18));
        assertEq(_mine(A), 20e18);
        assertEq(_mine(B), 1e18 + out);
    }

    function test_a_curve_pool_swaps_all_that_is_here_for_the_caller() external {
        _give(C, 30e18);
        uint256 out = curve.get_dy(2, 0, 30e18);
        Step memory step = _curve(C, A);
        step.to = Program.TO_CALLER;
        vm.expectCall(tokens[A], abi.encodeWithSignature("transfer(address,uint256)", this, out));
        _run(step);
        assertEq(_mine(A), out);
    }

    function test_a_curve_pool_swaps_what_the_step_before_paid_and_pays_the_next_pair() external {
        _give(A, 10e18);
        _give(C, 1e18);
        _give(B, 1e18);
        uint256 hop = curve.get_dy(0, 2, 10e18);
        uint256 next = _quoteBalancer(stable, tokens[C], tokens[B], hop);
        Step memory second = _balancer(C, B);
        second.mode = Program.CHAINED;
        uint256 before = vm.snapshotState();
        _execute(abi.encodePacked(_head(), _bytes(_curve(A, C)), _bytes(second)));
        assertEq(_mine(C), 1e18);
        assertEq(_mine(B), 1e18 + next);

        vm.revertToState(before);
        hop = curve.get_dy(0, 1, 10e18);
        uint256 out = _quoteV2(pairBC, tokens[B], hop, 3000);
        Step memory first = _curve(A, B);
        first.to = Program.TO_NEXT_POOL;
        _execute(abi.encodePacked(_head(), _bytes(first), _pairChained()));
        assertEq(_mine(B), 1e18);
        assertEq(_mine(C), 1e18 + out);
    }

    /* ------------------------------------------------- ALLOWANCES ------------------------------------------------- */

    function test_a_vault_or_pool_takes_no_more_than_the_step() external {
        ScriptedVenue venue = new ScriptedVenue();
        venue.prepare(address(venue), abi.encodeCall(ScriptedVenue.pull, (tokens[A], address(executor), 10e18 + 1)));
        _give(A, 30e18);
        Step[2] memory steps = [_balancer(A, B), _curve(A, B)];
        for (uint256 i; i < 2; ++i) {
            Step memory step = _exact(steps[i], 10e18);
            step.pool = address(venue);
            _refused(_bytes(step), abi.encodeWithSelector(SafeTransferLib.TransferFromFailed.selector));
        }
    }

    function test_what_a_vault_or_pool_left_of_its_allowance_is_gone_with_the_step() external {
        ScriptedVenue venue = new ScriptedVenue();
        venue.prepare(address(venue), abi.encodeCall(ScriptedVenue.pull, (tokens[A], address(executor), 4e18)));
        Step[2] memory steps = [_balancer(A, B), _curve(A, B)];
        for (uint256 i; i < 2; ++i) {
            _give(A, 10e18);
            steps[i].pool = address(venue);
            executor.execute(abi.encodePacked(_head(), _bytes(steps[i])));
            assertEq(TestToken(tokens[A]).allowance(address(executor), address(venue)), 0);
            assertEq(_mine(A), 6e18 * (i + 1));
        }
    }

    function test_a_token_that_returns_nothing_and_changes_no_standing_allowance_passes_through() external {
        NoReturnToken usdt = new NoReturnToken(6);
        usdt.mint(address(executor), 30e6);
        ScriptedVenue venue = new ScriptedVenue();
        venue.prepare(address(venue), abi.encodeCall(ScriptedVenue.pull, (address(usdt), address(executor), 4e6)));
        // Twice each, all that is here: the venue leaves an allowance each time.
        bytes memory vault = abi.encodePacked(uint8(0x13), address(venue), tokens[A], weighted, uint8(0));
        bytes memory pool = abi.encodePacked(uint8(0x14), address(venue), tokens[A], uint8(0x01), uint8(0));
        executor.execute(abi.encodePacked(uint8(1), uint8(1), address(usdt), vault, vault, pool, pool));
        assertEq(usdt.allowance(address(executor), address(venue)), 0);
        assertEq(usdt.balanceOf(address(venue)), 16e6);
        assertEq(usdt.balanceOf(address(this)), 14e6);
    }

    /* ------------------------------------------------- ALL KINDS ------------------------------------------------- */

    function test_a_v3_pool_is_handed_no_data_whatever_the_step_before_left_in_memory() external {
        address pool = _pool(tokens[A], 1_000_000e18, tokens[C], 900_000e18, 500);
        _give(B, 10e18);
        int256 hop = int256(_quoteBalancer(stable, tokens[B], tokens[C], 10e18));
        Step memory second = _step(Program.V3, pool, C, A);
        second.mode = Program.CHAINED;
        // Where the length of the data goes, the end of the Balancer pool's id has stood, which is its number.
        vm.expectCall(
            pool, abi.encodeCall(IUniswapV3Pool.swap, (address(executor), false, hop, MAX_SQRT_PRICE - 1, ""))
        );
        _execute(abi.encodePacked(_head(), _bytes(_balancer(B, C)), Program.step(tokens, second)));
        assertGt(_mine(A), 0);
    }

    function test_one_program_through_every_kind() external {
        address pool = _pool(tokens[C], 1_000_000e18, tokens[A], 1_000_000e18, 3000);
        _give(A, 10e18);
        uint256 out = _quoteV4(keyAB, true, 10e18);
        out = _quoteV2(pairBC, tokens[B], out, 3000);
        out = _quoteV3(pool, tokens[C], tokens[A], out);
        out = _quoteBalancer(weighted, tokens[A], tokens[B], out);
        out = _quoteBalancer(stable, tokens[B], tokens[C], out);
        out = curve.get_dy(2, 1, out);
        Step memory first = _v4(A, B);
        first.to = Program.TO_NEXT_POOL;
        Step memory pair = Step(Program.V2, Program.CHAINED, Program.TO_EXECUTOR, pairBC, B, C, 3000, 0);
        Step memory v3 = Step(Program.V3, Program.CHAINED, Program.TO_EXECUTOR, pool, C, A, 0, 0);
        Step[3] memory rest = [_balancer(A, B), _balancer(B, C), _curve(C, B)];
        for (uint256 i; i < 3; ++i) {
            rest[i].mode = Program.CHAINED;
        }
        _execute(
            abi.encodePacked(
                abi.encodePacked(_head(), _bytes(first), Program.step(tokens, pair)),
                Program.step(tokens, v3),
                _bytes(rest[0]),
                _bytes(rest[1]),
                _bytes(rest[2])
            )
        );
        assertEq(_mine(B), out);
        assertEq(_mine(A), 0);
        assertEq(_mine(C), 0);
    }

    function test_a_program_of_named_steps_cut_anywhere_is_refused() external {
        Step[3] memory steps = [_v4(A, B), _balancer(A, C), _curve(A, B)];
        _give(A, 30e18);
        for (uint256 i; i < 3; ++i) {
            bytes memory program = abi.encodePacked(_head(), _bytes(_exact(steps[i], 1e18)));
            uint256 start = _head().length;
            for (uint256 length = start + 1; length < program.length; ++length) {
                bytes memory cut = new bytes(length);
                for (uint256 k; k < length; ++k) {
                    cut[k] = program[k];
                }
                vm.expectRevert(abi.encodeWithSelector(ISwapExecutor.TruncatedProgram.selector, start, length));
                executor.execute(cut);
            }
            executor.execute(program);
            TestToken(tokens[A]).transfer(address(executor), _mine(A));
        }
    }

    /// Sound programs through every kind in which some bytes are other ones: they revert, or nothing is left behind, no
    /// allowance and no ether, and whatever the caller holds beside is untouched.
    function testFuzz_whatever_the_program_nothing_stays_and_nobody_else_pays(bytes calldata garbage, uint256 seed)
        external
    {
        TestToken(tokens[A]).mint(address(this), 11e18);
        _give(A, 30e18);
        _give(W, 1e18);
        bytes memory program = abi.encodePacked(
            _head(),
            _bytes(_exact(_v4(A, B), 10e18)),
            _bytes(_v4(W, B)),
            _bytes(_exact(_balancer(A, C), 10e18)),
            _bytes(_balancer(B, C)),
            _bytes(_curve(A, C))
        );
        for (uint256 i; i < garbage.length % 4; ++i) {
            uint256 place = 81 + uint256(keccak256(abi.encode(seed, i))) % (program.length - 81);
            program[place] = garbage[i];
        }
        try executor.execute(program) {
            for (uint8 i; i < 4; ++i) {
                assertEq(TestToken(tokens[i]).balanceOf(address(executor)), 0);
                assertEq(TestToken(tokens[i]).allowance(address(executor), balancerVault), 0);
                assertEq(TestToken(tokens[i]).allowance(address(executor), address(curve)), 0);
            }
            assertEq(address(executor).balance, 0);
            assertGe(_mine(A), 11e18);
        } catch {
            assertEq(TestToken(tokens[A]).balanceOf(address(executor)), 30e18);
            assertEq(TestToken(weth9).balanceOf(address(executor)), 1e18);
            assertEq(_mine(A), 11e18);
        }
    }

    /* ------------------------------------------------- HELPERS ------------------------------------------------- */

    /// @dev Steps that swap all that is here and keep the proceeds.
    function _v4(uint8 tokenIn, uint8 tokenOut) internal view returns (Step memory) {
        return _step(Program.V4, v4Manager, tokenIn, tokenOut);
    }

    function _balancer(uint8 tokenIn, uint8 tokenOut) internal view returns (Step memory) {
        return _step(Program.BALANCER, balancerVault, tokenIn, tokenOut);
    }

    function _curve(uint8 tokenIn, uint8 tokenOut) internal view returns (Step memory) {
        return _step(Program.CURVE, address(curve), tokenIn, tokenOut);
    }

    function _step(uint8 kind, address pool, uint8 tokenIn, uint8 tokenOut) internal pure returns (Step memory) {
        return Step(kind, Program.ALL_HERE, Program.TO_EXECUTOR, pool, tokenIn, tokenOut, 0, 0);
    }

    function _exact(Step memory step, uint128 amount) internal pure returns (Step memory) {
        (step.mode, step.amount) = (Program.EXACT, amount);
        return step;
    }

    /// @dev The step's bytes. Its pool is told by its tokens: of C it is the one that the test opens.
    function _bytes(Step memory step) internal view returns (bytes memory) {
        (uint8 i, uint8 j) = (step.tokenIn, step.tokenOut);
        bool sellsToken0 = tokens[i] < tokens[j];
        bytes memory detail = abi.encodePacked((i << 4) | j);
        if (step.kind == Program.BALANCER) detail = abi.encodePacked(i == A ? weighted : stable);
        if (step.kind == Program.V4) {
            bool native = i + j == W + B;
            if (native) sellsToken0 = i == W;
            detail = i + j == A + C
                ? abi.encodePacked(uint24(3000), uint16(60))
                : abi.encodePacked(FEE, uint16(uint24(SPACING)) | (native ? 0x8000 : 0));
        }
        return Program.step(tokens, step, sellsToken0, detail);
    }

    function _run(Step memory step) internal {
        _execute(abi.encodePacked(_head(), _bytes(step)));
    }

    /// @dev Runs a program; afterwards the executor has nothing left and has granted nothing.
    function _execute(bytes memory program) internal {
        executor.execute(program);
        address[4] memory spenders = [v4Manager, balancerVault, address(curve), pairBC];
        for (uint256 i; i < tokens.length; ++i) {
            assertEq(TestToken(tokens[i]).balanceOf(address(executor)), 0);
            for (uint256 j; j < spenders.length; ++j) {
                assertEq(TestToken(tokens[i]).allowance(address(executor), spenders[j]), 0);
            }
        }
        assertEq(address(executor).balance, 0);
    }

    /// @dev Refused are these steps.
    function _refused(bytes memory steps, bytes memory reason) internal {
        vm.expectRevert(reason);
        executor.execute(abi.encodePacked(_head(), steps));
    }

    function _head() internal view returns (bytes memory) {
        return Program.head(tokens);
    }

    function _give(uint8 token, uint256 amount) internal {
        _fund(tokens[token], address(executor), amount);
    }

    function _mine(uint8 token) internal view returns (uint256) {
        return TestToken(tokens[token]).balanceOf(address(this));
    }

    /// @dev The step that swaps B, which lies in the pair already, for C.
    function _pairChained() internal view returns (bytes memory) {
        return Program.step(tokens, Step(Program.V2, Program.CHAINED, Program.TO_EXECUTOR, pairBC, B, C, 3000, 0));
    }
}
