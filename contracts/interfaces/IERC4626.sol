// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice What the oracle reads of a token, and of one that is an ERC-4626 share.
interface IERC4626 {
    function decimals() external view returns (uint8);
    function asset() external view returns (address);
    function convertToAssets(uint256 shares) external view returns (uint256);
}
