// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {VaultBase} from "./VaultBase.sol";
import {AuctionTerms, Fees, IIndexVault, Limits} from "./interfaces/IIndexVault.sol";
import {IPriceOracle} from "./interfaces/IPriceOracle.sol";
import {IVaultAdmin, IVaultChanges} from "./interfaces/IVaultAdmin.sol";
import {Book, BookLib} from "./libraries/Book.sol";
import {Before} from "./libraries/Guard.sol";
import {LimitsLib} from "./libraries/LimitsLib.sol";

/// @title  VaultAdmin
/// @notice The half of a vault that changes its settings. Every vault runs this code on its own storage, at an address
///         that is fixed when the vault is made: one contract would be larger than a chain accepts. Called directly it
///         has no owner, no basket and nothing to lose.
///
/// CHANGE
/// Whatever could hurt a holder waits in the timelock, longer than it takes to leave, and anyone may carry it out once it
/// has waited. What only lowers a risk is done at once. Any change of what a rebalance reads first lets the buckets
/// drain under the old settings, and raises both nonces, so that no order made before survives it.
contract VaultAdmin is VaultBase, IVaultAdmin {
    using BookLib for Book;
    using FixedPointMathLib for uint256;
    using SafeTransferLib for address;

    /* ------------------------------------------------ TIMELOCK ------------------------------------------------ */

    /// @inheritdoc IVaultAdmin
    function timelock() external view returns (uint256) {
        return _timelock;
    }

    /// @inheritdoc IVaultAdmin
    function submit(bytes calldata data) external nonReentrant {
        _onlyCurator();
        bytes4 change = bytes4(data);
        if (!_isChange(change)) revert UnknownChange(change);
        bytes32 id = keccak256(data);
        uint256 at = _executableAt[id];
        if (at != 0 && block.timestamp <= at + SUBMISSION_TERM) revert AlreadySubmitted(id, at);
        at = block.timestamp + _timelock;
        _executableAt[id] = at;
        emit Submitted(id, change, data, at);
    }

    /// @inheritdoc IVaultAdmin
    function revoke(bytes calldata data) external nonReentrant {
        // The guardian could otherwise veto its own replacement for good.
        if (msg.sender != _guardian || bytes4(data) == IVaultChanges.setGuardian.selector) _onlyCurator();
        bytes32 id = keccak256(data);
        if (_executableAt[id] == 0) revert NotSubmitted(id);
        _executableAt[id] = 0;
        emit Revoked(id, msg.sender);
    }

    /// @inheritdoc IVaultAdmin
    function accept(bytes calldata data) external {
        // What is due is due under the fee that was in force. The lock is taken, and given back, by this call.
        // The vault itself, which calls nobody.
        // slither-disable-next-line reentrancy-benign,reentrancy-events
        IIndexVault(address(this)).accrueFees();
        _accept(data);
    }

    function _accept(bytes calldata data) internal nonReentrant {
        bytes32 id = keccak256(data);
        uint256 at = _executableAt[id];
        if (at == 0) revert NotSubmitted(id);
        if (block.timestamp < at) revert TooEarly(block.timestamp, at);
        if (block.timestamp > at + SUBMISSION_TERM) revert SubmissionExpired(block.timestamp, at + SUBMISSION_TERM);
        _executableAt[id] = 0;
        _apply(bytes4(data), data[4:]);
        emit Accepted(id, bytes4(data));
    }

    function _isChange(bytes4 change) internal pure returns (bool) {
        return change == IVaultChanges.setTargets.selector || change == IVaultChanges.quarantine.selector
            || change == IVaultChanges.setOracle.selector || change == IVaultChanges.setExecutor.selector
            || change == IVaultChanges.setKeeper.selector || change == IVaultChanges.setGuardian.selector
            || change == IVaultChanges.setFees.selector || change == IVaultChanges.setLimits.selector
            || change == IVaultChanges.setTimelock.selector;
    }

    /// @dev Carries out one change. `submit` let nothing else in.
    function _apply(bytes4 change, bytes calldata args) internal {
        if (change == IVaultChanges.setTimelock.selector) return _setTimelock(abi.decode(args, (uint32)));
        if (change == IVaultChanges.setGuardian.selector) return _setGuardian(abi.decode(args, (address)));

        Book memory b = BookLib.load(_book);
        _settle(b.limits);
        if (change == IVaultChanges.setTargets.selector) {
            (address[] memory tokens, uint256[] memory weights_, uint256 duration) =
                abi.decode(args, (address[], uint256[], uint256));
            _setTargets(b, tokens, weights_, duration);
        } else if (change == IVaultChanges.quarantine.selector) {
            _quarantine(b, abi.decode(args, (address)));
        } else if (change == IVaultChanges.setOracle.selector) {
            _setOracle(b, abi.decode(args, (address)));
        } else if (change == IVaultChanges.setExecutor.selector) {
            _setExecutor(b, abi.decode(args, (address)));
        } else if (change == IVaultChanges.setKeeper.selector) {
            _setKeeper(b, abi.decode(args, (address)));
        } else if (change == IVaultChanges.setFees.selector) {
            (Fees memory fees, address recipient) = abi.decode(args, (Fees, address));
            _accruedAt = uint40(block.timestamp);
            _setFees(b, fees, recipient);
        } else {
            (Limits memory l, AuctionTerms memory a) = abi.decode(args, (Limits, AuctionTerms));
            _setLimits(b, l, a);
        }
        _book = b.save();
    }

    /* ------------------------------------------------- ROLES ------------------------------------------------- */

    /// @inheritdoc IVaultAdmin
    function owner() external view returns (address) {
        return _owner;
    }

    /// @inheritdoc IVaultAdmin
    function pendingOwner() external view returns (address) {
        return _pendingOwner;
    }

    /// @inheritdoc IVaultAdmin
    function curator() external view returns (address) {
        return _curator;
    }

    /// @inheritdoc IVaultAdmin
    function guardian() external view returns (address) {
        return _guardian;
    }

    /// @inheritdoc IVaultAdmin
    function feeRecipient() external view returns (address) {
        return _feeRecipient;
    }

    /// @inheritdoc IVaultAdmin
    function executableAt(bytes32 id) external view returns (uint256) {
        return _executableAt[id];
    }

    /// @inheritdoc IVaultAdmin
    function pausedUntil() external view returns (uint256) {
        return _pausedUntil;
    }

    /// @inheritdoc IVaultAdmin
    function tighten(Limits calldata next) external nonReentrant {
        _onlyCurator();
        Book memory b = BookLib.load(_book);
        if (!LimitsLib.isTighter(b.limits, next)) revert NotTighter();
        _settle(b.limits);
        _setLimits(b, next, b.auction);
        _book = b.save();
    }

    /// @inheritdoc IVaultAdmin
    function stopGlide() external nonReentrant {
        if (msg.sender != _guardian) _onlyCurator();
        Book memory b = BookLib.load(_book);
        _settle(b.limits);
        b.from = b.to = b.weightsNow();
        b.glideStart = b.glideEnd = block.timestamp;
        _book = b.save();
        emit TargetsSet(b.tokens, b.from, b.to, b.glideStart, b.glideEnd, _basketEpoch);
    }

    /// @inheritdoc IVaultAdmin
    function prune(address token) external nonReentrant {
        _onlyCurator();
        Book memory b = BookLib.load(_book);
        _settle(b.limits);
        uint256 index = _indexOf(b.tokens, token);
        (uint256 value, uint256 most) = (_unreserved(token, token.balanceOf(address(this))), 0);
        if (!b.quarantined[index]) {
            Before memory before = _valuated(b);
            (value, most) = (before.values[index], before.nav.mulDiv(MAX_PRUNED_VALUE, WAD));
        }
        if (b.weightsNow()[index] != 0 || b.to[index] != 0 || value > most) revert NotPrunable(token, value, most);
        b.remove(index);
        _book = b.save();
        _basketEpoch += 1;
        emit Pruned(token, _basketEpoch);
    }

    /// @inheritdoc IVaultAdmin
    function dropKeeper() external nonReentrant {
        if (msg.sender != _guardian) _onlyCurator();
        Book memory b = BookLib.load(_book);
        _settle(b.limits);
        _setKeeper(b, address(0));
        _book = b.save();
    }

    /// @inheritdoc IVaultAdmin
    function pause() external nonReentrant {
        if (msg.sender != _guardian) revert Unauthorized(msg.sender);
        // As long a rest after each pause as the pause itself, or the guardian could stop rebalancing for good.
        if (block.timestamp < _pauseReadyAt) revert PausedTooRecently(block.timestamp, _pauseReadyAt);
        _pauseReadyAt = uint40(block.timestamp + 2 * PAUSE_TERM);
        // The owner's pause is not cut short by this one.
        _pauseUntil((block.timestamp + PAUSE_TERM).max(_pausedUntil));
    }

    /// @inheritdoc IVaultAdmin
    function setPaused(bool paused) external nonReentrant {
        _onlyOwner();
        _pauseUntil(paused ? type(uint40).max : 0);
    }

    /// @inheritdoc IVaultAdmin
    function setCurator(address curator_) external nonReentrant {
        _onlyOwner();
        _setCurator(curator_);
    }

    /// @inheritdoc IVaultAdmin
    function offerOwnership(address to) external nonReentrant {
        _onlyOwner();
        // Zero takes an offer back.
        // slither-disable-next-line missing-zero-check
        _pendingOwner = to;
        emit OwnershipOffered(_owner, to);
    }

    /// @inheritdoc IVaultAdmin
    function acceptOwnership() external nonReentrant {
        if (msg.sender != _pendingOwner) revert Unauthorized(msg.sender);
        _pendingOwner = address(0);
        _setOwner(msg.sender);
    }

    function _onlyOwner() internal view {
        if (msg.sender != _owner) revert Unauthorized(msg.sender);
    }

    function _onlyCurator() internal view {
        if (msg.sender != _curator && msg.sender != _owner) revert Unauthorized(msg.sender);
    }

    /* ------------------------------------------------ CHANGES ------------------------------------------------ */

    /// @dev Drains the buckets under the old limits, and lets no pending order or auction survive.
    function _settle(Limits memory l) internal {
        Tally memory tally = _tally;
        _drain(tally, l);
        tally.nonce += 1;
        _tally = tally;
        _openNonce += 1;
        _auctionOpenedAt = 0;
        emit Settled(tally.nonce, _openNonce, tally.lossLevel, tally.turnoverLevel);
    }

    function _setTargets(Book memory b, address[] memory tokens, uint256[] memory weights_, uint256 duration) internal {
        if (tokens.length < b.tokens.length) revert LengthMismatch(tokens.length, b.tokens.length);
        _checkWeights(weights_, tokens.length);
        for (uint256 i; i < b.tokens.length; ++i) {
            if (tokens[i] != b.tokens[i]) revert ForbiddenAsset(tokens[i]);
            if (b.quarantined[i] && weights_[i] != 0) revert ForbiddenAsset(tokens[i]);
        }
        b.from = b.weightsNow();
        b.to = weights_;
        if (tokens.length > b.tokens.length) {
            _basketEpoch += 1;
            _extend(b, tokens);
            // A token without a price would stop every rebalance.
            // Only whether it answers is asked.
            // slither-disable-next-line unused-return
            IPriceOracle(b.oracle).prices(b.live());
        }
        uint256 change;
        for (uint256 i; i < weights_.length; ++i) {
            change += weights_[i].dist(b.from[i]);
        }
        uint256 least = change.mulDivUp(GLIDE_PER_WAD, WAD);
        if (duration < least) revert GlideTooShort(duration, least);
        LimitsLib.within("duration", duration, 0, MAX_GLIDE);
        (b.glideStart, b.glideEnd) = (block.timestamp, block.timestamp + duration);
        emit TargetsSet(b.tokens, b.from, b.to, b.glideStart, b.glideEnd, _basketEpoch);
    }

    function _quarantine(Book memory b, address token) internal {
        uint256 index = _indexOf(b.tokens, token);
        uint256[] memory now_ = b.weightsNow();
        uint256 rest = WAD - now_[index];
        // A weight, which no donation moves.
        // slither-disable-next-line incorrect-equality
        if (rest == 0 || b.quarantined[index]) revert ForbiddenAsset(token);
        b.quarantined[index] = true;
        now_[index] = 0;
        for (uint256 i; i < now_.length; ++i) {
            now_[i] = now_[i].mulDiv(WAD, rest);
        }
        b.from = b.to = now_;
        b.glideStart = b.glideEnd = block.timestamp;
        emit Quarantined(token);
        emit TargetsSet(b.tokens, b.from, b.to, b.glideStart, b.glideEnd, _basketEpoch);
    }

    function _setOracle(Book memory b, address oracle) internal {
        _checkCode(oracle);
        address[] memory tokens = b.live();
        uint256[] memory proposed = IPriceOracle(oracle).prices(tokens);
        for (uint256 i; i < tokens.length; ++i) {
            // Where the present oracle quotes nothing there is nothing to agree with, and this may be the cure.
            // Of what age a price is, the oracle judges.
            // slither-disable-next-line unused-return
            try IPriceOracle(b.oracle).latest(tokens[i]) returns (uint256 current, uint256) {
                if (proposed[i].dist(current) > current.mulDiv(MAX_ORACLE_GAP, WAD)) {
                    revert OracleDisagrees(tokens[i], current, proposed[i]);
                }
            } catch {}
        }
        b.oracle = oracle;
        emit OracleSet(oracle);
    }

    function _indexOf(address[] memory tokens, address token) internal pure returns (uint256) {
        for (uint256 i; i < tokens.length; ++i) {
            if (tokens[i] == token) return i;
        }
        revert NotInBasket(token);
    }

    function _pauseUntil(uint256 timestamp) internal {
        _pausedUntil = uint40(timestamp);
        emit PausedUntil(timestamp, msg.sender);
    }

    /* ------------------------------------------------ ERC-7621 ------------------------------------------------ */

    /// @inheritdoc IVaultAdmin
    function totalConstituents() external view returns (uint256) {
        return BookLib.load(_book).tokens.length;
    }

    /// @inheritdoc IVaultAdmin
    function isConstituent(address token) external view returns (bool) {
        address[] memory tokens = BookLib.load(_book).tokens;
        for (uint256 i; i < tokens.length; ++i) {
            if (tokens[i] == token) return true;
        }
        return false;
    }

    /// @inheritdoc IVaultAdmin
    function getReserve(address token) external view nonReadReentrant returns (uint256) {
        _indexOf(BookLib.load(_book).tokens, token);
        return _unreserved(token, token.balanceOf(address(this)));
    }

    /// @inheritdoc IVaultAdmin
    function totalBasketValue() external view nonReadReentrant returns (uint256) {
        return _valuated(BookLib.load(_book)).nav;
    }
}
