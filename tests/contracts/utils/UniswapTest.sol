// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

import {IUniswapV2Pair, IUniswapV3Pool} from "../../../contracts/interfaces/IUniswap.sol";
import {Published} from "./Published.sol";

interface IPairMaker {
    function createPair(address a, address b) external returns (address);
}

interface IPoolMaker {
    function createPool(address a, address b, uint24 fee) external returns (address);
}

interface IPairLiquidity {
    function mint(address to) external returns (uint256 liquidity);
}

interface IPoolLiquidity {
    function initialize(uint160 sqrtPriceX96) external;
    function mint(address to, int24 lower, int24 upper, uint128 liquidity, bytes calldata data)
        external
        returns (uint256 amount0, uint256 amount1);
}

/// @notice The published bytecode of Uniswap V2 and V3, with liquidity, and direct swaps to compare with.
abstract contract UniswapTest is Published {
    string internal constant V2_FACTORY = "node_modules/@uniswap/v2-core/build/UniswapV2Factory.json";
    string internal constant V3_FACTORY =
        "node_modules/@uniswap/v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json";

    uint160 internal constant MIN_SQRT_PRICE = 4295128739;
    uint160 internal constant MAX_SQRT_PRICE = 1461446703485210103287273052203988822378723970342;

    address internal v2Factory;
    address internal v3Factory;

    function _deployUniswap() internal {
        v2Factory = _create(abi.encodePacked(_bytecode(V2_FACTORY), abi.encode(address(this))));
        v3Factory = _create(_bytecode(V3_FACTORY));
    }

    /// @notice A V2 pair that holds these reserves.
    function _pair(address a, uint256 amountA, address b, uint256 amountB) internal returns (address pair) {
        pair = IPairMaker(v2Factory).createPair(a, b);
        _fund(a, pair, amountA);
        _fund(b, pair, amountB);
        IPairLiquidity(pair).mint(address(this));
    }

    /// @notice A V3 pool at the price of these amounts, with liquidity over the whole range that holds about as much.
    function _pool(address a, uint256 amountA, address b, uint256 amountB, uint24 fee) internal returns (address pool) {
        int24 spacing = fee == 500 ? int24(10) : fee == 3000 ? int24(60) : int24(200);
        int24 end = 887272 / spacing * spacing;
        pool = _emptyPool(a, amountA, b, amountB, fee);
        IPoolLiquidity(pool)
            .mint(address(this), -end, end, uint128(FixedPointMathLib.sqrt(amountA * amountB)), abi.encode(a, b));
    }

    /// @notice A V3 pool at the price of these amounts, without liquidity.
    function _emptyPool(address a, uint256 amountA, address b, uint256 amountB, uint24 fee)
        internal
        returns (address pool)
    {
        pool = IPoolMaker(v3Factory).createPool(a, b, fee);
        (uint256 amount0, uint256 amount1) = a < b ? (amountA, amountB) : (amountB, amountA);
        IPoolLiquidity(pool)
            .initialize(uint160(FixedPointMathLib.sqrt(FixedPointMathLib.fullMulDiv(amount1, 1 << 192, amount0))));
    }

    /// @notice What a V2 pair of this fee (millionths) gives for `amountIn`, by the published formula.
    function _quoteV2(address pair, address tokenIn, uint256 amountIn, uint256 fee) internal view returns (uint256) {
        (uint256 reserveIn, uint256 reserveOut,) = IUniswapV2Pair(pair).getReserves();
        if (IUniswapV2Pair(pair).token1() == tokenIn) (reserveIn, reserveOut) = (reserveOut, reserveIn);
        uint256 kept = amountIn * (1e6 - fee);
        return kept * reserveOut / (reserveIn * 1e6 + kept);
    }

    /// @notice What a V3 pool gives for `amountIn`: the swap itself, undone afterwards.
    function _quoteV3(address pool, address tokenIn, address tokenOut, uint256 amountIn) internal returns (uint256) {
        uint256 before = vm.snapshotState();
        bool zeroForOne = tokenIn < tokenOut;
        (int256 amount0, int256 amount1) = IUniswapV3Pool(pool)
            .swap(
                address(this),
                zeroForOne,
                int256(amountIn),
                zeroForOne ? MIN_SQRT_PRICE + 1 : MAX_SQRT_PRICE - 1,
                abi.encode(tokenIn, tokenOut)
            );
        vm.revertToState(before);
        return uint256(-(zeroForOne ? amount1 : amount0));
    }

    function uniswapV3MintCallback(uint256 amount0, uint256 amount1, bytes calldata data) external {
        _payPool(int256(amount0), int256(amount1), data);
    }

    function uniswapV3SwapCallback(int256 amount0, int256 amount1, bytes calldata data) external {
        _payPool(amount0, amount1, data);
    }

    function _payPool(int256 amount0, int256 amount1, bytes calldata data) private {
        (address a, address b) = abi.decode(data, (address, address));
        if (a > b) (a, b) = (b, a);
        if (amount0 > 0) _fund(a, msg.sender, uint256(amount0));
        if (amount1 > 0) _fund(b, msg.sender, uint256(amount1));
    }
}
