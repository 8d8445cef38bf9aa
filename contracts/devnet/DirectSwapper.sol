// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title  DirectSwapper
/// @notice Swaps its own tokens with pools, and nothing else: no oracle, no accounting, no minimum, no lock. What a
///         rebalance of the same swaps cannot cost less than, and what its price is measured against.
/// @dev    For benchmarks. Calldata is a list of records of 69 bytes, without a selector:
///         record := flags:u8, tokenIn:20, pool:20, amountIn:u112, amountOut:u112
///         flags  := 1 token0 is sold, 2 the input lies in the pair already, 4 the output goes to the next record's
///                   pool, 8 a V3 pool (amountOut is not read)
contract DirectSwapper {
    address internal immutable _owner = msg.sender;

    /// @dev Anything else is as good as a stranger's transfer: whoever starts the transaction is the only guard.
    function uniswapV3SwapCallback(int256 amount0, int256 amount1, bytes calldata) external {
        address owner = _owner;
        assembly ("memory-safe") {
            if sub(origin(), owner) { revert(0, 0) }
            mstore(0x00, 0xa9059cbb000000000000000000000000) // transfer(address,uint256)
            mstore(0x14, caller())
            // The delta that the pool is owed is the positive one.
            mstore(0x34, xor(amount0, mul(xor(amount0, amount1), sgt(amount1, 0))))
            // The only word of the callback's data is the token.
            if iszero(call(gas(), calldataload(0x84), 0, 0x10, 0x44, 0, 0)) { revert(0, 0) }
            mstore(0x34, 0)
        }
    }

    fallback() external {
        address owner = _owner;
        // Owns all of memory: it never returns to Solidity.
        assembly {
            if sub(caller(), owner) { revert(0, 0) }
            for { let at := 0 } lt(at, calldatasize()) { at := add(at, 69) } {
                let flags := byte(0, calldataload(at))
                let token := shr(96, calldataload(add(at, 1)))
                let pool := shr(96, calldataload(add(at, 21)))
                let amount := shr(144, calldataload(add(at, 41)))
                let to := address()
                if and(flags, 4) { to := shr(96, calldataload(add(at, 90))) }

                switch and(flags, 8)
                case 0 {
                    if iszero(and(flags, 2)) {
                        mstore(0x00, shl(224, 0xa9059cbb)) // transfer(address,uint256)
                        mstore(0x04, pool)
                        mstore(0x24, amount)
                        if iszero(call(gas(), token, 0, 0, 0x44, 0, 0)) { revert(0, 0) }
                    }
                    let out := shr(144, calldataload(add(at, 55)))
                    let sells0 := and(flags, 1)
                    mstore(0x00, shl(224, 0x022c0d9f)) // swap(uint256,uint256,address,bytes)
                    mstore(0x04, mul(out, iszero(sells0)))
                    mstore(0x24, mul(out, sells0))
                    mstore(0x44, to)
                    mstore(0x64, 0x80)
                    mstore(0x84, 0)
                    if iszero(call(gas(), pool, 0, 0, 0xa4, 0, 0)) { revert(0, 0) }
                }
                default {
                    mstore(0x00, shl(224, 0x128acb08)) // swap(address,bool,int256,uint160,bytes)
                    mstore(0x04, to)
                    mstore(0x24, and(flags, 1))
                    mstore(0x44, amount)
                    mstore(0x64, 4295128740)
                    if iszero(and(flags, 1)) {
                        mstore(0x64, 1461446703485210103287273052203988822378723970341)
                    }
                    mstore(0x84, 0xa0)
                    mstore(0xa4, 0x20)
                    mstore(0xc4, token)
                    if iszero(call(gas(), pool, 0, 0, 0xe4, 0, 0)) { revert(0, 0) }
                }
            }
        }
    }
}
