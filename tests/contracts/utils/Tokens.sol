// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "solady/tokens/ERC20.sol";

/// @notice An ERC-20 that anyone may mint and burn, so that a test can pay any outcome to the wei.
contract TestToken is ERC20 {
    string internal _symbol;
    uint8 internal immutable _decimals;

    constructor(string memory symbol_, uint8 decimals_) {
        _symbol = symbol_;
        _decimals = decimals_;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function burn(address from, uint256 amount) external {
        _burn(from, amount);
    }

    function name() public view override returns (string memory) {
        return _symbol;
    }

    function symbol() public view override returns (string memory) {
        return _symbol;
    }

    function decimals() public view override returns (uint8) {
        return _decimals;
    }
}

/// @notice Takes `fee` out of what arrives and `surcharge` on top from the sender, both fractions in WAD.
contract FeeToken is TestToken {
    uint256 public fee;
    uint256 public surcharge;

    constructor(uint8 decimals_) TestToken("FEE", decimals_) {}

    function setFee(uint256 fee_, uint256 surcharge_) external {
        (fee, surcharge) = (fee_, surcharge_);
    }

    function _afterTokenTransfer(address from, address to, uint256 amount) internal override {
        if (from == address(0) || to == address(0)) return;
        if (fee != 0) _burn(to, amount * fee / 1e18);
        if (surcharge != 0) _burn(from, amount * surcharge / 1e18);
    }
}

/// @notice Once frozen, moves nothing and says so by returning false.
contract FreezableToken is TestToken {
    bool public frozen;

    constructor(uint8 decimals_) TestToken("FRZ", decimals_) {}

    function setFrozen(bool frozen_) external {
        frozen = frozen_;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        return !frozen && super.transfer(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        return !frozen && super.transferFrom(from, to, amount);
    }
}

interface ITransferHook {
    function onTransfer() external;
}

/// @notice Calls its hook after each transfer, as an ERC-777 would.
contract CallbackToken is TestToken {
    ITransferHook public hook;

    constructor(uint8 decimals_) TestToken("HOOK", decimals_) {}

    function setHook(ITransferHook hook_) external {
        hook = hook_;
    }

    function _afterTokenTransfer(address from, address to, uint256) internal override {
        if (from != address(0) && to != address(0) && address(hook) != address(0)) hook.onTransfer();
    }
}

/// @notice Returns nothing from transfer, transferFrom and approve, and replaces no allowance by another, as USDT does.
contract NoReturnToken {
    string public constant symbol = "NRT";
    uint8 public immutable decimals;

    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    constructor(uint8 decimals_) {
        decimals = decimals_;
    }

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external {
        require(amount == 0 || allowance[msg.sender][spender] == 0);
        allowance[msg.sender][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) internal {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}
