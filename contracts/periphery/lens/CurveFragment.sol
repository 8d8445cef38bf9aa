// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "solady/tokens/ERC20.sol";

import {Fragment} from "./Fragment.sol";

/// @notice A Curve pool, and the hash of the code that must stand there.
struct CurvePool {
    address pool;
    bytes32 codeHash;
}

struct CurveState {
    address pool;
    address[] coins;
    uint256[] balances;
    /// What brings a balance to 18 decimals and to the common unit, WAD.
    uint256[] rates;
    uint256 amplification;
    uint256 amplificationPrecision;
    /// In units of 1e-10, as the pool keeps them.
    uint256 fee;
    uint256 adminFee;
}

/// @notice Curve StableSwap: the plain pools that are asked for, unless they are empty. Their functions grew over the years, so each is asked for
///         in its newer form first.
abstract contract CurveFragment is Fragment {
    /// @notice The fee of this pool depends on its balances, which no plain pool's does.
    error NotPlain(address pool);

    uint256 internal constant MOST_COINS = 8;
    /// @dev Old compilers' failed assertions burn all the gas that a call was given.
    uint256 internal constant PROBE_GAS = 200_000;

    /// @param terms The pools.
    function _readCurve(bytes memory terms, address[] memory tokens) internal view returns (bytes[] memory pools) {
        CurvePool[] memory wanted = abi.decode(terms, (CurvePool[]));
        pools = new bytes[](wanted.length);
        uint256 found;
        for (uint256 i; i < wanted.length; ++i) {
            if (wanted[i].pool.codehash != wanted[i].codeHash) revert NotAdmitted(wanted[i].pool);
            CurveState memory p = _readCurvePool(wanted[i].pool, tokens);
            if (_filled(p.balances)) pools[found++] = abi.encode(p);
        }
        return _first(pools, found);
    }

    function _readCurvePool(address pool, address[] memory tokens) private view returns (CurveState memory p) {
        p.pool = pool;
        (bool ok, uint256 value) = _ask(pool, "offpeg_fee_multiplier()");
        if (ok && value > 1e10) revert NotPlain(pool);
        (ok, p.amplification) = _ask(pool, "A_precise()");
        p.amplificationPrecision = 100;
        if (!ok) (p.amplification, p.amplificationPrecision) = (_must(pool, "A()"), 1);
        p.fee = _must(pool, "fee()");
        p.adminFee = _must(pool, "admin_fee()");

        p.coins = new address[](MOST_COINS);
        p.balances = new uint256[](MOST_COINS);
        uint256 count;
        for (; count < MOST_COINS; ++count) {
            (ok, value) = _askOf(pool, "coins", count);
            if (!ok) break;
            p.coins[count] = address(uint160(value));
            (ok, p.balances[count]) = _askOf(pool, "balances", count);
            if (!ok) revert NotAdmitted(pool);
        }
        (address[] memory coins, uint256[] memory balances) = (p.coins, p.balances);
        assembly ("memory-safe") {
            mstore(coins, count)
            mstore(balances, count)
        }
        _requireListed(pool, coins, tokens);
        p.rates = _rates(pool, coins);
    }

    /// @dev Some give their rates back as an array of fixed size, some as one that says its own.
    function _rates(address pool, address[] memory coins) private view returns (uint256[] memory rates) {
        (bool ok, bytes memory data) = pool.staticcall{gas: PROBE_GAS}(abi.encodeWithSignature("stored_rates()"));
        if (ok && data.length == 32 * (coins.length + 2)) return abi.decode(data, (uint256[]));
        rates = new uint256[](coins.length);
        bool stored = ok && data.length == 32 * coins.length;
        for (uint256 i; i < coins.length; ++i) {
            uint256 rate = 10 ** (36 - ERC20(coins[i]).decimals());
            if (stored) {
                assembly ("memory-safe") {
                    rate := mload(add(add(data, 0x20), mul(i, 0x20)))
                }
            }
            rates[i] = rate;
        }
    }

    function _askOf(address pool, string memory getter, uint256 index) private view returns (bool ok, uint256 value) {
        (ok, value) = _call(pool, abi.encodeWithSignature(string.concat(getter, "(uint256)"), index));
        if (!ok) (ok, value) = _call(pool, abi.encodeWithSignature(string.concat(getter, "(int128)"), index));
    }

    function _must(address pool, string memory getter) private view returns (uint256) {
        (bool ok, uint256 value) = _ask(pool, getter);
        if (!ok) revert NotAdmitted(pool);
        return value;
    }

    function _ask(address pool, string memory getter) private view returns (bool ok, uint256 value) {
        return _call(pool, abi.encodeWithSignature(getter));
    }

    function _call(address pool, bytes memory data) private view returns (bool ok, uint256 value) {
        bytes memory answer;
        (ok, answer) = pool.staticcall{gas: PROBE_GAS}(data);
        ok = ok && answer.length == 32;
        if (ok) value = abi.decode(answer, (uint256));
    }
}
