// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "solady/tokens/ERC20.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {ReentrancyGuardTransient} from "solady/utils/ReentrancyGuardTransient.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {AuctionTerms, Fees, IVaultEvents, Limits} from "./interfaces/IIndexVault.sol";
import {IPriceOracle} from "./interfaces/IPriceOracle.sol";
import {Arrays} from "./libraries/Arrays.sol";
import {Book, BookLib} from "./libraries/Book.sol";
import {Bucket} from "./libraries/Bucket.sol";
import {Before, Guard} from "./libraries/Guard.sol";
import {LimitsLib} from "./libraries/LimitsLib.sol";

/// @title  VaultBase
/// @notice What a vault is made of: storage, and what its two halves have in common. `IndexVault` holds the
///         money and trades it; `VaultAdmin` is the code, behind a fixed address, that changes settings.
abstract contract VaultBase is IVaultEvents, ReentrancyGuardTransient {
    using Arrays for address[];
    using Arrays for bool[];
    using Arrays for uint256[];
    using BookLib for Book;
    using FixedPointMathLib for uint256;
    using SafeTransferLib for address;

    /* ----------------------------------------------- CONSTANTS ----------------------------------------------- */

    // Each half of a vault uses some of them.
    // slither-disable-start unused-state
    uint256 internal constant MAX_ASSETS = 32;

    /// @dev Locked at birth, so that the supply never returns to zero and a share never becomes a rounding error.
    uint256 internal constant DEAD_SHARES = 1e9;
    uint256 internal constant MIN_SEED_SHARES = 1e15;
    address internal constant DEAD = 0x000000000000000000000000000000000000dEaD;

    /// @dev Fees and pro rata products then fit 256 bits, so that nothing in the exit can overflow.
    uint256 internal constant MAX_SUPPLY = type(uint128).max;

    /// @dev However long fees were not accrued, at most this part of the supply is minted at once.
    uint256 internal constant MAX_ACCRUAL = 0.5e18;

    /// @dev A glide moves at most the whole basket (2 WAD of change) in two weeks.
    uint256 internal constant GLIDE_PER_WAD = 7 days;
    uint256 internal constant MAX_GLIDE = 365 days;

    uint256 internal constant MAX_ORACLE_GAP = 0.02e18;
    uint256 internal constant MAX_PRUNED_VALUE = 0.0001e18;
    uint256 internal constant PAUSE_TERM = 7 days;
    uint256 internal constant SUBMISSION_TERM = 14 days;
    // slither-disable-end unused-state

    uint256 internal constant WAD = 1e18;

    /* ------------------------------------------------ STORAGE ------------------------------------------------ */

    /// @dev What every rebalance writes, in one slot. Levels are WAD fractions of NAV as of `settledAt`.
    struct Tally {
        uint48 nonce;
        uint40 settledAt;
        uint40 calmAt;
        uint64 lossLevel;
        uint64 turnoverLevel;
    }

    // Each half of a vault reads or writes some of it, on the storage of both.
    // slither-disable-start uninitialized-state,unused-state,constable-states,immutable-states
    Tally internal _tally;

    /// @dev With the tally, all that a rebalance reads of the vault's own storage.
    address internal _book;
    uint32 internal _basketEpoch;
    uint40 internal _pausedUntil;
    /// @dev Whether any claim is reserved: saves a cold slot per asset while there is none.
    bool internal _anyReserved;

    address internal _feeRecipient;
    uint40 internal _accruedAt;
    uint32 internal _timelock;

    uint48 internal _openNonce;
    uint40 internal _auctionOpenedAt;
    /// @dev Before this, the guardian cannot pause again.
    uint40 internal _pauseReadyAt;

    address internal _owner;
    address internal _pendingOwner;
    address internal _curator;
    address internal _guardian;

    mapping(bytes32 id => uint256) internal _executableAt;
    mapping(address token => uint256) internal _reserved;
    mapping(address token => mapping(address account => uint256)) internal _claimOf;

    string internal _name;
    string internal _symbol;

    // slither-disable-end uninitialized-state,unused-state,constable-states,immutable-states

    /* ------------------------------------------------ SETTERS ------------------------------------------------ */

    /// @dev Appends what `tokens` lists beyond the present basket.
    function _extend(Book memory b, address[] memory tokens) internal view {
        uint256 count = tokens.length;
        if (count == 0 || count > MAX_ASSETS) revert TooManyAssets(count, MAX_ASSETS);
        uint256 old = b.tokens.length;
        b.grow(tokens);
        for (uint256 i = old; i < count; ++i) {
            for (uint256 j; j < i; ++j) {
                if (tokens[j] == tokens[i]) revert ForbiddenAsset(tokens[i]);
            }
            uint256 decimals_ = tokens[i] == address(this) ? type(uint8).max : ERC20(tokens[i]).decimals();
            if (decimals_ > 18) revert ForbiddenAsset(tokens[i]);
            b.units[i] = 10 ** decimals_;
        }
    }

    function _setExecutor(Book memory b, address executor) internal {
        _checkCode(executor);
        b.executor = executor;
        emit ExecutorSet(executor);
    }

    function _setKeeper(Book memory b, address keeper) internal {
        b.keeper = keeper;
        emit KeeperSet(keeper);
    }

    function _setLimits(Book memory b, Limits memory l, AuctionTerms memory a) internal {
        LimitsLib.validate(l, a);
        (b.limits, b.auction) = (l, a);
        emit LimitsSet(l, a);
    }

    function _setFees(Book memory b, Fees memory fees, address recipient) internal {
        LimitsLib.validate(fees);
        if (recipient == address(0)) revert ZeroAddress();
        b.fees = fees;
        _feeRecipient = recipient;
        emit FeesSet(fees, recipient);
    }

    function _setTimelock(uint32 delay) internal {
        LimitsLib.within("timelock", delay, LimitsLib.MIN_TIMELOCK, LimitsLib.MAX_TIMELOCK);
        _timelock = delay;
        emit TimelockSet(delay);
    }

    function _setOwner(address to) internal {
        _owner = to;
        emit OwnerSet(to);
    }

    function _setCurator(address to) internal {
        _curator = to;
        emit CuratorSet(to);
    }

    function _setGuardian(address to) internal {
        _guardian = to;
        emit GuardianSet(to);
    }

    /* ------------------------------------------------ SHARED ------------------------------------------------ */

    function _checkWeights(uint256[] memory weights_, uint256 count) internal pure {
        if (weights_.length != count) revert LengthMismatch(weights_.length, count);
        uint256 sum;
        for (uint256 i; i < count; ++i) {
            sum += weights_[i];
        }
        if (sum != WAD) revert WeightsDoNotSumToOne(sum);
    }

    function _checkCode(address account) internal view {
        if (account.code.length == 0) revert NoCode(account);
    }

    /// @dev What of a balance belongs to the basket.
    function _unreserved(address token, uint256 held) internal view returns (uint256) {
        return _anyReserved ? held.zeroFloorSub(_reserved[token]) : held;
    }

    /// @dev A balance that somebody is to pay for: one that is not known is not taken for zero.
    function _held(address token) internal view returns (uint256 amount) {
        bool known;
        (known, amount) = token.checkBalanceOf(address(this));
        if (!known) revert BalanceUnknown(token);
    }

    /// @dev What of a basket a rebalance may count on. A quarantined token is not asked: it may not move anyway, and
    ///      asking could be what it answers with a revert.
    /// @return held In index order, zero for a quarantined token.
    /// @return dead How many are quarantined, which is known for nothing once each was looked at.
    function _tradable(Book memory b) internal view returns (uint256[] memory held, uint256 dead) {
        (address[] memory tokens, bool[] memory quarantined) = (b.tokens, b.quarantined);
        address unknown;
        // In assembly, twice in every rebalance: the call is laid out once and each answer lands where it belongs, which
        // saves 9,800 gas for nine assets.
        assembly ("memory-safe") {
            mstore(0x00, 0x70a08231) // balanceOf(address)
            mstore(0x20, address())
            let at := shl(5, mload(tokens))
            held := mload(0x40)
            mstore(0x40, add(held, add(at, 0x20)))
            mstore(held, mload(tokens))
            for {} at { at := sub(at, 0x20) } {
                if mload(add(quarantined, at)) {
                    mstore(add(held, at), 0)
                    dead := add(dead, 1)
                    continue
                }
                let token := mload(add(tokens, at))
                if iszero(and(gt(returndatasize(), 0x1f), staticcall(gas(), token, 0x1c, 0x24, add(held, at), 0x20))) {
                    unknown := token
                    break
                }
            }
        }
        if (unknown != address(0)) revert BalanceUnknown(unknown);
        if (_anyReserved) {
            for (uint256 i; i < held.length; ++i) {
                held[i] = held[i].zeroFloorSub(_reserved[tokens[i]]);
            }
        }
    }

    /// @dev The basket at oracle prices. Reverts if the oracle refuses any of them.
    function _valuated(Book memory b) internal view returns (Before memory before) {
        uint256 dead;
        (before.balances, dead) = _tradable(b);
        before.units = b.units;
        before.weights = b.weightsNow();
        before.prices = b.spread(_prices(b.oracle, b.live(dead)));
        Guard.valuate(before);
    }

    /// @dev `IPriceOracle.prices`. Both arrays lie in memory as they go through the call, and the compiler would take them
    ///      apart element by element: 2,300 gas for nine assets.
    function _prices(address oracle, address[] memory tokens) internal view returns (uint256[] memory quoted) {
        bytes4 selector = IPriceOracle.prices.selector;
        assembly ("memory-safe") {
            let length := mload(tokens)
            let size := shl(5, add(length, 1))
            let m := mload(0x40)
            mstore(m, selector)
            mstore(add(m, 0x04), 0x20)
            mcopy(add(m, 0x24), tokens, size)
            if iszero(staticcall(gas(), oracle, m, add(size, 0x24), 0x00, 0x00)) {
                returndatacopy(m, 0x00, returndatasize())
                revert(m, returndatasize())
            }
            // Fails by itself if less came back.
            returndatacopy(m, 0x00, add(size, 0x20))
            quoted := add(m, 0x20)
            if or(xor(mload(m), 0x20), xor(mload(quoted), length)) { revert(0x00, 0x00) }
            mstore(0x40, add(quoted, size))
        }
    }

    /// @dev Five fields in one write, where the compiler reads and writes the slot for each: 1,800 gas in a rebalance.
    function _store(Tally memory tally) internal {
        uint256 word = uint256(tally.nonce) | uint256(tally.settledAt) << 48 | uint256(tally.calmAt) << 88
            | uint256(tally.lossLevel) << 128 | uint256(tally.turnoverLevel) << 192;
        assembly ("memory-safe") {
            sstore(_tally.slot, word)
        }
    }

    /// @dev Lets both buckets of `tally` drain up to now.
    function _drain(Tally memory tally, Limits memory l) internal view {
        uint256 elapsed = block.timestamp - tally.settledAt;
        tally.lossLevel = uint64(Bucket.drained(tally.lossLevel, l.lossBudget, elapsed, l.window));
        tally.turnoverLevel = uint64(Bucket.drained(tally.turnoverLevel, l.turnoverBudget, elapsed, l.window));
        tally.settledAt = uint40(block.timestamp);
    }

    /// @dev One lock on every chain; without transient storage the vault does not deploy.
    function _useTransientReentrancyGuardOnlyOnMainnet() internal pure override returns (bool) {
        return false;
    }
}
