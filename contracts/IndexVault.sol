// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "solady/tokens/ERC20.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {VaultBase} from "./VaultBase.sol";
import {AuctionTerms, Fees, IIndexVault, Limits, VaultConfig} from "./interfaces/IIndexVault.sol";
import {ISwapExecutor} from "./interfaces/ISwapExecutor.sol";
import {Arrays} from "./libraries/Arrays.sol";
import {Book, BookLib} from "./libraries/Book.sol";
import {Before, Guard, Outcome} from "./libraries/Guard.sol";
import {OrderHeader, OrderLib} from "./libraries/OrderLib.sol";
import {Tokens} from "./libraries/Tokens.sol";

/// @title  IndexVault
/// @notice Holds a basket of tokens against shares, and lets a keeper rebalance it within bounds it checks itself.
///
/// TRUST
/// The keeper is trusted with nothing but timing. The vault sends out what an order sells, lets any route run, then
/// measures every balance and judges the outcome at oracle prices read before the route. What the route did in
/// between does not matter. The oracle is trusted to be right within its bounds, the curator to choose targets. Nobody
/// can make the vault call an arbitrary address, and the vault grants no allowance, ever.
///
/// BOUNDS
/// Over any closed span T, batch losses relative to the NAV before each batch sum to at most
/// lossBudget x (1 + T / window), and turnover to turnoverBudget x (1 + T / window). docs/threat-model.md derives what
/// that means in money.
///
/// EXIT
/// Redeeming is in kind. It reads no price, asks no role and cannot be paused. A token that cannot be sent becomes a
/// claim; a token that does not even tell its balance is left behind only by who says so.
///
/// CHANGE
/// Whatever could hurt a holder waits in the timelock, longer than it takes to leave. Any change of what a rebalance
/// reads raises both nonces, so that no order made before survives it, and first lets the buckets drain under the old
/// settings.
///
/// TOKENS
/// Tokens that take a fee on transfer, rebase or call back are refused by policy and survived in fact: movements are
/// measured, and every entry shares one transient lock. The vault's own share is never an asset.
///
/// ROUNDING
/// Always against the caller: mint takes up, redeem pays down, bought value is rounded down, sold value up.
contract IndexVault is VaultBase, ERC20, IIndexVault {
    using Arrays for address[];
    using Arrays for bool[];
    using Arrays for uint256[];
    using BookLib for Book;
    using FixedPointMathLib for uint256;
    using OrderLib for bytes;
    using SafeTransferLib for address;
    using Tokens for address;

    /// @inheritdoc IIndexVault
    address public immutable admin;

    /* ---------------------------------------------- CONSTRUCTOR ---------------------------------------------- */

    /// @dev Pulls the seed from the deployer, who approves the vault's future address beforehand, so that a vault
    ///      never stands without a basket.
    constructor(VaultConfig memory config) {
        _checkCode(config.admin);
        admin = config.admin;
        if (config.owner == address(0) || config.receiver == address(0)) revert ZeroAddress();
        uint256 count = config.tokens.length;
        if (config.amounts.length != count) revert LengthMismatch(config.amounts.length, count);
        if (config.shares < MIN_SEED_SHARES) revert SeedTooSmall(config.shares, MIN_SEED_SHARES);
        if (config.shares > MAX_SUPPLY) revert SupplyTooLarge(config.shares, MAX_SUPPLY);

        _name = config.name;
        _symbol = config.symbol;
        _accruedAt = uint40(block.timestamp);
        _tally.calmAt = uint40(block.timestamp);

        Book memory b;
        _setOwner(config.owner);
        _setCurator(config.curator);
        _setGuardian(config.guardian);
        _setKeeper(b, config.keeper);
        _setExecutor(b, config.executor);
        _checkCode(config.oracle);
        b.oracle = config.oracle;
        emit OracleSet(config.oracle);
        _setLimits(b, config.limits, config.auction);
        _setFees(b, config.fees, config.feeRecipient);
        _setTimelock(config.timelock);
        _extend(b, config.tokens);
        _checkWeights(config.weights, count);
        b.from = b.to = config.weights;
        b.glideStart = b.glideEnd = block.timestamp;
        _book = b.save();
        emit TargetsSet(b.tokens, b.from, b.to, b.glideStart, b.glideEnd, 0);

        uint256 seeded;
        for (uint256 i; i < count; ++i) {
            _pull(config.tokens[i], config.amounts[i]);
            seeded |= config.amounts[i];
        }
        if (seeded == 0) revert SeedTooSmall(0, 1);
        _mint(DEAD, DEAD_SHARES);
        _mint(config.receiver, config.shares - DEAD_SHARES);
        emit Initialized(config.owner, config.shares, config.receiver, config.amounts);
    }

    /* ------------------------------------------------- BASKET ------------------------------------------------- */

    /// @inheritdoc IIndexVault
    function book() external view returns (Book memory) {
        return BookLib.load(_book);
    }

    /// @inheritdoc IIndexVault
    function assets() external view returns (address[] memory) {
        return BookLib.load(_book).tokens;
    }

    /// @inheritdoc IIndexVault
    function targets() external view returns (uint256[] memory) {
        return BookLib.load(_book).weightsNow();
    }

    /// @inheritdoc IIndexVault
    function balances() public view nonReadReentrant returns (uint256[] memory held) {
        address[] memory tokens = BookLib.load(_book).tokens;
        held = new uint256[](tokens.length);
        for (uint256 i; i < held.length; ++i) {
            held[i] = _unreserved(tokens[i], tokens[i].balanceOf(address(this)));
        }
    }

    /// @inheritdoc IIndexVault
    function basketEpoch() external view returns (uint256) {
        return _basketEpoch;
    }

    /// @inheritdoc IIndexVault
    function nav() public view nonReadReentrant returns (uint256) {
        return _valuated(BookLib.load(_book)).nav;
    }

    /// @inheritdoc IIndexVault
    function weights() external view nonReadReentrant returns (uint256[] memory actual) {
        Before memory b = _valuated(BookLib.load(_book));
        actual = b.values;
        for (uint256 i; i < actual.length; ++i) {
            actual[i] = actual[i].mulDiv(WAD, b.nav);
        }
    }

    /// @inheritdoc IIndexVault
    function sharePrice() external view returns (uint256) {
        return nav().mulDiv(WAD, totalSupply() + _pendingFee(BookLib.load(_book).fees));
    }

    /* --------------------------------------------- MINT AND REDEEM --------------------------------------------- */

    /// @inheritdoc IIndexVault
    function previewMint(uint256 shares) external view returns (uint256[] memory amounts) {
        Book memory b = BookLib.load(_book);
        amounts = _whole(b);
        uint256 supply = totalSupply() + _pendingFee(b.fees);
        for (uint256 i; i < amounts.length; ++i) {
            amounts[i] = _mintAmount(amounts[i], shares, supply, b.fees);
        }
    }

    /// @inheritdoc IIndexVault
    function previewRedeem(uint256 shares) external view returns (uint256[] memory amounts) {
        Book memory b = BookLib.load(_book);
        amounts = _whole(b);
        uint256 supply = totalSupply() + _pendingFee(b.fees);
        for (uint256 i; i < amounts.length; ++i) {
            amounts[i] = amounts[i].fullMulDiv(_redeemed(shares, b.fees), supply);
        }
    }

    /// @inheritdoc IIndexVault
    function mint(uint256 shares, address receiver, uint256[] calldata maxIn, uint256 epoch)
        external
        nonReentrant
        returns (uint256[] memory amounts)
    {
        Book memory b = _openShares(shares, maxIn.length, epoch);
        uint256 supply = totalSupply();
        if (supply + shares > MAX_SUPPLY) revert SupplyTooLarge(supply + shares, MAX_SUPPLY);
        amounts = new uint256[](b.tokens.length);
        for (uint256 i; i < amounts.length; ++i) {
            address token = b.tokens[i];
            uint256 before = _held(token);
            uint256 amount = _mintAmount(_unreserved(token, before), shares, supply, b.fees);
            if (amount > maxIn[i]) revert AboveMaxIn(token, amount, maxIn[i]);
            amounts[i] = amount;
            _pullFrom(token, amount, before);
        }
        _mint(receiver, shares);
        emit Minted(msg.sender, receiver, shares, amounts);
    }

    /// @inheritdoc IIndexVault
    function redeem(uint256 shares, address receiver, address from, uint256[] calldata minOut, uint256 epoch)
        external
        nonReentrant
        returns (uint256[] memory amounts)
    {
        if (receiver == address(0) || receiver == address(this)) revert BadReceiver(receiver);
        Book memory b = _openShares(shares, minOut.length, epoch);
        uint256 supply = totalSupply();
        if (msg.sender != from) _spendAllowance(from, msg.sender, shares);
        _burn(from, shares);
        uint256 net = _redeemed(shares, b.fees);
        amounts = new uint256[](b.tokens.length);
        for (uint256 i; i < amounts.length; ++i) {
            amounts[i] = _payOut(b.tokens[i], net, supply, receiver, minOut[i]);
        }
        emit Redeemed(msg.sender, receiver, from, shares, amounts);
    }

    /// @inheritdoc IIndexVault
    function claim(address token, address to, uint256 minOut) external nonReentrant returns (uint256 paid) {
        uint256 amount = _claimOf[token][msg.sender];
        if (to == address(this)) revert BadReceiver(to);
        uint256 total = _reserved[token];
        uint256 held = _held(token);
        paid = held < total ? amount.fullMulDiv(held, total) : amount;
        // There is no claim, or nothing left behind it: nobody gains by making this zero, for the claim stays.
        // slither-disable-next-line incorrect-equality
        if (paid == 0) revert NothingToClaim(token, msg.sender);
        if (paid < minOut) revert BelowMinOut(token, paid, minOut);
        _claimOf[token][msg.sender] = 0;
        _reserved[token] = total - amount;
        token.safeTransfer(to, paid);
        emit ClaimPaid(token, msg.sender, to, amount, paid);
    }

    /// @inheritdoc IIndexVault
    function claimOf(address token, address account) external view returns (uint256) {
        return _claimOf[token][account];
    }

    /// @inheritdoc IIndexVault
    function reserved(address token) external view returns (uint256) {
        return _reserved[token];
    }

    /// @inheritdoc IIndexVault
    function accrueFees() external nonReentrant {
        _accrue(BookLib.load(_book).fees);
    }

    /// @dev Sends `receiver` its part of one token, and turns into a claim what the vault was not debited.
    function _payOut(address token, uint256 shares, uint256 supply, address receiver, uint256 minOut)
        internal
        returns (uint256 paid)
    {
        (bool known, uint256 held) = token.tryBalanceOf(address(this));
        if (!known && minOut != 0) revert BalanceUnknown(token);
        uint256 due = _unreserved(token, held).fullMulDiv(shares, supply);
        if (due != 0) {
            bool sent = token.trySend(receiver, due);
            uint256 left;
            (known, left) = token.tryBalanceOf(address(this));
            // A token that moved and then hides its balance is believed: the claim would be paid twice.
            paid = known ? held.zeroFloorSub(left).min(due) : sent ? due : 0;
            if (paid < due) {
                // Claims are rare, and mostly on one token.
                // slither-disable-next-line costly-loop
                _anyReserved = true;
                _reserved[token] += due - paid;
                _claimOf[token][receiver] += due - paid;
                emit ClaimCreated(token, receiver, due - paid);
            }
        }
        if (paid < minOut) revert BelowMinOut(token, paid, minOut);
    }

    /// @dev Checks what mint and redeem have in common, and accrues the fees they depend on.
    function _openShares(uint256 shares, uint256 length, uint256 epoch) internal returns (Book memory b) {
        if (shares == 0) revert ZeroShares();
        if (epoch != _basketEpoch) revert WrongEpoch(epoch, _basketEpoch);
        b = BookLib.load(_book);
        if (length != b.tokens.length) revert LengthMismatch(length, b.tokens.length);
        _accrue(b.fees);
    }

    /// @dev As `balances`, but reverts where one is unknown.
    function _whole(Book memory b) internal view nonReadReentrant returns (uint256[] memory held) {
        held = new uint256[](b.tokens.length);
        for (uint256 i; i < held.length; ++i) {
            held[i] = _unreserved(b.tokens[i], _held(b.tokens[i]));
        }
    }

    function _mintAmount(uint256 held, uint256 shares, uint256 supply, Fees memory fees)
        internal
        pure
        returns (uint256)
    {
        return held.fullMulDivUp(shares.mulDivUp(WAD + fees.mint, WAD), supply);
    }

    function _redeemed(uint256 shares, Fees memory fees) internal pure returns (uint256) {
        return shares.fullMulDiv(WAD - fees.redeem, WAD);
    }

    /// @dev Shares that make `feeRecipient` own the streaming fee since the last accrual. Saturates, never reverts.
    function _pendingFee(Fees memory fees) internal view returns (uint256) {
        uint256 due = uint256(fees.streaming) * (block.timestamp - _accruedAt) / 365 days;
        // A product of the fee and the time, not a balance.
        // slither-disable-next-line incorrect-equality
        if (due == 0) return 0;
        due = due.min(MAX_ACCRUAL);
        uint256 supply = totalSupply();
        return supply.fullMulDiv(due, WAD - due).min(MAX_SUPPLY - supply);
    }

    /// @dev While nothing is due the clock is left alone, so that calling often cannot round the fee away.
    function _accrue(Fees memory fees) internal {
        uint256 shares = _pendingFee(fees);
        // Whoever makes it zero only postpones the fee.
        // slither-disable-next-line incorrect-equality
        if (shares == 0) return;
        _accruedAt = uint40(block.timestamp);
        _mint(_feeRecipient, shares);
        emit FeesAccrued(_feeRecipient, shares);
    }

    /* ----------------------------------------------- REBALANCE ----------------------------------------------- */

    /// @dev What a keeper's batch and a filler's are judged by, where they differ.
    struct Terms {
        uint256 nonce;
        int256 slippage;
        uint256 band;
        uint256 minFill;
    }

    /// @dev What the event of a batch tells, beside the tally.
    struct Result {
        uint256 nav0;
        uint256 nav1;
        uint256 drift0;
        uint256 drift1;
    }

    /// @inheritdoc IIndexVault
    function rebalance(bytes calldata order) external nonReentrant {
        Book memory b = BookLib.load(_book);
        if (msg.sender != b.keeper) revert Unauthorized(msg.sender);
        Tally memory tally = _tally;
        tally.nonce += 1;
        Terms memory terms = Terms(tally.nonce, int256(uint256(b.limits.maxSlippage)), b.limits.deadBand, 0);
        Result memory r = _trade(order, b, tally, terms);
        emit Rebalanced(
            terms.nonce, msg.sender, r.nav0, r.nav1, r.drift0, r.drift1, tally.lossLevel, tally.turnoverLevel
        );
    }

    /// @inheritdoc IIndexVault
    function openAuction() external nonReentrant {
        Book memory b = BookLib.load(_book);
        if (block.timestamp < _pausedUntil) revert RebalancingPaused(_pausedUntil);
        if (_auctionLive(b.auction)) revert AuctionRunning(_auctionOpenedAt);
        _checkSilence(b.auction);
        uint256 drift = Guard.checkDrift(_valuated(b), b.auction.openBand);
        _auctionOpenedAt = uint40(block.timestamp);
        emit AuctionOpened(msg.sender, drift);
    }

    /// @inheritdoc IIndexVault
    function rebalanceOpen(bytes calldata order) external nonReentrant {
        Book memory b = BookLib.load(_book);
        if (!_auctionLive(b.auction)) revert NoAuction(_auctionOpenedAt, block.timestamp);
        _checkSilence(b.auction);
        // From -premium, which the filler pays, to maxSlippage, which the vault pays at most.
        uint256 range = uint256(b.auction.premium) + b.limits.maxSlippage;
        int256 slippage = int256(range * (block.timestamp - _auctionOpenedAt) / b.auction.length)
            - int256(uint256(b.auction.premium));

        _openNonce += 1;
        // A fill starts the price over: the next filler does not inherit what this one waited for.
        _auctionOpenedAt = uint40(block.timestamp);
        Tally memory tally = _tally;
        Terms memory terms = Terms(_openNonce, slippage, b.auction.openBand, b.auction.minFill);
        Result memory r = _trade(order, b, tally, terms);
        emit AuctionFilled(
            terms.nonce, msg.sender, r.nav0, r.nav1, r.drift0, r.drift1, tally.lossLevel, tally.turnoverLevel
        );
    }

    /// @inheritdoc IIndexVault
    function nonce() external view returns (uint256) {
        return _tally.nonce;
    }

    /// @inheritdoc IIndexVault
    function openNonce() external view returns (uint256) {
        return _openNonce;
    }

    /// @inheritdoc IIndexVault
    function settledAt() external view returns (uint256) {
        return _tally.settledAt;
    }

    /// @inheritdoc IIndexVault
    function calmAt() external view returns (uint256) {
        return _tally.calmAt;
    }

    /// @inheritdoc IIndexVault
    function auctionOpenedAt() external view returns (uint256) {
        return _auctionLive(BookLib.load(_book).auction) ? _auctionOpenedAt : 0;
    }

    /// @inheritdoc IIndexVault
    function headroom() external view returns (uint256 loss, uint256 turnover) {
        Limits memory l = BookLib.load(_book).limits;
        Tally memory t = _tally;
        _drain(t, l);
        loss = uint256(l.lossBudget).zeroFloorSub(t.lossLevel);
        turnover = uint256(l.turnoverBudget).zeroFloorSub(t.turnoverLevel);
    }

    /// @dev The whole of a rebalance, whoever asks for it: steps 1 to 5 of the design.
    /// @param tally Comes with the keeper's nonce as it is to be stored; leaves as it was stored.
    function _trade(bytes calldata order, Book memory b, Tally memory tally, Terms memory terms)
        internal
        returns (Result memory r)
    {
        (OrderHeader memory h, bytes calldata route) = order.open();
        _admit(h, b.limits, tally, terms.nonce);

        Before memory before = _valuated(b);
        (r.nav0, r.drift0) = (before.nav, Guard.checkDrift(before, terms.band));

        // Written before anything foreign is called: whatever re-enters elsewhere sees this order as used.
        _drain(tally, b.limits);
        _store(tally);

        uint256[] memory floors = _push(order, h.buysAt, b, before.balances);
        // The tally is written before, and again after; nothing that could read it runs without the lock.
        // slither-disable-next-line reentrancy-benign
        ISwapExecutor(b.executor).execute(route);

        (uint256[] memory held,) = _tradable(b);
        _checkReceived(order, h, b, held, floors);

        _judge(b, tally, terms, before, Guard.measure(before, held), r);
        _store(tally);
    }

    /// @dev Reverts unless the outcome passes the guard; enters it into the tally and into `r`.
    function _judge(
        Book memory b,
        Tally memory tally,
        Terms memory terms,
        Before memory before,
        Outcome memory o,
        Result memory r
    ) internal view {
        uint256 needed = Guard.progress(before, b.limits.minProgress, terms.minFill);
        (uint256 loss, uint256 turnover) =
            Guard.check(before, o, b.limits, terms.slippage, needed, tally.lossLevel, tally.turnoverLevel);
        // Both are at most their budgets, which are uint64.
        (tally.lossLevel, tally.turnoverLevel) = (uint64(loss), uint64(turnover));
        (r.nav1, r.drift1) = (o.nav, Guard.driftOf(before, o));
        if (r.drift1 <= b.auction.openBand) tally.calmAt = uint40(block.timestamp);
    }

    /// @dev Whether this order may run at all, and now.
    function _admit(OrderHeader memory h, Limits memory l, Tally memory tally, uint256 expectedNonce) internal view {
        // Both in one read of the slot that they share.
        (uint256 pausedUntil, uint256 epoch) = (_pausedUntil, _basketEpoch);
        if (block.timestamp < pausedUntil) revert RebalancingPaused(pausedUntil);
        if (h.nonce != expectedNonce) revert WrongNonce(h.nonce, expectedNonce);
        if (block.timestamp > h.deadline) revert Expired(h.deadline, block.timestamp);
        if (h.epoch != epoch) revert WrongEpoch(h.epoch, epoch);
        uint256 readyAt = uint256(tally.settledAt) + l.cooldown;
        if (block.timestamp < readyAt) revert CoolingDown(block.timestamp, readyAt);
    }

    /// @dev Sends out exactly what the order sells.
    /// @return floors What each balance is counted from when a buy's minimum is checked: a token may be sold and
    ///         bought in one order, as working capital of the route.
    function _push(bytes calldata order, uint256 end, Book memory b, uint256[] memory held)
        internal
        returns (uint256[] memory floors)
    {
        floors = held.copy();
        uint256 least;
        for (uint256 next = OrderLib.HEADER; next < end;) {
            (uint256 index, uint256 amount, address to) = order.sellAt(next, least, floors.length);
            uint256 at = Arrays.offset(index);
            address token = b.tokens.get(at);
            if (to == address(0)) to = b.executor;
            if (to == address(this) || to == token) revert BadRecipient(token, to);
            if (b.quarantined.get(at)) revert MovesQuarantined(token);
            uint256 floor = floors.get(at);
            // What is reserved for claims lies in the same balance and is not the basket's to sell.
            if (amount > floor) revert ExceedsBasket(token, amount, floor);
            unchecked {
                next += OrderLib.SELL;
                least = index + 1;
                floors.set(at, floor - amount);
            }
            token.safeTransfer(to, amount);
        }
    }

    function _checkReceived(
        bytes calldata order,
        OrderHeader memory h,
        Book memory b,
        uint256[] memory held,
        uint256[] memory floors
    ) internal pure {
        uint256 least;
        uint256 end = h.routeAt;
        for (uint256 next = h.buysAt; next < end;) {
            (uint256 index, uint256 minAmount) = order.buyAt(next, least, held.length);
            unchecked {
                next += OrderLib.BUY;
                least = index + 1;
            }
            uint256 at = Arrays.offset(index);
            uint256 received = held.get(at).zeroFloorSub(floors.get(at));
            if (received < minAmount) revert BelowMinOut(b.tokens[index], received, minAmount);
        }
    }

    /// @dev An auction ends with its length, with any rebalance that was not its own, and with any change of settings.
    function _auctionLive(AuctionTerms memory a) internal view returns (bool) {
        uint256 openedAt = _auctionOpenedAt;
        return openedAt != 0 && openedAt >= _tally.settledAt && block.timestamp <= openedAt + a.length;
    }

    function _checkSilence(AuctionTerms memory a) internal view {
        uint256 silentAt = uint256(_tally.calmAt) + a.keeperGrace;
        if (block.timestamp < silentAt) revert KeeperNotSilent(block.timestamp, silentAt);
    }

    /* ------------------------------------------------ INTERNAL ------------------------------------------------ */

    function _pull(address token, uint256 amount) internal {
        _pullFrom(token, amount, token.balanceOf(address(this)));
    }

    /// @dev Takes `amount` from the caller and insists that all of it arrives.
    function _pullFrom(address token, uint256 amount, uint256 before) internal {
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = token.balanceOf(address(this)).zeroFloorSub(before);
        if (received < amount) revert ShortTransfer(token, received, amount);
    }

    /* ------------------------------------------------- ERC-20 ------------------------------------------------- */

    function name() public view override returns (string memory) {
        return _name;
    }

    function symbol() public view override returns (string memory) {
        return _symbol;
    }

    /// @dev The vault's shares move by their holder's allowance alone.
    function _givePermit2InfiniteAllowance() internal pure override returns (bool) {
        return false;
    }

    /* ------------------------------------------------- ADMIN ------------------------------------------------- */

    /// @dev Everything that is not a function of this contract is one of `VaultAdmin`, run on this vault's storage.
    fallback() external {
        address code = admin;
        assembly ("memory-safe") {
            let ptr := mload(0x40)
            calldatacopy(ptr, 0, calldatasize())
            let ok := delegatecall(gas(), code, ptr, calldatasize(), 0, 0)
            returndatacopy(ptr, 0, returndatasize())
            if iszero(ok) { revert(ptr, returndatasize()) }
            return(ptr, returndatasize())
        }
    }
}
