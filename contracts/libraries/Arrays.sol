// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title  Arrays
/// @notice Elements of memory arrays without the compiler's check of each index, for the loops of a rebalance. They run
///         over arrays in index order that are all as long as the basket, so that the check finds nothing: it costs 35 gas
///         each time, which is 11,000 for nine assets.
/// @dev    Elements are named by their offset, taken once for all arrays of a loop.
library Arrays {
    /// @notice Where element `i` lies.
    function offset(uint256 i) internal pure returns (uint256 at) {
        assembly ("memory-safe") {
            at := shl(5, add(i, 1))
        }
    }

    function get(uint256[] memory array, uint256 at) internal pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := mload(add(array, at))
        }
    }

    function get(address[] memory array, uint256 at) internal pure returns (address value) {
        assembly ("memory-safe") {
            value := mload(add(array, at))
        }
    }

    function get(bool[] memory array, uint256 at) internal pure returns (bool value) {
        assembly ("memory-safe") {
            value := mload(add(array, at))
        }
    }

    function set(uint256[] memory array, uint256 at, uint256 value) internal pure {
        assembly ("memory-safe") {
            mstore(add(array, at), value)
        }
    }

    /// @notice Another array with the same elements.
    function copy(uint256[] memory array) internal pure returns (uint256[] memory copied) {
        assembly ("memory-safe") {
            let size := shl(5, add(mload(array), 1))
            copied := mload(0x40)
            mcopy(copied, array, size)
            mstore(0x40, add(copied, size))
        }
    }

    /// @notice How many elements are true.
    function count(bool[] memory array) internal pure returns (uint256 sum) {
        assembly ("memory-safe") {
            let end := add(array, shl(5, add(mload(array), 1)))
            for { let at := add(array, 0x20) } lt(at, end) { at := add(at, 0x20) } { sum := add(sum, mload(at)) }
        }
    }
}
