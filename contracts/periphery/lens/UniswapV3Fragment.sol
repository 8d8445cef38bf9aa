// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IUniswapV3Factory, IUniswapV3Pool} from "../../interfaces/IUniswap.sol";
import {ConcentratedState, TickFragment} from "./TickFragment.sol";

/// @notice Uniswap V3 and its forks: the factory's pools of any two tokens, if they have a price.
abstract contract UniswapV3Fragment is TickFragment {
    /// @param terms The factory, and the fee tiers to ask it for.
    function _readUniswapV3(bytes memory terms, address[] memory tokens, uint256 tickWords)
        internal
        view
        returns (bytes[] memory pools)
    {
        (address factory, uint24[] memory fees) = abi.decode(terms, (address, uint24[]));
        address[2][] memory pairs = _pairs(tokens);
        pools = new bytes[](pairs.length * fees.length);
        uint256 found;
        for (uint256 i; i < pools.length; ++i) {
            ConcentratedState memory p;
            (p.token0, p.token1) = (pairs[i / fees.length][0], pairs[i / fees.length][1]);
            p.fee = fees[i % fees.length];
            IUniswapV3Pool pool = IUniswapV3Pool(IUniswapV3Factory(factory).getPool(p.token0, p.token1, p.fee));
            if (address(pool) == address(0)) continue;
            (p.sqrtPriceX96, p.tick,,,,,) = pool.slot0();
            if (p.sqrtPriceX96 == 0) continue;
            p.id = bytes32(uint256(uint160(address(pool))));
            p.liquidity = pool.liquidity();
            p.tickSpacing = pool.tickSpacing();
            _readTicks(p, [p.id, bytes32(0)], tickWords, _wordV3, _netV3);
            pools[found++] = abi.encode(p);
        }
        return _first(pools, found);
    }

    function _wordV3(bytes32[2] memory where, int16 place) private view returns (uint256) {
        return IUniswapV3Pool(address(uint160(uint256(where[0])))).tickBitmap(place);
    }

    function _netV3(bytes32[2] memory where, int24 tick) private view returns (int128 net) {
        (, net,,,,,,) = IUniswapV3Pool(address(uint160(uint256(where[0])))).ticks(tick);
    }
}
