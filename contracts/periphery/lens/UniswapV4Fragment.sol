// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IPoolManager, PoolKey} from "../../interfaces/IUniswapV4.sol";
import {ConcentratedState, TickFragment} from "./TickFragment.sol";

/// @notice A fee (millionths) and a tick spacing that V4 pools are opened with.
struct Tier {
    uint24 fee;
    int24 tickSpacing;
}

/// @notice Uniswap V4: the pools without hooks of any two tokens, if they have a price. A pool of ether counts as one of
///         WETH. Left out is a pool whose fee is not the same both ways, for a pool that is read has one fee.
abstract contract UniswapV4Fragment is TickFragment {
    /// @dev Where the manager keeps its pools by id, and where a pool's state has its parts.
    uint256 internal constant POOLS = 6;
    uint256 internal constant LIQUIDITY = 3;
    uint256 internal constant TICKS = 4;
    uint256 internal constant TICK_BITMAP = 5;

    /// @param terms The PoolManager, and the tiers to look for.
    function _readUniswapV4(bytes memory terms, address[] memory tokens, address weth, uint256 tickWords)
        internal
        view
        returns (bytes[] memory pools)
    {
        (address manager, Tier[] memory tiers) = abi.decode(terms, (address, Tier[]));
        PoolKey[] memory keys = _keys(_pairs(tokens), weth, tiers);
        pools = new bytes[](keys.length);
        uint256 found;
        for (uint256 i; i < keys.length; ++i) {
            ConcentratedState memory p = _readV4(manager, keys[i], tickWords);
            if (p.sqrtPriceX96 == 0) continue;
            if (p.token0 == address(0)) p.token0 = weth;
            pools[found++] = abi.encode(p);
        }
        return _first(pools, found);
    }

    /// @dev The keys that pools of these pairs may have; a pair with WETH may be one with ether, which sorts first.
    function _keys(address[2][] memory pairs, address weth, Tier[] memory tiers)
        private
        pure
        returns (PoolKey[] memory keys)
    {
        keys = new PoolKey[](2 * pairs.length * tiers.length);
        uint256 count;
        for (uint256 i; i < pairs.length; ++i) {
            (address a, address b) = (pairs[i][0], pairs[i][1]);
            for (uint256 k; k < tiers.length; ++k) {
                Tier memory tier = tiers[k];
                keys[count++] = PoolKey(a, b, tier.fee, tier.tickSpacing, address(0));
                if (a != weth && b != weth) continue;
                keys[count++] = PoolKey(address(0), a == weth ? b : a, tier.fee, tier.tickSpacing, address(0));
            }
        }
        assembly ("memory-safe") {
            mstore(keys, count)
        }
    }

    /// @return p Its price is zero where there is no pool that can be read.
    function _readV4(address manager, PoolKey memory key, uint256 tickWords)
        private
        view
        returns (ConcentratedState memory p)
    {
        (p.token0, p.token1, p.tickSpacing) = (key.currency0, key.currency1, key.tickSpacing);
        p.id = keccak256(abi.encode(key));
        bytes32[2] memory where = [bytes32(uint256(uint160(manager))), keccak256(abi.encode(p.id, POOLS))];
        uint256 slot0 = _load(where, uint256(where[1]));
        uint256 protocolFee = (slot0 >> 184) & 0xfff;
        uint256 fee = uint24(slot0 >> 208);
        // The liquidity providers' part is of what the protocol's leaves.
        fee = protocolFee + fee - protocolFee * fee / 1e6;
        if (protocolFee != (slot0 >> 196) & 0xfff || fee >= 1e6) return p;
        p.sqrtPriceX96 = uint160(slot0);
        if (p.sqrtPriceX96 == 0) return p;
        p.tick = int24(uint24(slot0 >> 160));
        p.fee = uint24(fee);
        p.liquidity = uint128(_load(where, uint256(where[1]) + LIQUIDITY));
        _readTicks(p, where, tickWords, _wordV4, _netV4);
    }

    function _wordV4(bytes32[2] memory where, int16 place) private view returns (uint256) {
        return _load(where, uint256(keccak256(abi.encode(place, uint256(where[1]) + TICK_BITMAP))));
    }

    function _netV4(bytes32[2] memory where, int24 tick) private view returns (int128) {
        return int128(int256(_load(where, uint256(keccak256(abi.encode(tick, uint256(where[1]) + TICKS))))) >> 128);
    }

    function _load(bytes32[2] memory where, uint256 slot) private view returns (uint256) {
        return uint256(IPoolManager(address(uint160(uint256(where[0])))).extsload(bytes32(slot)));
    }
}
