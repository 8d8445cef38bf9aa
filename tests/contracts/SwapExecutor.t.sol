// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ReentrancyGuardTransient} from "solady/utils/ReentrancyGuardTransient.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {SwapExecutor} from "../../contracts/SwapExecutor.sol";
import {ISwapExecutor} from "../../contracts/interfaces/ISwapExecutor.sol";
import {Program, Step} from "./utils/Program.sol";
import {Call} from "./utils/ScriptedExecutor.sol";
import {ScriptedPool} from "./utils/ScriptedPool.sol";
import {TestToken} from "./utils/Tokens.sol";
import {IPoolLiquidity, UniswapTest} from "./utils/UniswapTest.sol";

/// @notice Programs of swaps through real V2 pairs and V3 pools, and what pools, strangers and bad programs cannot do.
contract SwapExecutorTest is UniswapTest {
    SwapExecutor internal executor = new SwapExecutor(address(0));
    address[] internal tokens;
    // Pairs and pools of A-B and B-C, about one to one.
    address internal pairAB;
    address internal pairBC;
    address internal poolAB;
    address internal poolBC;

    uint8 internal constant A = 0;
    uint8 internal constant B = 1;
    uint8 internal constant C = 2;

    string internal constant CALLBACK = "uniswapV3SwapCallback(int256,int256,bytes)";

    function setUp() external {
        _deployUniswap();
        for (uint256 i; i < 3; ++i) {
            tokens.push(address(new TestToken("T", 18)));
        }
        pairAB = _pair(tokens[A], 1_000_000e18, tokens[B], 1_100_000e18);
        pairBC = _pair(tokens[B], 1_000_000e18, tokens[C], 900_000e18);
        poolAB = _pool(tokens[A], 1_000_000e18, tokens[B], 1_100_000e18, 3000);
        poolBC = _pool(tokens[B], 1_000_000e18, tokens[C], 900_000e18, 500);
    }

    /* ---------------------------------------------- AMOUNT MODES ---------------------------------------------- */

    function test_a_pair_swaps_exactly_the_amount_in_either_direction() external {
        _give(A, 30e18);
        _give(B, 30e18);
        uint256 out = _quoteV2(pairAB, tokens[A], 10e18, 3000);
        Step memory step = _v2(pairAB, A, B);
        (step.mode, step.amount) = (Program.EXACT, 10e18);
        _run(step);
        assertEq(_mine(A), 20e18);
        assertEq(_mine(B), 30e18 + out);

        _give(B, 30e18);
        out = _quoteV2(pairAB, tokens[B], 10e18, 3000);
        step = _v2(pairAB, B, A);
        (step.mode, step.amount) = (Program.EXACT, 10e18);
        _run(step);
        assertEq(_mine(A), 20e18 + out);
    }

    function test_a_pool_swaps_exactly_the_amount_in_either_direction() external {
        _give(A, 30e18);
        uint256 out = _quoteV3(poolAB, tokens[A], tokens[B], 10e18);
        Step memory step = _v3(poolAB, A, B);
        (step.mode, step.amount) = (Program.EXACT, 10e18);
        _run(step);
        assertEq(_mine(A), 20e18);
        assertEq(_mine(B), out);

        _give(B, 30e18);
        uint256 back = _quoteV3(poolAB, tokens[B], tokens[A], 10e18);
        step = _v3(poolAB, B, A);
        (step.mode, step.amount) = (Program.EXACT, 10e18);
        _run(step);
        assertEq(_mine(A), 20e18 + back);
        assertEq(_mine(B), out + 20e18);
    }

    function test_a_pair_swaps_all_that_is_here() external {
        _give(A, 30e18);
        uint256 out = _quoteV2(pairAB, tokens[A], 30e18, 3000);
        _run(_v2(pairAB, A, B));
        assertEq(_mine(A), 0);
        assertEq(_mine(B), out);
    }

    function test_a_pool_swaps_all_that_is_here() external {
        _give(A, 30e18);
        uint256 out = _quoteV3(poolAB, tokens[A], tokens[B], 30e18);
        _run(_v3(poolAB, A, B));
        assertEq(_mine(A), 0);
        assertEq(_mine(B), out);
    }

    function test_a_pair_swaps_what_already_lies_in_it() external {
        // Sent to the pair itself: the executor's own tokens stay out of it.
        _give(A, 1e18);
        TestToken(tokens[A]).mint(pairAB, 30e18);
        uint256 out = _quoteV2(pairAB, tokens[A], 30e18, 3000);
        Step memory step = _v2(pairAB, A, B);
        (step.mode, step.amount) = (Program.PREFUNDED, 30e18);
        _run(step);
        assertEq(_mine(A), 1e18);
        assertEq(_mine(B), out);
    }

    function test_a_pair_that_holds_less_than_the_step_says_refuses() external {
        TestToken(tokens[A]).mint(pairAB, 30e18);
        Step memory step = _v2(pairAB, A, B);
        (step.mode, step.amount) = (Program.PREFUNDED, 30e18 + 1e6);
        _refused(_program(step), abi.encodeWithSignature("Error(string)", "UniswapV2: K"));
    }

    function test_a_pool_swaps_what_the_step_before_paid_and_no_more() external {
        _give(A, 30e18);
        _give(B, 7e18);
        uint256 hop = _quoteV2(pairAB, tokens[A], 30e18, 3000);
        uint256 out = _quoteV3(poolBC, tokens[B], tokens[C], hop);
        Step memory second = _v3(poolBC, B, C);
        second.mode = Program.CHAINED;
        _execute(Program.encode(tokens, _v2(pairAB, A, B), second));
        assertEq(_mine(B), 7e18);
        assertEq(_mine(C), out);

        _give(A, 30e18);
        hop = _quoteV3(poolAB, tokens[A], tokens[B], 30e18);
        out += _quoteV3(poolBC, tokens[B], tokens[C], hop);
        _execute(Program.encode(tokens, _v3(poolAB, A, B), second));
        assertEq(_mine(C), out);
    }

    function test_more_than_is_here_is_not_swapped() external {
        _give(A, 10e18);
        Step memory step = _v2(pairAB, A, B);
        (step.mode, step.amount) = (Program.EXACT, 10e18 + 1);
        _refused(_program(step), abi.encodeWithSelector(SafeTransferLib.TransferFailed.selector));
        step = _v3(poolAB, A, B);
        (step.mode, step.amount) = (Program.EXACT, 10e18 + 1);
        _refused(_program(step), abi.encodeWithSelector(SafeTransferLib.TransferFailed.selector));
    }

    function test_nothing_is_not_swapped() external {
        bytes memory reason = abi.encodeWithSelector(ISwapExecutor.NothingToSwap.selector, 62);
        Step memory step = _v2(pairAB, A, B);
        for (uint8 mode; mode <= Program.CHAINED; ++mode) {
            step.mode = mode;
            _refused(_program(step), reason);
        }
        step = _v3(poolAB, A, B);
        for (uint8 mode; mode <= Program.CHAINED; ++mode) {
            if (mode == Program.PREFUNDED) continue;
            step.mode = mode;
            _refused(_program(step), reason);
        }
    }

    function test_a_pool_is_never_asked_to_pay_out_an_exact_amount() external {
        // What a pool says that it paid out may be anything; taken for a payment, this would be -1.
        ScriptedPool liar = new ScriptedPool();
        liar.says(1, 1);
        _give(A, 30e18);
        Step memory second = _v3(poolAB, A, B);
        second.mode = Program.CHAINED;
        _refused(
            Program.encode(tokens, _v3(address(liar), A, B), second),
            abi.encodeWithSelector(ISwapExecutor.NothingToSwap.selector, 84)
        );
    }

    /* ------------------------------------------------ RECIPIENTS ------------------------------------------------ */

    function test_a_swap_pays_the_caller_directly() external {
        _give(A, 30e18);
        Step memory step = _v2(pairAB, A, B);
        step.to = Program.TO_CALLER;
        vm.expectCall(tokens[B], abi.encodeWithSignature("transfer(address,uint256)", executor), 0);
        _run(step);
        assertGt(_mine(B), 0);

        _give(A, 30e18);
        uint256 before = _mine(B);
        step = _v3(poolAB, A, B);
        step.to = Program.TO_CALLER;
        _run(step);
        assertGt(_mine(B), before);
    }

    function test_a_pair_pays_the_next_pair() external {
        _give(A, 30e18);
        uint256 out = _quoteV2(pairBC, tokens[B], _quoteV2(pairAB, tokens[A], 30e18, 3000), 3000);
        Step memory first = _v2(pairAB, A, B);
        first.to = Program.TO_NEXT_POOL;
        Step memory second = _v2(pairBC, B, C);
        (second.mode, second.to) = (Program.CHAINED, Program.TO_CALLER);
        _execute(Program.encode(tokens, first, second));
        assertEq(_mine(C), out);
    }

    function test_a_pool_pays_the_next_pair() external {
        _give(A, 30e18);
        uint256 out = _quoteV2(pairBC, tokens[B], _quoteV3(poolAB, tokens[A], tokens[B], 30e18), 3000);
        Step memory first = _v3(poolAB, A, B);
        first.to = Program.TO_NEXT_POOL;
        Step memory second = _v2(pairBC, B, C);
        second.mode = Program.CHAINED;
        _execute(Program.encode(tokens, first, second));
        assertEq(_mine(C), out);
    }

    function test_hops_through_pools_of_both_kinds() external {
        _give(A, 30e18);
        uint256 hop = _quoteV2(pairAB, tokens[A], 30e18, 3000);
        hop = _quoteV3(poolBC, tokens[B], tokens[C], hop);
        hop = _quoteV2(pairBC, tokens[C], hop, 3000);
        // The pair is not touched by the pool's hop, so the quotes hold in sequence.
        _execute(Program.encode(tokens, _v2(pairAB, A, B), _v3(poolBC, B, C), _v2(pairBC, C, B)));
        assertEq(_mine(A), 0);
        assertEq(_mine(B), hop);
        assertEq(_mine(C), 0);
    }

    function test_what_is_left_of_every_listed_token_goes_back_to_the_caller() external {
        _give(A, 1);
        _give(B, 2);
        _give(C, 3);
        _execute(Program.head(tokens));
        assertEq(_mine(A), 1);
        assertEq(_mine(B), 2);
        assertEq(_mine(C), 3);
    }

    function test_a_pool_that_cannot_take_all_of_the_amount_is_refused() external {
        // Liquidity in a narrow range only: most of the input finds nothing to buy.
        address pool = _emptyPool(tokens[A], 1, tokens[B], 1, 10000);
        IPoolLiquidity(pool).mint(address(this), -200, 200, 1_000e18, abi.encode(tokens[A], tokens[B]));
        _give(A, 1_000e18);
        _refused(_program(_v3(pool, A, B)), abi.encodeWithSelector(ISwapExecutor.UnexpectedCallback.selector, pool));
    }

    function test_tokens_behind_those_that_are_swept_stay() external {
        _give(A, 1);
        _give(B, 2);
        _give(C, 3);
        executor.execute(Program.head(tokens, 2));
        assertEq(_mine(A), 1);
        assertEq(_mine(B), 2);
        assertEq(_mine(C), 0);
        assertEq(TestToken(tokens[C]).balanceOf(address(executor)), 3);
    }

    function test_no_more_tokens_are_swept_than_are_listed() external {
        _refused(Program.head(tokens, 4), abi.encodeWithSelector(ISwapExecutor.TokenOutOfRange.selector, 1, 4, 3));
    }

    /* --------------------------------------------------- FEES --------------------------------------------------- */

    function test_a_fork_with_another_fee_is_swapped_at_that_fee() external {
        // The real pair with 0.2% written where the 0.3% stands.
        string memory code = vm.toString(pairAB.code);
        vm.etch(pairAB, vm.parseBytes(vm.replace(code, "600363ffffffff6121e8", "600263ffffffff6121e8")));

        _give(A, 30e18);
        uint256 out = _quoteV2(pairAB, tokens[A], 30e18, 2000);
        Step memory step = _v2(pairAB, A, B);
        step.fee = 2000;
        _run(step);
        assertEq(_mine(B), out);

        _give(A, 30e18);
        step.fee = 1999;
        _refused(_program(step), abi.encodeWithSignature("Error(string)", "UniswapV2: K"));
    }

    function test_a_fee_too_small_is_refused_by_the_pair() external {
        _give(A, 30e18);
        Step memory step = _v2(pairAB, A, B);
        step.fee = 2999;
        _refused(_program(step), abi.encodeWithSignature("Error(string)", "UniswapV2: K"));
    }

    /* ------------------------------------------------ CALLBACKS ------------------------------------------------ */

    function test_a_stranger_is_not_paid() external {
        _give(A, 30e18);
        Call memory call = _asking(1, 0);
        vm.expectRevert(abi.encodeWithSelector(ISwapExecutor.UnexpectedCallback.selector, address(this)));
        (bool refused,) = call.target.call(call.data);
        assertTrue(refused);
    }

    function test_nobody_but_the_pool_that_is_swapped_with_is_paid() external {
        ScriptedPool accomplice = new ScriptedPool();
        accomplice.onV2(_asking(30e18, 0));
        ScriptedPool pool = new ScriptedPool();
        pool.onV3(
            Call(address(accomplice), abi.encodeWithSignature("swap(uint256,uint256,address,bytes)", 0, 0, 0, ""))
        );
        _give(A, 30e18);
        _refused(
            _program(_v3(address(pool), A, B)),
            abi.encodeWithSelector(ISwapExecutor.UnexpectedCallback.selector, address(accomplice))
        );
    }

    function test_a_pool_is_paid_once() external {
        ScriptedPool pool = new ScriptedPool();
        pool.onV3(_asking(30e18, 0));
        pool.onV3(_asking(30e18, 0));
        _give(A, 30e18);
        _refused(
            _program(_v3(address(pool), A, B)),
            abi.encodeWithSelector(ISwapExecutor.UnexpectedCallback.selector, address(pool))
        );
    }

    function test_a_pool_that_did_not_ask_in_its_swap_cannot_ask_later() external {
        ScriptedPool pool = new ScriptedPool();
        pool.onV2(_asking(30e18, 0));
        _give(A, 30e18);
        Step memory later = _v2(address(pool), A, B);
        (later.mode, later.amount) = (Program.EXACT, 1);
        _refused(
            Program.encode(tokens, _v3(address(pool), A, B), later),
            abi.encodeWithSelector(ISwapExecutor.UnexpectedCallback.selector, address(pool))
        );
    }

    function test_whatever_a_pool_hands_back_it_is_paid_with_the_token_of_the_step() external {
        ScriptedPool pool = new ScriptedPool();
        bytes memory data = abi.encode(tokens[B], 31e18);
        pool.onV3(Call(address(executor), abi.encodeWithSignature(CALLBACK, int256(30e18), int256(0), data)));
        _give(A, 30e18);
        _give(B, 31e18);
        _run(_v3(address(pool), A, B));
        assertEq(TestToken(tokens[A]).balanceOf(address(pool)), 30e18);
        assertEq(_mine(B), 31e18);
    }

    function test_a_fork_may_call_the_callback_by_another_name() external {
        ScriptedPool pool = new ScriptedPool();
        string memory name = "pancakeV3SwapCallback(int256,int256,bytes)";
        pool.onV3(Call(address(executor), abi.encodeWithSignature(name, int256(0), int256(30e18), "")));
        _give(A, 30e18);
        _run(_v3(address(pool), A, B));
        assertEq(TestToken(tokens[A]).balanceOf(address(pool)), 30e18);
    }

    function test_a_pool_may_not_ask_for_more_than_the_step() external {
        ScriptedPool pool = new ScriptedPool();
        pool.onV3(_asking(0, 10e18 + 1));
        _refusedToPay(pool, 10e18);
    }

    function test_a_pool_may_not_ask_for_less_than_the_step() external {
        ScriptedPool pool = new ScriptedPool();
        pool.onV3(_asking(10e18 - 1, 0));
        _refusedToPay(pool, 10e18);
    }

    function test_no_bit_of_what_a_pool_asks_for_is_overlooked() external {
        // The amount is kept in two parts, of which each has to be right.
        uint256 amount = 5 << 96 | 7;
        for (uint256 bit; bit < 255; ++bit) {
            ScriptedPool pool = new ScriptedPool();
            pool.onV3(_asking(int256(amount ^ 1 << bit), 0));
            _refusedToPay(pool, amount);
        }
        ScriptedPool honest = new ScriptedPool();
        honest.onV3(_asking(int256(amount), 0));
        Step memory step = _v3(address(honest), A, B);
        (step.mode, step.amount) = (Program.EXACT, uint128(amount));
        _run(step);
        assertEq(TestToken(tokens[A]).balanceOf(address(honest)), amount);
    }

    function test_a_pool_that_asks_for_both_gets_the_token_of_the_step_only() external {
        ScriptedPool pool = new ScriptedPool();
        pool.onV3(_asking(10e18, 20e18));
        Step memory step = _v3(address(pool), A, B);
        (step.mode, step.amount) = (Program.EXACT, 10e18);
        _give(A, 30e18);
        _give(B, 30e18);
        _run(step);
        assertEq(_mine(A), 20e18);
        assertEq(_mine(B), 30e18);
    }

    function test_a_pool_that_asks_for_less_than_nothing_gets_nothing() external {
        ScriptedPool pool = new ScriptedPool();
        pool.onV3(_asking(-1, -1));
        _refusedToPay(pool, 30e18);
    }

    function test_no_more_than_128_bits_are_swapped() external {
        ScriptedPool pool = new ScriptedPool();
        pool.onV3(_asking(int256(2 ** 128 - 1), 0));
        TestToken(tokens[A]).mint(address(executor), 2 ** 128 - 1);
        _run(_v3(address(pool), A, B));
        assertEq(TestToken(tokens[A]).balanceOf(address(pool)), 2 ** 128 - 1);

        TestToken(tokens[B]).mint(address(executor), 2 ** 128);
        _refused(_program(_v3(address(pool), B, A)), abi.encodeWithSelector(ISwapExecutor.NothingToSwap.selector, 62));
    }

    function test_a_pool_cannot_run_a_program_of_its_own() external {
        ScriptedPool pool = new ScriptedPool();
        Call memory sweep = Call(address(executor), abi.encodeCall(ISwapExecutor.execute, (Program.head(tokens))));
        pool.onV2(sweep);
        pool.onV3(sweep);
        _give(A, 30e18);
        bytes memory reason = abi.encodeWithSelector(ReentrancyGuardTransient.Reentrancy.selector);
        _refused(_program(_v3(address(pool), A, B)), reason);
        Step memory step = _v2(address(pool), A, B);
        (step.mode, step.amount) = (Program.EXACT, 1e18);
        _refused(_program(step), reason);
    }

    /* --------------------------------------------- MALFORMED PROGRAMS --------------------------------------------- */

    function test_a_program_cut_anywhere_is_refused() external {
        Step memory first = _v3(poolAB, A, B);
        (first.mode, first.amount, first.to) = (Program.EXACT, 1e18, Program.TO_CALLER);
        Step memory second = _v2(pairAB, A, B);
        (second.mode, second.amount) = (Program.EXACT, 1e18);
        bytes memory whole = Program.encode(tokens, first, second);
        assertEq(whole.length, 141);
        _give(A, 10e18);

        for (uint256 length; length < whole.length; ++length) {
            // What is needed of the table, or where the step begins that the cut goes through.
            uint256 offset = length == 0 ? 2 : length < 100 ? 62 : 100;
            // Cut before a step it is a program, only a shorter one.
            if (length == 62 || length == 100) continue;
            _refused(
                _cut(whole, length), abi.encodeWithSelector(ISwapExecutor.TruncatedProgram.selector, offset, length)
            );
        }
        _execute(whole);
    }

    function test_a_next_pool_must_be_there() external {
        Step memory step = _v2(pairAB, A, B);
        step.to = Program.TO_NEXT_POOL;
        bytes memory program = _program(step);
        // Its address is enough for the step to begin.
        _refused(
            abi.encodePacked(program, new bytes(21)), abi.encodeWithSelector(ISwapExecutor.NothingToSwap.selector, 62)
        );

        _give(A, 10e18);
        _refused(
            program, abi.encodeWithSelector(ISwapExecutor.TruncatedProgram.selector, program.length, program.length)
        );
        bytes memory almost = abi.encodePacked(program, new bytes(20));
        _refused(almost, abi.encodeWithSelector(ISwapExecutor.TruncatedProgram.selector, program.length, almost.length));
    }

    function test_an_unknown_op_is_refused() external {
        _give(A, 10e18);
        for (uint256 op; op < 256; ++op) {
            uint256 kind = op & 7;
            uint256 mode = (op >> 4) & 3;
            if (kind <= Program.CURVE && !(kind != Program.V2 && mode == Program.PREFUNDED) && op >> 6 < 3) continue;
            // Something to swap in every mode, so that only the op is wrong.
            bytes memory chain = Program.step(tokens, _v2(pairAB, A, B));
            bytes memory fee = kind == Program.V2 ? abi.encodePacked(uint24(3000)) : bytes("");
            bytes memory detail = new bytes(kind == Program.V4 ? 25 : kind == Program.BALANCER ? 52 : 21);
            if (kind < Program.V4) detail = "";
            bytes memory step = abi.encodePacked(uint8(op), pairBC, fee, detail, B, uint128(1e18));
            _refused(
                abi.encodePacked(Program.head(tokens), chain, step, new bytes(60)),
                abi.encodeWithSelector(ISwapExecutor.UnknownOp.selector, 87, op)
            );
        }
    }

    function test_a_token_outside_the_table_is_refused() external {
        _give(A, 10e18);
        _refused(_program(_v2(pairAB, 3, B)), abi.encodeWithSelector(ISwapExecutor.TokenOutOfRange.selector, 62, 3, 3));
        _refused(
            _program(_v3(poolAB, 255, B)), abi.encodeWithSelector(ISwapExecutor.TokenOutOfRange.selector, 62, 255, 3)
        );
    }

    function testFuzz_whatever_the_program_no_listed_token_stays(bytes calldata garbage, uint256 seed) external {
        // A sound program in which some bytes are other ones.
        _give(A, 30e18);
        bytes memory program = Program.encode(tokens, _v2(pairAB, A, B), _v3(poolBC, B, C), _v2(pairBC, C, B));
        for (uint256 i; i < garbage.length % 4; ++i) {
            uint256 place = 62 + uint256(keccak256(abi.encode(seed, i))) % (program.length - 62);
            program[place] = garbage[i];
        }
        try executor.execute(program) {
            for (uint8 i; i < 3; ++i) {
                assertEq(TestToken(tokens[i]).balanceOf(address(executor)), 0);
            }
        } catch {
            assertEq(TestToken(tokens[A]).balanceOf(address(executor)), 30e18);
        }
    }

    /* ------------------------------------------------- HELPERS ------------------------------------------------- */

    /// @dev Steps that swap all that is here and keep the proceeds.
    function _v2(address pair, uint8 tokenIn, uint8 tokenOut) internal pure returns (Step memory) {
        return Step(Program.V2, Program.ALL_HERE, Program.TO_EXECUTOR, pair, tokenIn, tokenOut, 3000, 0);
    }

    function _v3(address pool, uint8 tokenIn, uint8 tokenOut) internal pure returns (Step memory) {
        return Step(Program.V3, Program.ALL_HERE, Program.TO_EXECUTOR, pool, tokenIn, tokenOut, 0, 0);
    }

    function _program(Step memory step) internal view returns (bytes memory) {
        return Program.encode(tokens, step);
    }

    function _run(Step memory step) internal {
        _execute(_program(step));
    }

    /// @dev Runs a program; afterwards the executor has nothing left and has granted nothing.
    function _execute(bytes memory program) internal {
        executor.execute(program);
        address[4] memory pools = [pairAB, pairBC, poolAB, poolBC];
        for (uint256 i; i < tokens.length; ++i) {
            assertEq(TestToken(tokens[i]).balanceOf(address(executor)), 0);
            for (uint256 j; j < pools.length; ++j) {
                assertEq(TestToken(tokens[i]).allowance(address(executor), pools[j]), 0);
            }
        }
    }

    function _refused(bytes memory program, bytes memory reason) internal {
        vm.expectRevert(reason);
        executor.execute(program);
    }

    function _asking(int256 amount0, int256 amount1) internal view returns (Call memory) {
        return Call(address(executor), abi.encodeWithSignature(CALLBACK, amount0, amount1, ""));
    }

    /// @dev A swap of `amount` of the first token, of which there is more, with a pool that asks for something else.
    function _refusedToPay(ScriptedPool pool, uint256 amount) internal {
        Step memory step = _v3(address(pool), A, B);
        (step.mode, step.amount) = (Program.EXACT, uint128(amount));
        TestToken(tokens[A]).mint(address(executor), 1 << 100);
        _refused(_program(step), abi.encodeWithSelector(ISwapExecutor.UnexpectedCallback.selector, address(pool)));
    }

    function _give(uint8 token, uint256 amount) internal {
        TestToken(tokens[token]).mint(address(executor), amount);
    }

    function _mine(uint8 token) internal view returns (uint256) {
        return TestToken(tokens[token]).balanceOf(address(this));
    }

    function _cut(bytes memory data, uint256 length) internal pure returns (bytes memory cut) {
        cut = new bytes(length);
        for (uint256 i; i < length; ++i) {
            cut[i] = data[i];
        }
    }
}
