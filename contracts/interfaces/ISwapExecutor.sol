// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title  ISwapExecutor
/// @notice Runs a packed program of pool swaps with whatever tokens it was sent, and returns what is left to the
///         caller. It has no owner, no storage and no funds between calls, and it needs no trust: the vault judges
///         the outcome.
/// @dev    program := count:u8, token:20 x count, step*
///         step    := op:u8, pool:20, tokenIn:u8, tokenOut:u8, [fee:u24 for V2], [amount:u128 if amount mode 0]
///         op      := kind (bits 0-3) | amount mode (bits 4-5) | recipient (bits 6-7)
///         kind        0 Uniswap V2 pair or fork (fee in millionths), 1 Uniswap V3 pool
///         amount mode 0 exactly `amount`, 1 all of tokenIn that is here, 2 all that already lies in the pair (V2)
///         recipient   0 this contract, 1 the caller, 2 the pool of the next step
///         `tokenIn` and `tokenOut` are places in the token table. Every token of the table is swept to the caller.
interface ISwapExecutor {
    error TruncatedProgram(uint256 offset, uint256 length);
    error UnknownOp(uint256 offset, uint256 op);
    error TokenOutOfRange(uint256 offset, uint256 index, uint256 count);
    /// @notice A callback came from an address that is not being swapped with.
    error UnexpectedCallback(address caller, address expected);
    /// @notice A pool asked for more than the step may spend.
    error CallbackTooGreedy(address pool, uint256 asked, uint256 allowed);
    /// @notice A step had nothing to swap.
    error NothingToSwap(uint256 offset, address token);

    /// @notice Runs `program` and sends every listed token that is left to the caller.
    function execute(bytes calldata program) external;
}
