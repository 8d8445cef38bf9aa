// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Fragment} from "./Fragment.sol";

struct TickState {
    int24 index;
    int128 liquidityNet;
}

struct ConcentratedState {
    /// Of a V4 pool its id, of a V3 pool its address.
    bytes32 id;
    address token0;
    address token1;
    uint24 fee;
    int24 tickSpacing;
    uint160 sqrtPriceX96;
    uint128 liquidity;
    int24 tick;
    /// Every initialised tick from `tickLower` to `tickUpper` is listed, both included.
    int24 tickLower;
    int24 tickUpper;
    TickState[] ticks;
}

/// @notice A window of a pool's ticks, wherever the pool keeps them.
abstract contract TickFragment is Fragment {
    int24 internal constant MIN_TICK = -887272;
    int24 internal constant MAX_TICK = 887272;

    /// @param where What `word` and `net` read from.
    /// @param word A word of the pool's tick bitmap.
    /// @param net What joins the liquidity when the price rises past a tick.
    function _readTicks(
        ConcentratedState memory p,
        bytes32[2] memory where,
        uint256 tickWords,
        function(bytes32[2] memory, int16) view returns (uint256) word,
        function(bytes32[2] memory, int24) view returns (int128) net
    ) internal view {
        int256 spacing = p.tickSpacing;
        int256 current = _floorDiv(_floorDiv(p.tick, spacing), 256);
        int256 first = _max(current - int256(tickWords), _floorDiv(_floorDiv(MIN_TICK, spacing), 256));
        int256 last = _min(current + int256(tickWords), _floorDiv(MAX_TICK / spacing, 256));
        p.tickLower = int24(_max(first * 256 * spacing, MIN_TICK));
        // The first tick of the word above belongs to the window: the price may rise to it.
        p.tickUpper = int24(_min((last + 1) * 256 * spacing, MAX_TICK));

        uint256[] memory words = new uint256[](uint256(last - first) + 2);
        uint256 count;
        for (uint256 i; i < words.length; ++i) {
            int256 place = first + int256(i);
            if (place * 256 * spacing <= MAX_TICK) words[i] = word(where, int16(place));
            if (place > last) words[i] &= 1;
            for (uint256 bits = words[i]; bits != 0; bits &= bits - 1) {
                ++count;
            }
        }
        p.ticks = new TickState[](count);
        _list(p.ticks, words, first, spacing);
        for (uint256 i; i < count; ++i) {
            p.ticks[i].liquidityNet = net(where, p.ticks[i].index);
        }
    }

    /// @dev Names the ticks whose bits are set.
    function _list(TickState[] memory ticks, uint256[] memory words, int256 first, int256 spacing) private pure {
        uint256 listed;
        for (uint256 i; i < words.length; ++i) {
            for (uint256 bit; words[i] >> bit != 0; ++bit) {
                if ((words[i] >> bit) & 1 == 0) continue;
                ticks[listed++].index = int24(((first + int256(i)) * 256 + int256(bit)) * spacing);
            }
        }
    }

    function _floorDiv(int256 a, int256 b) internal pure returns (int256 q) {
        q = a / b;
        if (a % b != 0 && a < 0) --q;
    }

    function _max(int256 a, int256 b) internal pure returns (int256) {
        return a > b ? a : b;
    }

    function _min(int256 a, int256 b) internal pure returns (int256) {
        return a < b ? a : b;
    }
}
