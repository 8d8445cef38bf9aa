// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title  Fragment
/// @notice What the lens's fragments share. A fragment reads the pools of one venue, and gives each back ABI-encoded: who
///         asked knows the venue, and so what its pools look like.
abstract contract Fragment {
    /// @notice A pool that was asked for by name is not what the configuration says it is.
    error NotAdmitted(address pool);
    /// @notice A pool that was asked for by name trades a token that is not among those that were.
    error TokenNotListed(address pool, address token);

    /// @dev Every pair of tokens, the lower address first.
    function _pairs(address[] memory tokens) internal pure returns (address[2][] memory pairs) {
        pairs = new address[2][](tokens.length * (tokens.length - 1) / 2);
        uint256 count;
        for (uint256 i; i < tokens.length; ++i) {
            for (uint256 j = i + 1; j < tokens.length; ++j) {
                pairs[count++] = tokens[i] < tokens[j] ? [tokens[i], tokens[j]] : [tokens[j], tokens[i]];
            }
        }
    }

    function _requireListed(address pool, address[] memory wanted, address[] memory tokens) internal pure {
        for (uint256 i; i < wanted.length; ++i) {
            bool listed;
            for (uint256 j; j < tokens.length; ++j) {
                if (tokens[j] == wanted[i]) listed = true;
            }
            if (!listed) revert TokenNotListed(pool, wanted[i]);
        }
    }

    /// @dev Whether a pool holds something of each of its tokens; nothing can be swapped before it does.
    function _filled(uint256[] memory balances) internal pure returns (bool) {
        for (uint256 i; i < balances.length; ++i) {
            if (balances[i] == 0) return false;
        }
        return true;
    }

    /// @dev The first `count` of `pools`.
    function _first(bytes[] memory pools, uint256 count) internal pure returns (bytes[] memory) {
        assembly ("memory-safe") {
            mstore(pools, count)
        }
        return pools;
    }
}
