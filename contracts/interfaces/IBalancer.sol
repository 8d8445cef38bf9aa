// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice What Ballast calls of the Balancer V2 Vault.
interface IBalancerVault {
    enum SwapKind {
        GIVEN_IN,
        GIVEN_OUT
    }

    struct SingleSwap {
        bytes32 poolId;
        SwapKind kind;
        address assetIn;
        address assetOut;
        uint256 amount;
        bytes userData;
    }

    struct FundManagement {
        address sender;
        bool fromInternalBalance;
        address recipient;
        bool toInternalBalance;
    }

    function swap(SingleSwap calldata singleSwap, FundManagement calldata funds, uint256 limit, uint256 deadline)
        external
        payable
        returns (uint256 amountCalculated);

    function getPoolTokens(bytes32 poolId)
        external
        view
        returns (address[] memory tokens, uint256[] memory balances, uint256 lastChangeBlock);

    function getPausedState()
        external
        view
        returns (bool paused, uint256 pauseWindowEndTime, uint256 bufferPeriodEndTime);
}

/// @notice What Ballast calls of a Balancer V2 factory.
interface IBalancerFactory {
    function isPoolFromFactory(address pool) external view returns (bool);
}

/// @notice What Ballast calls of a Balancer V2 pool: of any, then of a weighted one, then of a stable one.
interface IBalancerPool {
    function getPoolId() external view returns (bytes32);
    function getVault() external view returns (address);
    function getSwapFeePercentage() external view returns (uint256);

    function getPausedState()
        external
        view
        returns (bool paused, uint256 pauseWindowEndTime, uint256 bufferPeriodEndTime);

    function getNormalizedWeights() external view returns (uint256[] memory);

    function getScalingFactors() external view returns (uint256[] memory);

    function getAmplificationParameter() external view returns (uint256 value, bool isUpdating, uint256 precision);

    function getRateProviders() external view returns (address[] memory);

    function getTokenRateCache(address token)
        external
        view
        returns (uint256 rate, uint256 oldRate, uint256 duration, uint256 expires);

    function updateTokenRateCache(address token) external;
}
