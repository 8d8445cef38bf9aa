// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title  ISwapExecutor
/// @notice Runs a packed program of pool swaps with whatever tokens it was sent, and returns what is left to the
///         caller. It has no owner, no storage and no funds between calls, and it needs no trust: the vault judges
///         the outcome.
/// @dev    program := count:u8, token:20 x count, step*
///         step    := op:u8, pool:20, [fee:u24 for V2], [token:u8], [amount:u128]
///         op      := kind (bits 0-2) | token0 is sold (bit 3) | amount mode (bits 4-5) | recipient (bits 6-7)
///         kind        0 Uniswap V2 pair or fork (fee in millionths), 1 Uniswap V3 pool
///         amount mode 0 `amount` of `token`, out of what is here
///                     1 all of `token` that is here
///                     2 `amount`, which lies in the pair already (V2)
///                     3 what the step before paid out: it lies in the pair already (V2), or is `token` here (V3)
///         recipient   0 this contract, 1 the caller, 2 the pool of the next step
///         The table lists the tokens that pass through this contract: `token` is a place in it, and every one of them
///         is swept to the caller. A token that only moves from pool to pool is named nowhere.
interface ISwapExecutor {
    error TruncatedProgram(uint256 offset, uint256 length);
    error UnknownOp(uint256 offset, uint256 op);
    error TokenOutOfRange(uint256 offset, uint256 index, uint256 count);
    /// @notice A callback came from an address that is not being swapped with, or not as it was asked for.
    error UnexpectedCallback(address caller);
    /// @notice A pool asked for more than the step may spend.
    error CallbackTooGreedy(address pool, uint256 asked, uint256 allowed);
    /// @notice A step had nothing to swap.
    error NothingToSwap(uint256 offset);

    /// @notice Runs `program` and sends every listed token that is left to the caller.
    function execute(bytes calldata program) external;
}
