// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IBalancerPool, IBalancerVault} from "../../../contracts/interfaces/IBalancer.sol";
import {Published} from "./Published.sol";
import {TestToken} from "./Tokens.sol";

struct JoinPoolRequest {
    address[] assets;
    uint256[] maxAmountsIn;
    bytes userData;
    bool fromInternalBalance;
}

interface IBalancerVaultAdmin {
    function joinPool(bytes32 id, address sender, address recipient, JoinPoolRequest memory request) external payable;
}

/// @notice What the Vault and every pool have for those with a role.
interface IBalancerPausable {
    function getActionId(bytes4 selector) external view returns (bytes32);
    function setPaused(bool paused) external;
    function pause() external;
}

interface IAuthorizer {
    function grantRole(bytes32 role, address account) external;
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
        uint256[] memory cacheDurations,
        bool[] memory exempt,
        uint256 swapFee,
        address owner
    ) external returns (address);
}

/// @notice The published bytecode of Balancer V2: its Vault, weighted and composable stable pools, and direct swaps to
///         compare with.
abstract contract BalancerTest is Published {
    string internal constant TASKS = "node_modules/@balancer-labs/v2-deployments/dist/tasks/";

    address internal authorizer;
    address internal balancerVault;
    address internal weightedFactory;
    address internal stableFactory;

    /// @dev Needs WETH.
    function _deployBalancer() internal {
        authorizer = _publish("20210418-authorizer/artifact/Authorizer.json", abi.encode(address(this)));
        balancerVault = _publish("20210418-vault/artifact/Vault.json", abi.encode(authorizer, weth9, 90 days, 30 days));
        address fees = _publish(
            "20220725-protocol-fee-percentages-provider/artifact/ProtocolFeePercentagesProvider.json",
            abi.encode(balancerVault, 0.5e18, 0.5e18)
        );
        bytes memory arguments = abi.encode(balancerVault, fees, "", "");
        weightedFactory = _publish("20230206-weighted-pool-v3/artifact/WeightedPoolFactory.json", arguments);
        stableFactory =
            _publish("20230206-composable-stable-pool-v3/artifact/ComposableStablePoolFactory.json", arguments);
    }

    /// @notice A weighted pool of these tokens, in ascending order of address.
    function _weighted(address[] memory assets, uint256[] memory amounts, uint256[] memory weights, uint256 fee)
        internal
        returns (bytes32 id)
    {
        address pool = IWeightedFactory(weightedFactory)
            .create("", "", assets, weights, new address[](assets.length), fee, address(this));
        id = IBalancerPool(pool).getPoolId();
        _join(id, assets, amounts, amounts);
    }

    /// @notice A composable stable pool of these tokens without rates, in ascending order of address.
    function _stable(address[] memory assets, uint256[] memory amounts, uint256 amplification, uint256 fee)
        internal
        returns (bytes32 id)
    {
        uint256 count = assets.length;
        return _stable(assets, amounts, amplification, fee, new address[](count), new uint256[](count));
    }

    /// @notice The same with rates, each asked for again after so many seconds.
    function _stable(
        address[] memory assets,
        uint256[] memory amounts,
        uint256 amplification,
        uint256 fee,
        address[] memory providers,
        uint256[] memory durations
    ) internal returns (bytes32 id) {
        uint256 count = assets.length;
        address pool = IStableFactory(stableFactory)
            .create("", "", assets, amplification, providers, durations, new bool[](count), fee, address(this));
        id = IBalancerPool(pool).getPoolId();
        // The pool's own token is registered among them and is minted, not paid.
        (address[] memory registered,,) = IBalancerVault(balancerVault).getPoolTokens(id);
        uint256[] memory all = new uint256[](count + 1);
        uint256 k;
        for (uint256 i; i <= count; ++i) {
            all[i] = registered[i] == pool ? type(uint128).max : amounts[k++];
        }
        _join(id, registered, all, all);
    }

    /// @notice What a pool gives for `amountIn`: the swap itself, undone afterwards.
    function _quoteBalancer(bytes32 id, address tokenIn, address tokenOut, uint256 amountIn)
        internal
        returns (uint256 out)
    {
        uint256 before = vm.snapshotState();
        _fund(tokenIn, address(this), amountIn);
        TestToken(tokenIn).approve(balancerVault, amountIn);
        out = IBalancerVault(balancerVault)
            .swap(
                IBalancerVault.SingleSwap(id, IBalancerVault.SwapKind.GIVEN_IN, tokenIn, tokenOut, amountIn, ""),
                IBalancerVault.FundManagement(address(this), false, address(this), false),
                0,
                block.timestamp
            );
        vm.revertToState(before);
    }

    function _join(bytes32 id, address[] memory assets, uint256[] memory most, uint256[] memory amounts) private {
        address pool = address(bytes20(id));
        for (uint256 i; i < assets.length; ++i) {
            if (assets[i] == pool) continue;
            _fund(assets[i], address(this), amounts[i]);
            TestToken(assets[i]).approve(balancerVault, amounts[i]);
        }
        // 0: the first join, with exact amounts.
        JoinPoolRequest memory request = JoinPoolRequest(assets, most, abi.encode(0, amounts), false);
        IBalancerVaultAdmin(balancerVault).joinPool(id, address(this), address(this), request);
    }

    function _publish(string memory path, bytes memory arguments) private returns (address) {
        return _create(abi.encodePacked(_bytecode(string.concat(TASKS, path)), arguments));
    }
}
