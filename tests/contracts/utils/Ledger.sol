// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "solady/tokens/ERC20.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {Vm} from "forge-std/Vm.sol";

import {AuctionTerms, Fees, IVaultEvents, Limits} from "../../../contracts/interfaces/IIndexVault.sol";
import {Book} from "../../../contracts/libraries/Book.sol";
import {Bucket} from "../../../contracts/libraries/Bucket.sol";

/// @notice The state of a vault, rebuilt from its events, those of its tokens, and the times of their blocks. It never
///         asks the vault anything; of a token it only knows the decimals.
/// @dev    Allowances and permits are ERC-20's own affair, whose events do not tell what was spent of them.
contract Ledger {
    using FixedPointMathLib for uint256;

    uint256 internal constant WAD = 1e18;
    uint256 internal constant MAX_SUPPLY = type(uint128).max;

    address public immutable vault;

    Book internal _book;
    mapping(address token => bool) internal _quarantined;
    uint256 public epoch;

    address public owner;
    address public pendingOwner;
    address public curator;
    address public guardian;
    address public feeRecipient;
    uint256 public timelock;
    uint256 public pausedUntil;
    uint256 public pauseReadyAt;
    mapping(bytes32 id => uint256) public executableAt;

    uint256 public nonce;
    uint256 public openNonce;
    uint256 public settledAt;
    uint256 public calmAt;
    uint256 public accruedAt;
    uint256 internal _auctionOpenedAt;
    uint256 internal _lossLevel;
    uint256 internal _turnoverLevel;

    mapping(address token => uint256) public reserved;
    mapping(address token => mapping(address account => uint256)) public claimOf;
    uint256 public totalSupply;
    mapping(address account => uint256) public balanceOf;
    /// What lies at the vault, by the tokens' own events.
    mapping(address token => uint256) internal _held;

    /// How many different events of the vault were read.
    uint256 public kinds;
    mapping(bytes32 topic => bool) internal _seen;

    error UnknownEvent(bytes32 topic);

    constructor(address vault_) {
        vault = vault_;
    }

    /* ------------------------------------------------- READING ------------------------------------------------- */

    /// @notice Reads what one block emitted; its time is the present.
    function read(Vm.Log[] calldata logs) external {
        for (uint256 i; i < logs.length; ++i) {
            bytes32 topic = logs[i].topics[0];
            if (logs[i].emitter != vault) {
                if (topic == ERC20.Transfer.selector) _moveToken(logs[i]);
                continue;
            }
            if (topic == ERC20.Transfer.selector) {
                _moveShares(logs[i]);
            } else if (topic != ERC20.Approval.selector) {
                if (!_seen[topic]) ++kinds;
                _seen[topic] = true;
                if (!_readChange(topic, logs[i]) && !_readRole(topic, logs[i]) && !_readTrade(topic, logs[i])) {
                    revert UnknownEvent(topic);
                }
            }
        }
    }

    function _moveToken(Vm.Log calldata log) internal {
        uint256 amount = abi.decode(log.data, (uint256));
        if (_account(log, 1) == vault) _held[log.emitter] -= amount;
        if (_account(log, 2) == vault) _held[log.emitter] += amount;
    }

    function _moveShares(Vm.Log calldata log) internal {
        (address from, address to) = (_account(log, 1), _account(log, 2));
        uint256 amount = abi.decode(log.data, (uint256));
        if (from == address(0)) totalSupply += amount;
        else balanceOf[from] -= amount;
        if (to == address(0)) totalSupply -= amount;
        else balanceOf[to] += amount;
    }

    function _readChange(bytes32 topic, Vm.Log calldata log) internal returns (bool) {
        if (topic == IVaultEvents.TargetsSet.selector) {
            (_book.tokens, _book.from, _book.to, _book.glideStart, _book.glideEnd, epoch) =
                abi.decode(log.data, (address[], uint256[], uint256[], uint256, uint256, uint256));
        } else if (topic == IVaultEvents.Quarantined.selector) {
            _quarantined[_account(log, 1)] = true;
        } else if (topic == IVaultEvents.Pruned.selector) {
            _remove(_account(log, 1));
            epoch = abi.decode(log.data, (uint256));
        } else if (topic == IVaultEvents.OracleSet.selector) {
            _book.oracle = _account(log, 1);
        } else if (topic == IVaultEvents.ExecutorSet.selector) {
            _book.executor = _account(log, 1);
        } else if (topic == IVaultEvents.KeeperSet.selector) {
            _book.keeper = _account(log, 1);
        } else if (topic == IVaultEvents.LimitsSet.selector) {
            (_book.limits, _book.auction) = abi.decode(log.data, (Limits, AuctionTerms));
        } else if (topic == IVaultEvents.FeesSet.selector) {
            _book.fees = abi.decode(log.data, (Fees));
            feeRecipient = _account(log, 1);
            accruedAt = block.timestamp;
        } else if (topic == IVaultEvents.TimelockSet.selector) {
            timelock = abi.decode(log.data, (uint32));
        } else if (topic == IVaultEvents.Settled.selector) {
            (nonce, openNonce, _lossLevel, _turnoverLevel) = abi.decode(log.data, (uint256, uint256, uint256, uint256));
            (settledAt, _auctionOpenedAt) = (block.timestamp, 0);
        } else {
            return false;
        }
        return true;
    }

    function _readRole(bytes32 topic, Vm.Log calldata log) internal returns (bool) {
        if (topic == IVaultEvents.OwnerSet.selector) {
            (owner, pendingOwner) = (_account(log, 1), address(0));
        } else if (topic == IVaultEvents.OwnershipOffered.selector) {
            pendingOwner = _account(log, 2);
        } else if (topic == IVaultEvents.CuratorSet.selector) {
            curator = _account(log, 1);
        } else if (topic == IVaultEvents.GuardianSet.selector) {
            guardian = _account(log, 1);
        } else if (topic == IVaultEvents.PausedUntil.selector) {
            pausedUntil = abi.decode(log.data, (uint256));
            if (_account(log, 1) == guardian) pauseReadyAt = block.timestamp + 14 days;
        } else if (topic == IVaultEvents.Submitted.selector) {
            (, executableAt[log.topics[1]]) = abi.decode(log.data, (bytes, uint256));
        } else if (topic == IVaultEvents.Accepted.selector || topic == IVaultEvents.Revoked.selector) {
            executableAt[log.topics[1]] = 0;
        } else {
            return false;
        }
        return true;
    }

    function _readTrade(bytes32 topic, Vm.Log calldata log) internal returns (bool) {
        if (topic == IVaultEvents.Initialized.selector) {
            (calmAt, accruedAt) = (block.timestamp, block.timestamp);
        } else if (topic == IVaultEvents.FeesAccrued.selector) {
            accruedAt = block.timestamp;
        } else if (topic == IVaultEvents.ClaimCreated.selector) {
            uint256 amount = abi.decode(log.data, (uint256));
            reserved[_account(log, 1)] += amount;
            claimOf[_account(log, 1)][_account(log, 2)] += amount;
        } else if (topic == IVaultEvents.ClaimPaid.selector) {
            (, uint256 amount,) = abi.decode(log.data, (address, uint256, uint256));
            reserved[_account(log, 1)] -= amount;
            claimOf[_account(log, 1)][_account(log, 2)] -= amount;
        } else if (topic == IVaultEvents.AuctionOpened.selector) {
            _auctionOpenedAt = block.timestamp;
        } else if (topic == IVaultEvents.AuctionFilled.selector) {
            openNonce = uint256(log.topics[1]);
            _auctionOpenedAt = block.timestamp;
            _settle(log.data);
        } else if (topic == IVaultEvents.Rebalanced.selector) {
            nonce = uint256(log.topics[1]);
            _settle(log.data);
        } else {
            // These two tell what Transfer has told already.
            return topic == IVaultEvents.Minted.selector || topic == IVaultEvents.Redeemed.selector;
        }
        return true;
    }

    function _settle(bytes calldata data) internal {
        uint256 drift;
        (,,, drift, _lossLevel, _turnoverLevel) =
            abi.decode(data, (uint256, uint256, uint256, uint256, uint256, uint256));
        settledAt = block.timestamp;
        if (drift <= _book.auction.openBand) calmAt = block.timestamp;
    }

    function _remove(address token) internal {
        uint256 i;
        while (_book.tokens[i] != token) ++i;
        for (; i + 1 < _book.tokens.length; ++i) {
            _book.tokens[i] = _book.tokens[i + 1];
            (_book.from[i], _book.to[i]) = (_book.from[i + 1], _book.to[i + 1]);
        }
        _book.tokens.pop();
        _book.from.pop();
        _book.to.pop();
        _quarantined[token] = false;
    }

    function _account(Vm.Log calldata log, uint256 place) internal pure returns (address) {
        return address(uint160(uint256(log.topics[place])));
    }

    /* ------------------------------------------------- TELLING ------------------------------------------------- */

    function book() external view returns (Book memory b) {
        b = _book;
        uint256 n = b.tokens.length;
        (b.units, b.quarantined) = (new uint256[](n), new bool[](n));
        for (uint256 i; i < n; ++i) {
            b.units[i] = 10 ** ERC20(b.tokens[i]).decimals();
            b.quarantined[i] = _quarantined[b.tokens[i]];
        }
    }

    function balances() public view returns (uint256[] memory amounts) {
        amounts = new uint256[](_book.tokens.length);
        for (uint256 i; i < amounts.length; ++i) {
            amounts[i] = _held[_book.tokens[i]].zeroFloorSub(reserved[_book.tokens[i]]);
        }
    }

    function headroom() external view returns (uint256 loss, uint256 turnover) {
        Limits memory l = _book.limits;
        uint256 elapsed = block.timestamp - settledAt;
        loss = uint256(l.lossBudget).zeroFloorSub(Bucket.drained(_lossLevel, l.lossBudget, elapsed, l.window));
        turnover =
            uint256(l.turnoverBudget).zeroFloorSub(Bucket.drained(_turnoverLevel, l.turnoverBudget, elapsed, l.window));
    }

    function auctionOpenedAt() external view returns (uint256) {
        bool live = _auctionOpenedAt >= settledAt && block.timestamp <= _auctionOpenedAt + _book.auction.length;
        return live ? _auctionOpenedAt : 0;
    }

    /// @notice What a redemption would pay, which takes the fees that are due.
    function previewRedeem(uint256 shares) external view returns (uint256[] memory amounts) {
        uint256 due = (uint256(_book.fees.streaming) * (block.timestamp - accruedAt) / 365 days).min(0.5e18);
        uint256 supply = totalSupply + totalSupply.fullMulDiv(due, WAD - due).min(MAX_SUPPLY - totalSupply);
        amounts = balances();
        for (uint256 i; i < amounts.length; ++i) {
            amounts[i] = amounts[i].fullMulDiv(shares.fullMulDiv(WAD - _book.fees.redeem, WAD), supply);
        }
    }
}
