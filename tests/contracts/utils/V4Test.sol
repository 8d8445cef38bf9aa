// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

import {IPoolManager, PoolKey, SwapParams} from "../../../contracts/interfaces/IUniswapV4.sol";
import {Published} from "./Published.sol";

struct LiquidityParams {
    int24 tickLower;
    int24 tickUpper;
    int256 liquidityDelta;
    bytes32 salt;
}

interface IPoolManagerAdmin {
    function initialize(PoolKey memory key, uint160 sqrtPriceX96) external returns (int24 tick);
    function modifyLiquidity(PoolKey memory key, LiquidityParams memory params, bytes calldata hookData)
        external
        returns (int256 callerDelta, int256 feesAccrued);
    function setProtocolFeeController(address controller) external;
    function setProtocolFee(PoolKey memory key, uint24 fee) external;
}

/// @notice The published bytecode of the Uniswap V4 PoolManager, with liquidity, and direct swaps to compare with.
abstract contract V4Test is Published {
    string internal constant V4_MANAGER = "node_modules/@uniswap/v4-core/out/PoolManager.sol/PoolManager.json";

    address internal v4Manager;

    function _deployV4() internal {
        bytes memory code = vm.parseJsonBytes(vm.readFile(V4_MANAGER), ".bytecode.object");
        v4Manager = _create(abi.encodePacked(code, abi.encode(address(this))));
    }

    /// @notice The key of a pool; a zero address is ether.
    function _keyOf(address a, address b, uint24 fee, int24 spacing) internal pure returns (PoolKey memory) {
        return a < b ? PoolKey(a, b, fee, spacing, address(0)) : PoolKey(b, a, fee, spacing, address(0));
    }

    /// @notice A V4 pool at the price of these amounts, with liquidity over the whole range that holds about as much.
    function _openV4(address a, uint256 amountA, address b, uint256 amountB, uint24 fee, int24 spacing)
        internal
        returns (PoolKey memory key)
    {
        key = _keyOf(a, b, fee, spacing);
        (uint256 amount0, uint256 amount1) = a < b ? (amountA, amountB) : (amountB, amountA);
        IPoolManagerAdmin(v4Manager)
            .initialize(key, uint160(FixedPointMathLib.sqrt(FixedPointMathLib.fullMulDiv(amount1, 1 << 192, amount0))));
        int24 end = 887272 / spacing * spacing;
        _addV4(key, -end, end, FixedPointMathLib.sqrt(amountA * amountB));
    }

    function _addV4(PoolKey memory key, int24 lower, int24 upper, uint256 liquidity) internal {
        LiquidityParams memory params = LiquidityParams(lower, upper, int256(liquidity), 0);
        IPoolManager(v4Manager)
            .unlock(abi.encode(key, abi.encodeCall(IPoolManagerAdmin.modifyLiquidity, (key, params, ""))));
    }

    /// @notice What a V4 pool gives for `amountIn`: the swap itself, undone afterwards.
    function _quoteV4(PoolKey memory key, bool zeroForOne, uint256 amountIn) internal returns (uint256 out) {
        uint256 before = vm.snapshotState();
        uint160 limit = zeroForOne ? 4295128740 : 1461446703485210103287273052203988822378723970341;
        SwapParams memory params = SwapParams(zeroForOne, -int256(amountIn), limit);
        bytes memory result =
            IPoolManager(v4Manager).unlock(abi.encode(key, abi.encodeCall(IPoolManager.swap, (key, params, ""))));
        int256 deltas = abi.decode(result, (int256));
        vm.revertToState(before);
        return uint256(zeroForOne ? int256(int128(deltas)) : deltas >> 128);
    }

    function unlockCallback(bytes calldata data) external returns (bytes memory result) {
        (PoolKey memory key, bytes memory call) = abi.decode(data, (PoolKey, bytes));
        bool ok;
        (ok, result) = msg.sender.call(call);
        require(ok, "call failed");
        int256 deltas = abi.decode(result, (int256));
        _balance(key.currency0, deltas >> 128);
        _balance(key.currency1, int128(deltas));
    }

    function _balance(address currency, int256 delta) private {
        if (delta > 0) IPoolManager(msg.sender).take(currency, address(this), uint256(delta));
        if (delta >= 0) return;
        IPoolManager(msg.sender).sync(currency);
        if (currency == address(0)) {
            vm.deal(address(this), address(this).balance + uint256(-delta));
            IPoolManager(msg.sender).settle{value: uint256(-delta)}();
        } else {
            _fund(currency, msg.sender, uint256(-delta));
            IPoolManager(msg.sender).settle();
        }
    }

    receive() external payable {}
}
