// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "solady/tokens/ERC20.sol";

/// @title  DevToken
/// @notice An ERC-20 that anyone may mint. It stands in for a mainnet token on the offline mainnet.
/// @dev    Initialised through storage, not a constructor, so that its runtime code can be placed at any address.
contract DevToken is ERC20 {
    error AlreadyInitialized();

    string internal _name;
    string internal _symbol;
    uint8 internal _decimals;
    bool internal _initialized;

    /// @notice Names the token. Once.
    function initialize(string calldata name_, string calldata symbol_, uint8 decimals_) external {
        if (_initialized) revert AlreadyInitialized();
        _initialized = true;
        _name = name_;
        _symbol = symbol_;
        _decimals = decimals_;
    }

    /// @notice Makes `amount` out of nothing for `to`.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function name() public view override returns (string memory) {
        return _name;
    }

    function symbol() public view override returns (string memory) {
        return _symbol;
    }

    function decimals() public view override returns (uint8) {
        return _decimals;
    }

    /// @dev The tokens it stands in for know nothing of Permit2.
    function _givePermit2InfiniteAllowance() internal pure override returns (bool) {
        return false;
    }
}
