// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title  ISwapExecutor
/// @notice Runs a packed program of pool swaps with whatever tokens it was sent, and returns what is left to the
///         caller. It has no owner, no storage and no funds between calls, and it needs no trust: the vault judges
///         the outcome.
/// @dev    program := count:u8, swept:u8, token:20 x count, step*
///         step    := op:u8, pool:20, [fee:u24 for V2], [detail], [token:u8], [amount:u128]
///         op      := kind (bits 0-2) | token0 is sold (bit 3) | amount mode (bits 4-5) | recipient (bits 6-7)
///         kind        0 Uniswap V2 pair or fork (fee in millionths), 1 Uniswap V3 pool,
///                     2 Uniswap V4 pool without hooks (`pool` is the PoolManager),
///                     3 Balancer V2 pool (`pool` is the Vault), 4 Curve pool with `exchange(int128,int128,...)`
///         amount mode 0 `amount` of `token`, out of what is here
///                     1 all of `token` that is here
///                     2 `amount`, which lies in the pair already (V2)
///                     3 what the step before paid out: it lies in the pair already (V2), or is `token` here (others)
///         recipient   0 this contract, 1 the caller, 2 the pool of the next step (a V2 pair)
///         detail      V4       bought:20, fee:u24, spacing:u16; spacing with bit 15 set: WETH stands for ether
///                     Balancer bought:20, id:32
///                     Curve    bought:20, coins:u8 (number of the sold coin in bits 4-7, of the bought in bits 0-3)
///         The table lists the tokens that pass through this contract: `token` is a place in it, and what is left of the
///         first `swept` goes to the caller. A token that only moves from pool to pool is not in it. One that steps of V2
///         and V3 spend to the last unit need not be swept, which saves 850 gas: they pay exactly their amount, or fail.
///         Only V4 looks at bit 3 beside V2 and V3: it tells the order of the pool's key, in which ether comes first.
interface ISwapExecutor {
    error TruncatedProgram(uint256 offset, uint256 length);
    error UnknownOp(uint256 offset, uint256 op);
    error TokenOutOfRange(uint256 offset, uint256 index, uint256 count);
    /// @notice A callback came from an address that is not being swapped with, or not as it was asked for.
    error UnexpectedCallback(address caller);
    /// @notice A pool asked for more than the step may spend.
    error CallbackTooGreedy(address pool, uint256 asked, uint256 allowed);
    /// @notice Ether came from neither WETH nor a PoolManager that pays some out.
    error UnexpectedEther(address sender);
    /// @notice A step had nothing to swap.
    error NothingToSwap(uint256 offset);

    /// @notice Runs `program` and sends every listed token that is left to the caller.
    function execute(bytes calldata program) external;
}
