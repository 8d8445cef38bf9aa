// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @notice What names a V4 pool; `currency0` is zero where the pool trades ether itself.
struct ManagedKey {
    address currency0;
    address currency1;
    uint24 fee;
    int24 tickSpacing;
    address hooks;
}

/// @notice The PoolManager, as far as the market maker needs it.
interface IDevManager {
    struct Range {
        int24 lower;
        int24 upper;
        int256 liquidityDelta;
        bytes32 salt;
    }

    struct Exchange {
        bool zeroForOne;
        int256 amountSpecified;
        uint160 sqrtPriceLimitX96;
    }

    function initialize(ManagedKey memory key, uint160 sqrtPriceX96) external returns (int24 tick);
    function unlock(bytes calldata data) external returns (bytes memory);
    function modifyLiquidity(ManagedKey memory key, Range memory range, bytes calldata hookData)
        external
        returns (int256 delta, int256 fees);
    function swap(ManagedKey memory key, Exchange memory exchange, bytes calldata hookData)
        external
        returns (int256 delta);
    function sync(address currency) external;
    function settle() external payable returns (uint256);
    function take(address currency, address to, uint256 amount) external;
    function extsload(bytes32 slot) external view returns (bytes32);
}

/// @notice Balancer's Vault, as far as the market maker needs it.
interface IDevVault {
    struct Join {
        address[] assets;
        uint256[] maxAmountsIn;
        bytes userData;
        bool fromInternalBalance;
    }

    struct SingleSwap {
        bytes32 poolId;
        uint8 kind;
        address assetIn;
        address assetOut;
        uint256 amount;
        bytes userData;
    }

    struct Funds {
        address sender;
        bool fromInternalBalance;
        address recipient;
        bool toInternalBalance;
    }

    function getPoolTokens(bytes32 poolId)
        external
        view
        returns (address[] memory tokens, uint256[] memory balances, uint256 lastChangeBlock);
    function joinPool(bytes32 poolId, address sender, address recipient, Join memory join) external;
    function swap(SingleSwap memory single, Funds memory funds, uint256 limit, uint256 deadline)
        external
        payable
        returns (uint256);
}

/// @notice What a pool of Balancer's Vault says of itself; only stable ones have an amplification.
interface IDevVaultPool {
    function getPoolId() external view returns (bytes32);
    function getVault() external view returns (address);
    function getSwapFeePercentage() external view returns (uint256);
    function getNormalizedWeights() external view returns (uint256[] memory);
    function getAmplificationParameter() external view returns (uint256 value, bool isUpdating, uint256 precision);
}

/// @notice A factory of such pools.
interface IDevVaultFactory {
    function isPoolFromFactory(address pool) external view returns (bool);
}

