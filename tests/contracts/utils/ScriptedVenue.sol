// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {PoolKey, SwapParams} from "../../../contracts/interfaces/IUniswapV4.sol";
import {IBalancerVault} from "../../../contracts/interfaces/IBalancer.sol";
import {Call} from "./ScriptedExecutor.sol";

interface IUnlockCallback {
    function unlockCallback(bytes calldata data) external returns (bytes memory);
}

/// @notice A PoolManager, a Balancer Vault and a Curve pool in one that pays nothing and does, when it is called, whatever
///         its maker prepared.
contract ScriptedVenue {
    using SafeTransferLib for address;

    Call[] internal _calls;
    int256 internal _deltas;
    uint256 internal _callbacks = 1;
    uint256 internal _says;
    bytes internal _other;
    /// Which of its calls it uses, if not every one, and how many there were.
    uint256 internal _chosen = type(uint256).max;
    uint256 internal _seen;

    /// @notice Does what it was prepared for only the `count`th time that it could, counted from zero.
    function strikeAt(uint256 count) external {
        _chosen = count;
    }

    /// @notice What to do when it is called, beside paying nothing.
    function prepare(address target, bytes memory data) external {
        _calls.push(Call(target, data));
    }

    /// @notice The deltas that a V4 swap is to claim, and how often it calls back.
    function claim(int128 amount0, int128 amount1, uint256 callbacks) external {
        _deltas = (int256(amount0) << 128) | int256(uint256(uint128(amount1)));
        _callbacks = callbacks;
    }

    /// @notice What `unlock` and a Balancer swap are to say that they paid.
    function say(uint256 amount) external {
        _says = amount;
    }

    /// @notice What to call back with instead of what it was given.
    function hand(bytes memory other) external {
        _other = other;
    }

    function unlock(bytes calldata data) external returns (bytes memory) {
        bytes memory handed = data;
        if (_other.length != 0) handed = _other;
        for (uint256 i; i < _callbacks; ++i) {
            IUnlockCallback(msg.sender).unlockCallback(handed);
        }
        if (_callbacks == 0) _perform();
        return abi.encode(_says);
    }

    function swap(PoolKey calldata, SwapParams calldata, bytes calldata) external returns (int256) {
        _perform();
        return _deltas;
    }

    function sync(address) external {}

    function settle() external payable returns (uint256) {}

    function take(address, address, uint256 amount) external {
        if (address(this).balance == 0) return;
        (bool ok,) = msg.sender.call{value: amount}("");
        require(ok, "ether was refused");
    }

    function swap(IBalancerVault.SingleSwap calldata, IBalancerVault.FundManagement calldata, uint256, uint256)
        external
        returns (uint256)
    {
        _perform();
        return _says;
    }

    function exchange(int128, int128, uint256, uint256) external {
        _perform();
    }

    /// @notice Takes tokens of whoever approved it.
    function pull(address token, address from, uint256 amount) external {
        token.safeTransferFrom(from, address(this), amount);
    }

    function _perform() private {
        if (_chosen != type(uint256).max && _seen++ != _chosen) return;
        for (uint256 i; i < _calls.length; ++i) {
            (bool ok, bytes memory result) = _calls[i].target.call(_calls[i].data);
            if (!ok) {
                assembly ("memory-safe") {
                    revert(add(result, 0x20), mload(result))
                }
            }
        }
    }

    receive() external payable {}
}
