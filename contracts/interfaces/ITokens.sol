// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice What Ballast calls of wrapped ether, beside its ERC-20 side.
interface IWETH {
    function deposit() external payable;
    function withdraw(uint256 amount) external;
}

/// @notice What a token says of allowances.
interface IAllowance {
    function allowance(address owner, address spender) external view returns (uint256);
}
