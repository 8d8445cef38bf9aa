// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IUniswapV2Factory, IUniswapV2Pair} from "../../interfaces/IUniswap.sol";
import {Fragment} from "./Fragment.sol";

struct PairState {
    address pair;
    address token0;
    address token1;
    uint256 reserve0;
    uint256 reserve1;
}

/// @notice Uniswap V2 and its forks: the factory's pair of any two tokens, unless it is empty.
abstract contract UniswapV2Fragment is Fragment {
    /// @param terms The factory.
    function _readUniswapV2(bytes memory terms, address[] memory tokens) internal view returns (bytes[] memory pools) {
        address factory = abi.decode(terms, (address));
        address[2][] memory pairs = _pairs(tokens);
        pools = new bytes[](pairs.length);
        uint256 found;
        for (uint256 i; i < pairs.length; ++i) {
            PairState memory p;
            (p.token0, p.token1) = (pairs[i][0], pairs[i][1]);
            p.pair = IUniswapV2Factory(factory).getPair(p.token0, p.token1);
            if (p.pair == address(0)) continue;
            (p.reserve0, p.reserve1,) = IUniswapV2Pair(p.pair).getReserves();
            if (p.reserve0 != 0 && p.reserve1 != 0) pools[found++] = abi.encode(p);
        }
        return _first(pools, found);
    }
}
