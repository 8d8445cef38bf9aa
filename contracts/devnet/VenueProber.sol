// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {DevLiquidity} from "./DevLiquidity.sol";
import {DevToken} from "./DevToken.sol";
import {IDevManager, IDevVault, IDevVaultPool, ManagedKey} from "./DevVenues.sol";

interface IFeeController {
    function setProtocolFeeController(address controller) external;
    function setProtocolFee(ManagedKey memory key, uint24 fee) external;
}

interface IWeightedFactory {
    function create(
        string memory name,
        string memory symbol,
        address[] memory tokens,
        uint256[] memory weights,
        address[] memory rateProviders,
        uint256 swapFee,
        address owner
    ) external returns (address);
}

interface IStableFactory {
    function create(
        string memory name,
        string memory symbol,
        address[] memory tokens,
        uint256 amplification,
        address[] memory rateProviders,
        uint256[] memory rateCacheDurations,
        bool[] memory exemptFromYieldFee,
        uint256 swapFee,
        address owner
    ) external returns (address);
}

/// @notice What a stable pool asks for the worth of a token.
contract FixedRate {
    uint256 public immutable getRate;

    constructor(uint256 rate) {
        getRate = rate;
    }
}

/// @title  VenueProber
/// @notice As SwapProber, for the pools of Uniswap V4 and of Balancer's Vault.
/// @dev    For tests, inside an `eth_call`. To set a protocol fee it must stand at the address of the manager's owner.
contract VenueProber is DevLiquidity {
    using SafeTransferLib for address;

    struct Swapped {
        bool done;
        int256 amount0;
        int256 amount1;
        uint160 sqrtPriceX96;
        int24 tick;
        uint128 liquidity;
    }

    /// @notice A Balancer pool: `parameter` are the weights or, alone, the amplification.
    struct Pool {
        address factory;
        uint8[] decimals;
        uint256[] balances;
        uint256[] rates;
        uint256[] parameter;
        uint256 fee;
    }

    struct VaultSwap {
        uint256 tokenIn;
        uint256 tokenOut;
        uint256 amountIn;
    }

    /// @notice Opens a V4 pool and swaps with it, one swap after the other; a swap that reverts changes nothing.
    ///         Negative amounts are inputs, as V4 has them, and so are negative results.
    function probeManaged(
        IDevManager manager,
        uint24 fee,
        uint24 protocolFee,
        int24 tickSpacing,
        uint160 sqrtPriceX96,
        Position[] calldata positions,
        IDevManager.Exchange[] calldata swaps
    ) external returns (Swapped[] memory outcomes) {
        address[] memory tokens = _tokens(new uint8[](2));
        ManagedKey memory key = ManagedKey(tokens[0], tokens[1], fee, tickSpacing, address(0));
        this.openManaged(manager, key, sqrtPriceX96, positions);
        IFeeController(address(manager)).setProtocolFeeController(address(this));
        IFeeController(address(manager)).setProtocolFee(key, protocolFee | protocolFee << 12);

        outcomes = new Swapped[](swaps.length);
        for (uint256 i; i < swaps.length; ++i) {
            try this.exchange(manager, key, swaps[i]) returns (int256 delta) {
                // The halves with their signs.
                // forge-lint: disable-next-line(unsafe-typecast)
                (outcomes[i].done, outcomes[i].amount0, outcomes[i].amount1) = (true, delta >> 128, int128(delta));
            } catch {}
            _look(manager, key, outcomes[i]);
        }
    }

    /// @dev External, so that it can be tried.
    function exchange(IDevManager manager, ManagedKey calldata key, IDevManager.Exchange calldata swap)
        external
        returns (int256)
    {
        return _exchange(manager, key, swap);
    }

    /// @notice Opens a pool in Balancer's Vault and swaps with it.
    /// @return outputs What each swap paid; zero where it reverted, which it also does rather than pay nothing.
    function probeVault(Pool calldata pool, VaultSwap[] calldata swaps) external returns (uint256[] memory outputs) {
        address[] memory tokens = _tokens(pool.decimals);
        this.openVaultPool(pool.factory, _creation(pool, tokens), tokens, pool.balances);
        IDevVaultPool made = IDevVaultPool(vaultPools[vaultPools.length - 1]);

        outputs = new uint256[](swaps.length);
        for (uint256 i; i < swaps.length; ++i) {
            address tokenIn = tokens[swaps[i].tokenIn];
            give(tokenIn, address(this), swaps[i].amountIn);
            tokenIn.safeApprove(made.getVault(), swaps[i].amountIn);
            try IDevVault(made.getVault())
                .swap(
                    IDevVault.SingleSwap(
                        made.getPoolId(), 0, tokenIn, tokens[swaps[i].tokenOut], swaps[i].amountIn, ""
                    ),
                    IDevVault.Funds(address(this), false, address(this), false),
                    1,
                    type(uint256).max
                ) returns (
                uint256 amountOut
            ) {
                outputs[i] = amountOut;
            } catch {}
        }
    }

    /// @dev Fresh tokens in ascending order of their addresses.
    function _tokens(uint8[] memory decimals) internal returns (address[] memory tokens) {
        tokens = new address[](decimals.length);
        for (uint256 i; i < tokens.length; ++i) {
            address token = address(new DevToken());
            uint256 place = i;
            for (; place > 0 && tokens[place - 1] > token; --place) {
                tokens[place] = tokens[place - 1];
            }
            tokens[place] = token;
        }
        for (uint256 i; i < tokens.length; ++i) {
            DevToken(tokens[i]).initialize("", "", decimals[i]);
        }
    }

    function _creation(Pool calldata pool, address[] memory tokens) internal returns (bytes memory) {
        address[] memory providers = new address[](tokens.length);
        if (pool.parameter.length > 1) {
            return abi.encodeCall(
                IWeightedFactory.create, ("", "", tokens, pool.parameter, providers, pool.fee, address(this))
            );
        }
        for (uint256 i; i < tokens.length; ++i) {
            providers[i] = address(new FixedRate(pool.rates[i]));
        }
        uint256[] memory durations = new uint256[](tokens.length);
        bool[] memory flags = new bool[](tokens.length);
        return abi.encodeCall(
            IStableFactory.create,
            ("", "", tokens, pool.parameter[0], providers, durations, flags, pool.fee, address(this))
        );
    }

    /// @dev `pools` is the manager's seventh slot; a pool's first word holds price and tick, its fourth the liquidity.
    function _look(IDevManager manager, ManagedKey memory key, Swapped memory outcome) internal view {
        uint256 slot = uint256(keccak256(abi.encode(keccak256(abi.encode(key)), 6)));
        uint256 word = uint256(manager.extsload(bytes32(slot)));
        // Each cast cuts the packed word.
        // forge-lint: disable-start(unsafe-typecast)
        outcome.sqrtPriceX96 = uint160(word);
        outcome.tick = int24(uint24(word >> 160));
        outcome.liquidity = uint128(uint256(manager.extsload(bytes32(slot + 3))));
        // forge-lint: disable-end(unsafe-typecast)
    }
}
