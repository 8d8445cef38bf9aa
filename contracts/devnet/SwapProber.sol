// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IUniswapV2Pair, IUniswapV3Pool} from "../interfaces/IUniswap.sol";
import {DevLiquidity, IPairSource, IPoolSource} from "./DevLiquidity.sol";
import {DevToken} from "./DevToken.sol";

interface IFeeSource {
    function owner() external view returns (address);
    function feeAmountTickSpacing(uint24 fee) external view returns (int24);
    function enableFeeAmount(uint24 fee, int24 tickSpacing) external;
}

interface ISyncable {
    function sync() external;
}

/// @title  SwapProber
/// @notice Opens a pool of two fresh tokens through a real factory, trades with it, and reports every outcome: what
///         the keeper's pool arithmetic is compared with.
/// @dev    For tests, inside an `eth_call`: nothing of it ever gets onto a chain. To open V3 pools with any fee it must
///         stand at the address of the factory's owner.
contract SwapProber is DevLiquidity {
    struct Swap {
        bool zeroForOne;
        int256 amountSpecified;
        uint160 sqrtPriceLimitX96;
    }

    struct Swapped {
        bool done;
        int256 amount0;
        int256 amount1;
        uint160 sqrtPriceX96;
        int24 tick;
        uint128 liquidity;
    }

    struct PairSwap {
        bool zeroForOne;
        uint256 amountIn;
        uint256 amountOut;
    }

    struct PairSwapped {
        /// The pair paid one unit more than `amountOut`.
        bool paidMore;
        bool done;
        uint112 reserve0;
        uint112 reserve1;
    }

    /// @notice Opens a V3 pool and swaps with it, one swap after the other; a swap that reverts changes nothing.
    function probePool(
        address factory,
        uint24 fee,
        int24 tickSpacing,
        uint160 sqrtPriceX96,
        Position[] calldata positions,
        Swap[] calldata swaps
    ) external returns (Swapped[] memory outcomes) {
        if (IFeeSource(factory).feeAmountTickSpacing(fee) == 0) {
            IFeeSource(factory).enableFeeAmount(fee, tickSpacing);
        }
        (address token0, address token1) = _tokens();
        IUniswapV3Pool pool =
            IUniswapV3Pool(this.openPool(IPoolSource(factory), token0, token1, fee, sqrtPriceX96, positions));

        outcomes = new Swapped[](swaps.length);
        for (uint256 i; i < swaps.length; ++i) {
            outcomes[i] = _swap(pool, swaps[i], swaps[i].zeroForOne ? token0 : token1);
        }
    }

    /// @notice Opens a V2 pair, and for each swap first asks for one unit more than `amountOut`, then for that.
    function probePair(IPairSource factory, uint112 reserve0, uint112 reserve1, PairSwap[] calldata swaps)
        external
        returns (PairSwapped[] memory outcomes)
    {
        (address token0, address token1) = _tokens();
        IUniswapV2Pair pair = IUniswapV2Pair(factory.createPair(token0, token1));
        give(token0, address(pair), reserve0);
        give(token1, address(pair), reserve1);
        ISyncable(address(pair)).sync();

        outcomes = new PairSwapped[](swaps.length);
        for (uint256 i; i < swaps.length; ++i) {
            PairSwap calldata swap = swaps[i];
            give(swap.zeroForOne ? token0 : token1, address(pair), swap.amountIn);
            outcomes[i].paidMore = _swap(pair, swap.zeroForOne, swap.amountOut + 1);
            outcomes[i].done = _swap(pair, swap.zeroForOne, swap.amountOut);
            (outcomes[i].reserve0, outcomes[i].reserve1,) = pair.getReserves();
        }
    }

    function _tokens() internal returns (address token0, address token1) {
        (token0, token1) = (address(new DevToken()), address(new DevToken()));
        if (token0 > token1) (token0, token1) = (token1, token0);
    }

    function _swap(IUniswapV3Pool pool, Swap calldata swap, address tokenIn) internal returns (Swapped memory o) {
        try pool.swap(
            address(this), swap.zeroForOne, swap.amountSpecified, swap.sqrtPriceLimitX96, abi.encode(tokenIn)
        ) returns (
            int256 amount0, int256 amount1
        ) {
            (o.done, o.amount0, o.amount1) = (true, amount0, amount1);
        } catch {}
        (o.sqrtPriceX96, o.tick,,,,,) = pool.slot0();
        o.liquidity = pool.liquidity();
    }

    function _swap(IUniswapV2Pair pair, bool zeroForOne, uint256 amountOut) internal returns (bool) {
        try pair.swap(zeroForOne ? 0 : amountOut, zeroForOne ? amountOut : 0, address(this), "") {
            return true;
        } catch {
            return false;
        }
    }
}
