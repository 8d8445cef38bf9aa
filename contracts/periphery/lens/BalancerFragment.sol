// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IBalancerFactory, IBalancerPool, IBalancerVault} from "../../interfaces/IBalancer.sol";
import {Fragment} from "./Fragment.sol";

/// @notice A factory, and whether its pools are stable ones.
struct Maker {
    address factory;
    bool stable;
}

struct BalancerState {
    /// Which of the factories made the pool.
    uint256 maker;
    bytes32 id;
    address[] tokens;
    uint256[] balances;
    /// Of a weighted pool the weights, of a stable one the factors that scale its balances, rates included.
    uint256[] factors;
    uint256 swapFee;
    uint256 amplification;
    uint256 amplificationPrecision;
}

/// @notice Balancer V2: the pools that are asked for, if they are registered in the Vault and a listed factory made them.
///         Left out is a pool that is paused or empty.
abstract contract BalancerFragment is Fragment {
    /// @param terms The Vault, the factories, and the ids of the pools.
    function _readBalancer(bytes memory terms, address[] memory tokens) internal returns (bytes[] memory pools) {
        (address vault, Maker[] memory makers, bytes32[] memory ids) = abi.decode(terms, (address, Maker[], bytes32[]));
        pools = new bytes[](ids.length);
        (bool paused,,) = IBalancerVault(vault).getPausedState();
        uint256 found;
        for (uint256 i; i < ids.length && !paused; ++i) {
            bytes memory pool = _readBalancerPool(IBalancerVault(vault), makers, ids[i], tokens);
            if (pool.length != 0) pools[found++] = pool;
        }
        return _first(pools, found);
    }

    function _readBalancerPool(IBalancerVault vault, Maker[] memory makers, bytes32 id, address[] memory tokens)
        private
        returns (bytes memory)
    {
        IBalancerPool pool = IBalancerPool(address(bytes20(id)));
        BalancerState memory p;
        p.id = id;
        while (p.maker < makers.length && !IBalancerFactory(makers[p.maker].factory).isPoolFromFactory(address(pool))) {
            ++p.maker;
        }
        // What a factory made knows its own id, and registered itself under it.
        if (p.maker == makers.length || pool.getPoolId() != id || pool.getVault() != address(vault)) {
            revert NotAdmitted(address(pool));
        }
        (bool paused,,) = pool.getPausedState();
        if (paused) return "";
        (p.tokens, p.balances,) = vault.getPoolTokens(id);
        p.swapFee = pool.getSwapFeePercentage();
        if (makers[p.maker].stable) {
            _renewRates(pool, p.tokens);
            p.factors = pool.getScalingFactors();
            (p.amplification,, p.amplificationPrecision) = pool.getAmplificationParameter();
            _leaveOut(p, address(pool));
        } else {
            p.factors = pool.getNormalizedWeights();
        }
        _requireListed(address(pool), p.tokens, tokens);
        return _filled(p.balances) ? abi.encode(p) : bytes("");
    }

    /// @dev A swap renews the rates that have expired before it uses them. So does this, in a call that leaves no trace.
    function _renewRates(IBalancerPool pool, address[] memory tokens) private {
        address[] memory providers = pool.getRateProviders();
        for (uint256 i; i < tokens.length; ++i) {
            if (providers[i] == address(0)) continue;
            (,,, uint256 expires) = pool.getTokenRateCache(tokens[i]);
            if (block.timestamp > expires) pool.updateTokenRateCache(tokens[i]);
        }
    }

    /// @dev A composable pool holds its own token, which nobody swaps for.
    function _leaveOut(BalancerState memory p, address token) private pure {
        uint256 kept;
        for (uint256 i; i < p.tokens.length; ++i) {
            if (p.tokens[i] == token) continue;
            (p.tokens[kept], p.balances[kept], p.factors[kept]) = (p.tokens[i], p.balances[i], p.factors[i]);
            ++kept;
        }
        (address[] memory held, uint256[] memory balances, uint256[] memory factors) = (p.tokens, p.balances, p.factors);
        assembly ("memory-safe") {
            mstore(held, kept)
            mstore(balances, kept)
            mstore(factors, kept)
        }
    }
}
