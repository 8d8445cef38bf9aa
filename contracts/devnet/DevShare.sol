// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "solady/tokens/ERC20.sol";
import {ERC4626} from "solady/tokens/ERC4626.sol";

/// @title  DevShare
/// @notice A real ERC-4626 vault over any token. What it holds is what its shares are worth, so a gift is a yield. It can
///         be told to stop answering.
contract DevShare is ERC4626 {
    address internal immutable _asset;
    uint8 internal immutable _assetDecimals;
    uint8 internal immutable _offset;
    bool public dead;

    error ShareIsDead();

    /// @param offset How many decimals a share has more than its asset.
    constructor(address asset_, uint8 offset) {
        (_asset, _assetDecimals, _offset) = (asset_, ERC20(asset_).decimals(), offset);
    }

    function setDead(bool dead_) external {
        dead = dead_;
    }

    function convertToAssets(uint256 shares) public view override returns (uint256) {
        if (dead) revert ShareIsDead();
        return super.convertToAssets(shares);
    }

    function asset() public view override returns (address) {
        return _asset;
    }

    function _underlyingDecimals() internal view override returns (uint8) {
        return _assetDecimals;
    }

    function _decimalsOffset() internal view override returns (uint8) {
        return _offset;
    }

    function name() public pure override returns (string memory) {
        return "Share";
    }

    function symbol() public pure override returns (string memory) {
        return "SHARE";
    }
}
