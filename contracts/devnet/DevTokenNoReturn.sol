// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title  DevTokenNoReturn
/// @notice A token that anyone may mint and that behaves as USDT does: `transfer`, `transferFrom` and `approve` return
///         nothing, and an allowance must pass through zero before it changes.
/// @dev    Initialised through storage, not a constructor, so that its runtime code can be placed at any address.
contract DevTokenNoReturn {
    error AlreadyInitialized();
    error InsufficientBalance(address owner, uint256 balance, uint256 amount);
    error InsufficientAllowance(address owner, address spender, uint256 allowance, uint256 amount);
    error AllowanceNotZero(address owner, address spender, uint256 allowance);

    event Transfer(address indexed from, address indexed to, uint256 amount);
    event Approval(address indexed owner, address indexed spender, uint256 amount);

    string public name;
    string public symbol;
    uint8 public decimals;
    bool internal _initialized;

    uint256 public totalSupply;
    mapping(address owner => uint256) public balanceOf;
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    /// @notice Names the token. Once.
    function initialize(string calldata name_, string calldata symbol_, uint8 decimals_) external {
        if (_initialized) revert AlreadyInitialized();
        _initialized = true;
        name = name_;
        symbol = symbol_;
        decimals = decimals_;
    }

    /// @notice Makes `amount` out of nothing for `to`.
    function mint(address to, uint256 amount) external {
        totalSupply += amount;
        balanceOf[to] += amount;
        emit Transfer(address(0), to, amount);
    }

    /// @notice Moves `amount` from the caller to `to`, or reverts.
    function transfer(address to, uint256 amount) external {
        _transfer(msg.sender, to, amount);
    }

    /// @notice Moves `amount` of `from` to `to` on the caller's allowance, or reverts.
    function transferFrom(address from, address to, uint256 amount) external {
        uint256 allowed = allowance[from][msg.sender];
        if (allowed < amount) revert InsufficientAllowance(from, msg.sender, allowed, amount);
        if (allowed != type(uint256).max) allowance[from][msg.sender] = allowed - amount;
        _transfer(from, to, amount);
    }

    /// @notice Sets what `spender` may move of the caller's. From zero or to zero only, as the real one.
    function approve(address spender, uint256 amount) external {
        uint256 allowed = allowance[msg.sender][spender];
        if (allowed != 0 && amount != 0) revert AllowanceNotZero(msg.sender, spender, allowed);
        allowance[msg.sender][spender] = amount;
        emit Approval(msg.sender, spender, amount);
    }

    function _transfer(address from, address to, uint256 amount) internal {
        uint256 balance = balanceOf[from];
        if (balance < amount) revert InsufficientBalance(from, balance, amount);
        balanceOf[from] = balance - amount;
        balanceOf[to] += amount;
        emit Transfer(from, to, amount);
    }
}
