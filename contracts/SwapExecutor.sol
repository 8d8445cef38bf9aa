// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ReentrancyGuardTransient} from "solady/utils/ReentrancyGuardTransient.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {ISwapExecutor} from "./interfaces/ISwapExecutor.sol";
import {IUniswapV2Pair, IUniswapV3Pool} from "./interfaces/IUniswap.sol";

/// @title  SwapExecutor
/// @notice Runs packed swap programs against pools, without routers. It grants no allowance and never takes tokens
///         from anyone: it spends only what it was sent, and sends what is left to the caller.
contract SwapExecutor is ISwapExecutor, ReentrancyGuardTransient {
    using SafeTransferLib for address;

    uint256 internal constant KIND_UNISWAP_V2 = 0;
    uint256 internal constant KIND_UNISWAP_V3 = 1;

    uint256 internal constant AMOUNT_EXACT = 0;
    uint256 internal constant AMOUNT_ALL_HERE = 1;
    uint256 internal constant AMOUNT_PREFUNDED = 2;

    uint256 internal constant TO_EXECUTOR = 0;
    uint256 internal constant TO_CALLER = 1;
    uint256 internal constant TO_NEXT_POOL = 2;

    uint256 internal constant PIPS = 1e6;

    /// @dev Ends of the V3 price range, exclusive: a swap with these limits stops only when it is done or the pool is
    ///      empty.
    uint160 internal constant MIN_SQRT_PRICE = 4295128739;
    uint160 internal constant MAX_SQRT_PRICE = 1461446703485210103287273052203988822378723970342;

    /// @dev The pool that may call back now, and what it may take. Zero outside a V3 swap.
    address internal transient _expected;
    address internal transient _owedToken;
    uint256 internal transient _owedMost;

    struct Step {
        uint256 kind;
        uint256 amountMode;
        address pool;
        address tokenIn;
        address tokenOut;
        uint256 fee;
        uint256 amount;
        address recipient;
    }

    /// @inheritdoc ISwapExecutor
    function execute(bytes calldata program) external nonReentrant {
        if (program.length == 0) revert TruncatedProgram(0, 0);
        uint256 count = uint8(program[0]);
        uint256 at = 1 + 20 * count;
        if (program.length < at) revert TruncatedProgram(at, program.length);

        while (at < program.length) {
            (Step memory step, uint256 next) = _read(program, at, count);
            if (step.kind == KIND_UNISWAP_V2) _swapV2(step, at);
            else _swapV3(step, at);
            at = next;
        }

        for (uint256 i; i < count; ++i) {
            address token = _token(program, i);
            uint256 left = token.balanceOf(address(this));
            if (left != 0) token.safeTransfer(msg.sender, left);
        }
    }

    /// @notice Pays a V3 pool in the middle of its swap.
    function uniswapV3SwapCallback(int256 amount0, int256 amount1, bytes calldata) external {
        if (msg.sender != _expected) revert UnexpectedCallback(msg.sender, _expected);
        // Cleared on use: a pool is paid once.
        _expected = address(0);
        uint256 asked = uint256(amount0 > 0 ? amount0 : amount1);
        if (asked > _owedMost) revert CallbackTooGreedy(msg.sender, asked, _owedMost);
        _owedToken.safeTransfer(msg.sender, asked);
    }

    function _swapV2(Step memory step, uint256 at) internal {
        // The time of the reserves does not matter.
        // slither-disable-next-line unused-return
        (uint256 reserveIn, uint256 reserveOut,) = IUniswapV2Pair(step.pool).getReserves();
        bool zeroForOne = step.tokenIn < step.tokenOut;
        if (!zeroForOne) (reserveIn, reserveOut) = (reserveOut, reserveIn);

        uint256 amountIn;
        if (step.amountMode == AMOUNT_PREFUNDED) {
            amountIn = step.tokenIn.balanceOf(step.pool) - reserveIn;
        } else {
            amountIn = _spendable(step);
            step.tokenIn.safeTransfer(step.pool, amountIn);
        }
        if (amountIn == 0) revert NothingToSwap(at, step.tokenIn);

        uint256 afterFee = amountIn * (PIPS - step.fee);
        uint256 amountOut = afterFee * reserveOut / (reserveIn * PIPS + afterFee);
        IUniswapV2Pair(step.pool)
            .swap(zeroForOne ? 0 : amountOut, zeroForOne ? amountOut : 0, step.recipient, new bytes(0));
    }

    function _swapV3(Step memory step, uint256 at) internal {
        uint256 amountIn = _spendable(step);
        if (amountIn == 0) revert NothingToSwap(at, step.tokenIn);
        bool zeroForOne = step.tokenIn < step.tokenOut;
        // Transient, a hundred gas.
        // slither-disable-next-line costly-loop
        (_expected, _owedToken, _owedMost) = (step.pool, step.tokenIn, amountIn);
        // What came out is measured by the vault; the lock is held, and only this pool may call back.
        // slither-disable-next-line unused-return,reentrancy-benign
        IUniswapV3Pool(step.pool)
            .swap(
                step.recipient,
                zeroForOne,
                int256(amountIn),
                zeroForOne ? MIN_SQRT_PRICE + 1 : MAX_SQRT_PRICE - 1,
                new bytes(0)
            );
        // A pool that never called back must not be able to later. Transient as well.
        // slither-disable-next-line costly-loop
        _expected = address(0);
    }

    function _spendable(Step memory step) internal view returns (uint256) {
        return step.amountMode == AMOUNT_ALL_HERE ? step.tokenIn.balanceOf(address(this)) : step.amount;
    }

    /* ------------------------------------------------- READING ------------------------------------------------- */

    function _read(bytes calldata program, uint256 at, uint256 count)
        internal
        view
        returns (Step memory step, uint256 next)
    {
        if (program.length < at + 23) revert TruncatedProgram(at, program.length);
        uint256 op = uint8(program[at]);
        step.kind = op & 0x0f;
        step.amountMode = (op >> 4) & 3;
        if (
            step.kind > KIND_UNISWAP_V3 || step.amountMode > AMOUNT_PREFUNDED
                || (step.kind == KIND_UNISWAP_V3 && step.amountMode == AMOUNT_PREFUNDED)
        ) revert UnknownOp(at, op);
        step.pool = address(bytes20(program[at + 1:at + 21]));
        step.tokenIn = _checkedToken(program, at, uint8(program[at + 21]), count);
        step.tokenOut = _checkedToken(program, at, uint8(program[at + 22]), count);

        next = at + 23;
        if (step.kind == KIND_UNISWAP_V2) {
            if (program.length < next + 3) revert TruncatedProgram(next, program.length);
            step.fee = uint24(bytes3(program[next:next + 3]));
            next += 3;
        }
        if (step.amountMode == AMOUNT_EXACT) {
            if (program.length < next + 16) revert TruncatedProgram(next, program.length);
            step.amount = uint128(bytes16(program[next:next + 16]));
            next += 16;
        }
        step.recipient = _recipient(program, at, op, next);
    }

    function _recipient(bytes calldata program, uint256 at, uint256 op, uint256 next) internal view returns (address) {
        uint256 to = op >> 6;
        if (to == TO_EXECUTOR) return address(this);
        if (to == TO_CALLER) return msg.sender;
        if (to != TO_NEXT_POOL) revert UnknownOp(at, op);
        if (program.length < next + 21) revert TruncatedProgram(next, program.length);
        return address(bytes20(program[next + 1:next + 21]));
    }

    function _checkedToken(bytes calldata program, uint256 at, uint256 index, uint256 count)
        internal
        pure
        returns (address)
    {
        if (index >= count) revert TokenOutOfRange(at, index, count);
        return _token(program, index);
    }

    function _token(bytes calldata program, uint256 index) internal pure returns (address) {
        return address(bytes20(program[1 + 20 * index:21 + 20 * index]));
    }

    /// @dev One lock on every chain.
    function _useTransientReentrancyGuardOnlyOnMainnet() internal pure override returns (bool) {
        return false;
    }
}
