// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice What identifies a V4 pool: its hash is the pool's id. Ether is the zero address.
struct PoolKey {
    address currency0;
    address currency1;
    uint24 fee;
    int24 tickSpacing;
    address hooks;
}

/// @notice A swap in a V4 pool; an amount below zero is spent, one above is obtained.
struct SwapParams {
    bool zeroForOne;
    int256 amountSpecified;
    uint160 sqrtPriceLimitX96;
}

/// @notice What Ballast calls of the Uniswap V4 PoolManager.
interface IPoolManager {
    function unlock(bytes calldata data) external returns (bytes memory);

    /// @return deltas What the manager owes the caller (below zero: is owed): of currency0 in the upper half, of
    ///         currency1 in the lower.
    function swap(PoolKey calldata key, SwapParams calldata params, bytes calldata hookData)
        external
        returns (int256 deltas);

    function sync(address currency) external;
    function settle() external payable returns (uint256 paid);
    function take(address currency, address to, uint256 amount) external;
    function extsload(bytes32 slot) external view returns (bytes32 value);
}
