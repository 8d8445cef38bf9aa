// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title  Tokens
/// @notice Calls to tokens that may do anything: each gets a fixed amount of gas, and no more of what it returns is
///         read than one word. Nobody can block the exit with a token, nor force a claim by leaving too little gas.
library Tokens {
    /// @dev Enough for a proxied, rebasing token; 32 of the worst still fit in one transaction.
    uint256 internal constant BALANCE_GAS = 50_000;
    uint256 internal constant TRANSFER_GAS = 250_000;

    error NotEnoughGas(uint256 left, uint256 needed);

    /// @notice `ok` is false if the token reverts, runs out, or returns less than a word.
    function tryBalanceOf(address token, address account) internal view returns (bool ok, uint256 amount) {
        _checkGas(BALANCE_GAS);
        assembly ("memory-safe") {
            mstore(0x14, account)
            // The selector of balanceOf, where the call begins.
            // slither-disable-next-line too-many-digits
            mstore(0x00, 0x70a08231000000000000000000000000)
            ok := staticcall(BALANCE_GAS, token, 0x10, 0x24, 0x20, 0x20)
            ok := and(ok, gt(returndatasize(), 0x1f))
            amount := mul(mload(0x20), ok)
        }
    }

    /// @notice Whether the token says that it sent: it has code, did not revert, and returned nothing or true.
    function trySend(address token, address to, uint256 amount) internal returns (bool ok) {
        _checkGas(TRANSFER_GAS);
        assembly ("memory-safe") {
            mstore(0x14, to)
            mstore(0x34, amount)
            // The selector of transfer, where the call begins.
            // slither-disable-next-line too-many-digits
            mstore(0x00, 0xa9059cbb000000000000000000000000)
            ok := call(TRANSFER_GAS, token, 0, 0x10, 0x44, 0x00, 0x20)
            ok := and(
                ok,
                or(
                    and(iszero(returndatasize()), gt(extcodesize(token), 0)),
                    and(gt(returndatasize(), 0x1f), eq(mload(0x00), 1))
                )
            )
            mstore(0x34, 0) // Restores the part of the free memory pointer that the amount overwrote.
        }
    }

    /// @dev A call gets at most 63/64 of what is left (EIP-150); the rest must do for what follows the call.
    function _checkGas(uint256 stipend) private view {
        uint256 needed = stipend + stipend / 63 + 10_000;
        if (gasleft() < needed) revert NotEnoughGas(gasleft(), needed);
    }
}
