// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {IUniswapV2Pair, IUniswapV3Pool} from "../interfaces/IUniswap.sol";
import {DevFeed} from "./DevFeed.sol";
import {DevVenues} from "./DevVenues.sol";

interface IMintable {
    function mint(address to, uint256 amount) external;
}

interface IWrapped {
    function deposit() external payable;
}

interface IPairSource {
    function createPair(address tokenA, address tokenB) external returns (address);
}

interface IPoolSource {
    function createPool(address tokenA, address tokenB, uint24 fee) external returns (address);
}

interface IPairLiquidity {
    function mint(address to) external returns (uint256);
}

interface IPoolLiquidity {
    function initialize(uint160 sqrtPriceX96) external;
    function mint(address recipient, int24 lower, int24 upper, uint128 amount, bytes calldata data)
        external
        returns (uint256, uint256);
}

/// @title  DevLiquidity
/// @notice The market of the offline mainnet: it opens pools, owns every position, and trades pools to new prices.
/// @dev    For development chains only. It mints whatever it pays with, and pays whoever calls back. Ether is wrapped
///         for real: the node's operator gives this contract the balance.
contract DevLiquidity is DevVenues {
    using SafeTransferLib for address;

    /// @notice A new answer for a feed.
    struct Answer {
        DevFeed feed;
        int256 answer;
    }

    /// @notice An exact input into a V2 pair.
    struct PairTrade {
        IUniswapV2Pair pair;
        bool zeroForOne;
        uint256 amountIn;
    }

    /// @notice A trade of whatever size brings a V3 pool to `sqrtPriceX96`.
    struct PoolTrade {
        IUniswapV3Pool pool;
        address tokenIn;
        bool zeroForOne;
        uint160 sqrtPriceX96;
    }

    /// @dev The one token here that cannot be minted.
    address internal constant WETH = 0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2;

    receive() external payable {}

    /// @notice Gives `to` an `amount` of `token` out of nothing.
    function give(address token, address to, uint256 amount) public override {
        if (token == WETH) {
            IWrapped(WETH).deposit{value: amount}();
            WETH.safeTransfer(to, amount);
        } else {
            IMintable(token).mint(to, amount);
        }
    }

    /// @notice Opens a V2 pair with the given reserves. `token0` must be the lower address.
    function openPair(IPairSource factory, address token0, address token1, uint256 amount0, uint256 amount1)
        external
        returns (address pair)
    {
        pair = factory.createPair(token0, token1);
        give(token0, pair, amount0);
        give(token1, pair, amount1);
        IPairLiquidity(pair).mint(address(this));
    }

    /// @notice Opens a V3 pool at the given price with the given positions. `token0` must be the lower address.
    function openPool(
        IPoolSource factory,
        address token0,
        address token1,
        uint24 fee,
        uint160 sqrtPriceX96,
        Position[] calldata positions
    ) external returns (address pool) {
        pool = factory.createPool(token0, token1, fee);
        IPoolLiquidity(pool).initialize(sqrtPriceX96);
        for (uint256 i; i < positions.length; ++i) {
            Position calldata position = positions[i];
            IPoolLiquidity(pool)
                .mint(address(this), position.lower, position.upper, position.liquidity, abi.encode(token0, token1));
        }
    }

    /// @notice Moves the market: feeds first, then pools, all in one transaction, so that nobody sees half a move.
    function move(
        Answer[] calldata answers,
        PairTrade[] calldata pairs,
        PoolTrade[] calldata pools,
        ManagedTrade[] calldata managed,
        VaultTrade[] calldata inVault
    ) external {
        for (uint256 i; i < answers.length; ++i) {
            answers[i].feed.setAnswer(answers[i].answer);
        }
        for (uint256 i; i < pairs.length; ++i) {
            _trade(pairs[i]);
        }
        for (uint256 i; i < pools.length; ++i) {
            PoolTrade calldata trade = pools[i];
            trade.pool
                .swap(address(this), trade.zeroForOne, type(int128).max, trade.sqrtPriceX96, abi.encode(trade.tokenIn));
        }
        for (uint256 i; i < managed.length; ++i) {
            _trade(managed[i]);
        }
        for (uint256 i; i < inVault.length; ++i) {
            _trade(inVault[i]);
        }
    }

    function uniswapV3MintCallback(uint256 owed0, uint256 owed1, bytes calldata data) external {
        (address token0, address token1) = abi.decode(data, (address, address));
        if (owed0 > 0) give(token0, msg.sender, owed0);
        if (owed1 > 0) give(token1, msg.sender, owed1);
    }

    function uniswapV3SwapCallback(int256 delta0, int256 delta1, bytes calldata data) external {
        // A swap owes one token only, and that delta is the positive one.
        // forge-lint: disable-next-line(unsafe-typecast)
        give(abi.decode(data, (address)), msg.sender, uint256(delta0 > 0 ? delta0 : delta1));
    }

    function _trade(PairTrade calldata trade) internal {
        (uint256 reserve0, uint256 reserve1,) = trade.pair.getReserves();
        (uint256 reserveIn, uint256 reserveOut) = trade.zeroForOne ? (reserve0, reserve1) : (reserve1, reserve0);
        uint256 input = trade.amountIn * 997; // the pair keeps 0.3% of what comes in
        uint256 amountOut = input * reserveOut / (reserveIn * 1000 + input);
        give(trade.zeroForOne ? trade.pair.token0() : trade.pair.token1(), address(trade.pair), trade.amountIn);
        trade.pair.swap(trade.zeroForOne ? 0 : amountOut, trade.zeroForOne ? amountOut : 0, address(this), "");
    }
}
