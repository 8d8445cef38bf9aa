// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "solady/tokens/ERC20.sol";
import {ERC4626} from "solady/tokens/ERC4626.sol";

/// @title  DevShare
/// @notice An ERC-4626 vault on the offline mainnet. What it holds is what its shares are worth, so a gift is a yield.
contract DevShare is ERC4626 {
    address internal immutable _asset;
    uint8 internal immutable _assetDecimals;

    constructor(address asset_) {
        (_asset, _assetDecimals) = (asset_, ERC20(asset_).decimals());
    }

    function asset() public view override returns (address) {
        return _asset;
    }

    function _underlyingDecimals() internal view override returns (uint8) {
        return _assetDecimals;
    }

    function name() public pure override returns (string memory) {
        return "Share";
    }

    function symbol() public pure override returns (string memory) {
        return "SHARE";
    }
}
