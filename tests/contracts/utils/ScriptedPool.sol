// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Call} from "./ScriptedExecutor.sol";

/// @notice A pool of either kind that does, when asked to swap, whatever its maker prepared, and gives nothing, whatever it says.
contract ScriptedPool {
    Call[] internal _onV2;
    Call[] internal _onV3;
    int256[2] internal _deltas;

    function onV2(Call memory what) external {
        _onV2.push(what);
    }

    function onV3(Call memory what) external {
        _onV3.push(what);
    }

    /// @notice What a V3 swap is to say that it moved.
    function says(int256 amount0, int256 amount1) external {
        _deltas = [amount0, amount1];
    }

    function getReserves() external pure returns (uint112, uint112, uint32) {
        return (1e18, 1e18, 0);
    }

    function swap(uint256, uint256, address, bytes calldata) external {
        _perform(_onV2);
    }

    function swap(address, bool, int256, uint160, bytes calldata) external returns (int256, int256) {
        _perform(_onV3);
        return (_deltas[0], _deltas[1]);
    }

    function _perform(Call[] storage calls) private {
        for (uint256 i; i < calls.length; ++i) {
            (bool ok, bytes memory result) = calls[i].target.call(calls[i].data);
            if (!ok) {
                assembly ("memory-safe") {
                    revert(add(result, 0x20), mload(result))
                }
            }
        }
    }
}