/// @title  DevVenues
/// @notice The part of the offline mainnet's market maker that knows the venues of many pools: Uniswap V4 and Balancer.
/// @dev    For development chains only.
abstract contract DevVenues {
    using SafeTransferLib for address;

    /// @notice A price range of a V3 or V4 pool and the liquidity in it.
    struct Position {
        int24 lower;
        int24 upper;
        uint128 liquidity;
    }

    /// @notice A trade of whatever size brings a V4 pool to `sqrtPriceX96`.
    struct ManagedTrade {
        IDevManager manager;
        ManagedKey key;
        bool zeroForOne;
        uint160 sqrtPriceX96;
    }

    /// @notice An exact input into a pool of Balancer's Vault.
    struct VaultTrade {
        IDevVault vault;
        bytes32 poolId;
        address tokenIn;
        address tokenOut;
        uint256 amountIn;
    }

    /// @notice The pools of Balancer's Vault, in the order in which they were opened.
    address[] public vaultPools;

    function give(address token, address to, uint256 amount) public virtual;

    /// @notice Opens a V4 pool at the given price with the given positions.
    function openManaged(
        IDevManager manager,
        ManagedKey calldata key,
        uint160 sqrtPriceX96,
        Position[] calldata positions
    ) external {
        manager.initialize(key, sqrtPriceX96);
        manager.unlock(abi.encode(key, positions, IDevManager.Exchange(false, 0, 0)));
    }

    /// @notice Opens a pool of Balancer's Vault through a real factory and fills it.
    /// @param factory What makes the pool.
    /// @param create  The factory's calldata.
    /// @param tokens  The pool's tokens but for its own.
    /// @param amounts What to fill it with, raw units in the order of `tokens`.
    function openVaultPool(
        address factory,
        bytes calldata create,
        address[] calldata tokens,
        uint256[] calldata amounts
    ) external {
        (bool done, bytes memory result) = factory.call(create);
        require(done, "the factory refuses");
        IDevVaultPool pool = IDevVaultPool(abi.decode(result, (address)));
        vaultPools.push(address(pool));
        IDevVault vault = IDevVault(pool.getVault());
        IDevVault.Join memory join;
        (join.assets,,) = vault.getPoolTokens(pool.getPoolId());
        join.maxAmountsIn = new uint256[](join.assets.length);
        uint256[] memory exact = new uint256[](join.assets.length);
        for (uint256 i; i < join.assets.length; ++i) {
            // A stable pool lists its own token, mints all there will ever be, and the Vault takes what is not ours.
            join.maxAmountsIn[i] = type(uint256).max;
            for (uint256 k; k < tokens.length; ++k) {
                if (join.assets[i] == tokens[k]) {
                    exact[i] = amounts[k];
                    give(tokens[k], address(this), amounts[k]);
                    tokens[k].safeApprove(address(vault), amounts[k]);
                }
            }
        }
        join.userData = abi.encode(0, exact); // the kind of a pool's first join
        vault.joinPool(pool.getPoolId(), address(this), address(this), join);
    }

    /// @dev Adds the liquidity, then does the exchange unless its amount is zero, and returns what that changed.
    function unlockCallback(bytes calldata data) external returns (bytes memory) {
        IDevManager manager = IDevManager(msg.sender);
        (ManagedKey memory key, Position[] memory positions, IDevManager.Exchange memory exchange) =
            abi.decode(data, (ManagedKey, Position[], IDevManager.Exchange));
        for (uint256 i; i < positions.length; ++i) {
            int256 added = int256(uint256(positions[i].liquidity));
            (int256 owed,) =
                manager.modifyLiquidity(key, IDevManager.Range(positions[i].lower, positions[i].upper, added, 0), "");
            _settle(manager, key, owed);
        }
        if (exchange.amountSpecified == 0) return "";
        int256 delta = manager.swap(key, exchange, "");
        _settle(manager, key, delta);
        return abi.encode(delta);
    }

    function _exchange(IDevManager manager, ManagedKey memory key, IDevManager.Exchange memory exchange)
        internal
        returns (int256 delta)
    {
        Position[] memory none;
        return abi.decode(manager.unlock(abi.encode(key, none, exchange)), (int256));
    }

    function _trade(ManagedTrade calldata trade) internal {
        _exchange(
            trade.manager, trade.key, IDevManager.Exchange(trade.zeroForOne, -type(int128).max, trade.sqrtPriceX96)
        );
    }

    function _trade(VaultTrade calldata trade) internal {
        give(trade.tokenIn, address(this), trade.amountIn);
        trade.tokenIn.safeApprove(address(trade.vault), trade.amountIn);
        trade.vault
            .swap(
                IDevVault.SingleSwap(trade.poolId, 0, trade.tokenIn, trade.tokenOut, trade.amountIn, ""),
                IDevVault.Funds(address(this), false, address(this), false),
                0,
                type(uint256).max
            );
    }

    /// @dev Two int128 in one word: what of each currency is ours (positive) or owed (negative).
    function _settle(IDevManager manager, ManagedKey memory key, int256 delta) internal {
        _settle(manager, key.currency0, delta >> 128);
        // The lower half with its sign.
        // forge-lint: disable-next-line(unsafe-typecast)
        _settle(manager, key.currency1, int128(delta));
    }

    function _settle(IDevManager manager, address currency, int256 delta) internal {
        // Each cast follows the sign.
        // forge-lint: disable-start(unsafe-typecast)
        if (delta > 0) {
            manager.take(currency, address(this), uint256(delta));
        } else if (delta < 0 && currency == address(0)) {
            manager.settle{value: uint256(-delta)}();
        } else if (delta < 0) {
            manager.sync(currency);
            give(currency, address(manager), uint256(-delta));
            manager.settle();
        }
        // forge-lint: disable-end(unsafe-typecast)
    }
}
