// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {TestToken} from "./Tokens.sol";

/// @notice A token that behaves until it is told to turn on its holders.
contract HostileToken is TestToken {
    enum Kind {
        HEALTHY,
        /// A healthy one whose every call costs nearly the whole stipend.
        HEAVY,
        /// Spends all the gas it gets, on transfer and on its balance.
        GUZZLER,
        /// Tells its balance with nearly all the gas it gets, then spends all of it on transfer: the dearest there is.
        SPENDER,
        /// Returns or reverts with as much data as gas can buy.
        BOMB,
        REVERTING,
        BALANCE_REVERTING,
        FALSE,
        /// Says that it sent, and does not.
        LIAR,
        /// Sends, and hides its balance from then on.
        HIDER,
        /// Does not send, says so, and hides its balance from then on.
        SULKER,
        /// Sends half, and says that it sent.
        HALF,
        /// Neither true nor nothing.
        GARBAGE,
        /// Tries its way back into the vault, then reverts.
        REENTERING
    }

    Kind public kind;
    bool internal _hidden;
    bytes internal _door;
    bool public entered;
    mapping(address account => bool) public blocked;

    constructor() TestToken("EVIL", 18) {}

    function turn(Kind kind_) external {
        kind = kind_;
    }

    function setDoor(bytes calldata door) external {
        _door = door;
    }

    function setBlocked(address account, bool blocked_) external {
        blocked[account] = blocked_;
    }

    function balanceOf(address account) public view override returns (uint256) {
        if (kind == Kind.GUZZLER) _spendAll();
        if (kind == Kind.HEAVY || kind == Kind.SPENDER) _spend(42_000);
        if (kind == Kind.BOMB) _bomb(super.balanceOf(account), false);
        if (kind == Kind.BALANCE_REVERTING || _hidden) revert();
        return super.balanceOf(account);
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        if (blocked[to]) return false;
        if (kind == Kind.GUZZLER || kind == Kind.SPENDER) _spendAll();
        if (kind == Kind.HEAVY) _spend(200_000);
        if (kind == Kind.BOMB) _bomb(1, true);
        if (kind == Kind.REVERTING) revert();
        if (kind == Kind.FALSE) return false;
        if (kind == Kind.LIAR) return true;
        if (kind == Kind.HALF) return super.transfer(to, amount / 2);
        if (kind == Kind.GARBAGE) _return(2);
        if (kind == Kind.REENTERING) {
            (entered,) = msg.sender.call(_door);
            if (!entered) return false;
        }
        if (kind == Kind.HIDER || kind == Kind.SULKER) _hidden = true;
        return kind != Kind.SULKER && super.transfer(to, amount);
    }

    /// @dev Runs out of gas if there is not as much.
    function _spend(uint256 gas_) private view {
        uint256 end = gasleft() - gas_;
        while (gasleft() > end) {}
    }

    function _spendAll() private pure {
        assembly ("memory-safe") {
            invalid()
        }
    }

    /// @dev Hands back `word`, followed by as many zeros as half of the gas can pay for.
    function _bomb(uint256 word, bool reverting) private view {
        // The words that cost g gas: w with 3 w + w^2 / 512 = g.
        uint256 words = _sqrt(gasleft() / 2 * 512 + 768 * 768) - 768;
        assembly ("memory-safe") {
            let at := mload(0x40)
            mstore(at, word)
            if reverting { revert(at, shl(5, words)) }
            return(at, shl(5, words))
        }
    }

    function _return(uint256 word) private pure {
        assembly ("memory-safe") {
            mstore(0, word)
            return(0, 0x20)
        }
    }

    function _sqrt(uint256 x) private pure returns (uint256 y) {
        y = x;
        for (uint256 z = (x + 1) / 2; z < y; z = (x / z + z) / 2) {
            y = z;
        }
    }
}
