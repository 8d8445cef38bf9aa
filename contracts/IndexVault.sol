// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "solady/tokens/ERC20.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {ReentrancyGuardTransient} from "solady/utils/ReentrancyGuardTransient.sol";
import {SSTORE2} from "solady/utils/SSTORE2.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {IIndexVault, Limits, VaultConfig} from "./interfaces/IIndexVault.sol";
import {IPriceOracle} from "./interfaces/IPriceOracle.sol";
import {ISwapExecutor} from "./interfaces/ISwapExecutor.sol";
import {Bucket} from "./libraries/Bucket.sol";
import {Before, Guard, Outcome} from "./libraries/Guard.sol";
import {LimitsLib} from "./libraries/LimitsLib.sol";
import {Order, OrderLib, Sell} from "./libraries/OrderLib.sol";

/// @title  IndexVault
/// @notice Holds a basket of tokens against shares, and lets a keeper rebalance it within bounds it checks itself.
///
/// TRUST
/// The keeper is trusted with nothing but timing. The vault sends out what an order sells, lets any route run, then
/// measures every balance and judges the outcome at oracle prices read before the route. What the route did in
/// between does not matter. The oracle is trusted to be right within its bounds; the owner to choose targets and a
/// keeper. Nobody can make the vault call an arbitrary address, and the vault grants no allowance, ever.
///
/// BOUNDS
/// Over any closed span T, batch losses relative to the NAV before each batch sum to at most
/// lossBudget x (1 + T / window), and turnover to turnoverBudget x (1 + T / window).
///
/// EXIT
/// Redeeming is in kind. It reads no price, asks no role and cannot be paused.
///
/// TOKENS
/// Tokens that take a fee on transfer, rebase or call back are refused by policy and survived in fact: movements are
/// measured, and every entry shares one transient lock. The vault's own share is never an asset.
///
/// ROUNDING
/// Always against the caller: mint takes up, redeem pays down, bought value is rounded down, sold value up.
contract IndexVault is IIndexVault, ERC20, ReentrancyGuardTransient {
    using SafeTransferLib for address;

    /* ----------------------------------------------- CONSTANTS ----------------------------------------------- */

    uint256 public constant MAX_ASSETS = 32;

    /// @notice Shares locked at birth, so that the supply never returns to zero and a share never becomes a rounding
    /// error.
    uint256 public constant DEAD_SHARES = 1e9;
    uint256 public constant MIN_SEED_SHARES = 1e15;
    address internal constant DEAD = 0x000000000000000000000000000000000000dEaD;

    uint256 internal constant WAD = 1e18;

    /* ------------------------------------------------ STORAGE ------------------------------------------------ */

    /// @dev What every rebalance reads and few transactions change. It lives as the code of a data contract: one cold
    ///      account costs less than a cold slot for each of its words.
    struct Settings {
        address oracle;
        address executor;
        address keeper;
        Limits limits;
        address[] tokens;
        uint256[] units;
        uint256[] weights;
    }

    /// @dev What every rebalance writes, in one slot. Levels are WAD fractions of NAV as of `lastRebalance`.
    struct Tally {
        uint64 nonce;
        uint40 lastRebalance;
        uint64 lossLevel;
        uint64 turnoverLevel;
    }

    Tally internal _tally;

    address internal _settingsPointer;
    uint32 internal _basketEpoch;

    /// @inheritdoc IIndexVault
    bool public paused;

    /// @inheritdoc IIndexVault
    address public immutable owner;

    string internal _name;
    string internal _symbol;

    /* ---------------------------------------------- CONSTRUCTOR ---------------------------------------------- */

    /// @dev Pulls the seed from the deployer, who approves the vault's future address beforehand, so that a vault
    ///      never stands without a basket.
    constructor(VaultConfig memory config) {
        if (config.owner == address(0) || config.receiver == address(0)) revert ZeroAddress();
        if (config.oracle.code.length == 0) revert NoCode(config.oracle);
        if (config.executor.code.length == 0) revert NoCode(config.executor);
        uint256 count = config.tokens.length;
        if (count == 0 || count > MAX_ASSETS) revert TooManyAssets(count, MAX_ASSETS);
        if (config.amounts.length != count) revert LengthMismatch(config.amounts.length, count);
        if (config.shares < MIN_SEED_SHARES) revert SeedTooSmall(config.shares, MIN_SEED_SHARES);
        _checkWeights(config.weights, count);
        LimitsLib.validate(config.limits);

        owner = config.owner;
        _name = config.name;
        _symbol = config.symbol;

        uint256[] memory units = new uint256[](count);
        uint256 seeded;
        for (uint256 i; i < count; ++i) {
            address token = config.tokens[i];
            for (uint256 j; j < i; ++j) {
                if (config.tokens[j] == token) revert ForbiddenAsset(token);
            }
            uint256 decimals_ = ERC20(token).decimals();
            if (decimals_ > 18) revert ForbiddenAsset(token);
            units[i] = 10 ** decimals_;
            seeded |= _pull(token, config.amounts[i]);
        }
        if (seeded == 0) revert SeedTooSmall(0, 1);

        _saveSettings(
            Settings({
                oracle: config.oracle,
                executor: config.executor,
                keeper: config.keeper,
                limits: config.limits,
                tokens: config.tokens,
                units: units,
                weights: config.weights
            })
        );
        _mint(DEAD, DEAD_SHARES);
        _mint(config.receiver, config.shares - DEAD_SHARES);

        emit Initialized(config.tokens, config.amounts, config.shares, config.receiver, config.limits);
        emit TargetsSet(config.weights);
        emit KeeperSet(config.keeper);
    }

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(msg.sender, owner);
        _;
    }

    /* ------------------------------------------------- BASKET ------------------------------------------------- */

    /// @inheritdoc IIndexVault
    function assets() external view returns (address[] memory) {
        return _settings().tokens;
    }

    /// @inheritdoc IIndexVault
    function targets() external view returns (uint256[] memory) {
        return _settings().weights;
    }

    /// @inheritdoc IIndexVault
    function balances() external view nonReadReentrant returns (uint256[] memory) {
        return _balances(_settings().tokens);
    }

    /// @inheritdoc IIndexVault
    function basketEpoch() external view returns (uint256) {
        return _basketEpoch;
    }

    /// @inheritdoc IIndexVault
    function nav() public view nonReadReentrant returns (uint256) {
        return _valuated(_settings()).nav;
    }

    /// @inheritdoc IIndexVault
    function weights() external view nonReadReentrant returns (uint256[] memory actual) {
        Before memory b = _valuated(_settings());
        actual = b.values;
        for (uint256 i; i < actual.length; ++i) {
            actual[i] = FixedPointMathLib.fullMulDiv(actual[i], WAD, b.nav);
        }
    }

    /// @inheritdoc IIndexVault
    function sharePrice() external view returns (uint256) {
        return FixedPointMathLib.fullMulDiv(nav(), WAD, totalSupply());
    }

    /* --------------------------------------------- MINT AND REDEEM --------------------------------------------- */

    /// @inheritdoc IIndexVault
    function previewMint(uint256 shares) external view nonReadReentrant returns (uint256[] memory amounts) {
        amounts = _balances(_settings().tokens);
        uint256 supply = totalSupply();
        for (uint256 i; i < amounts.length; ++i) {
            amounts[i] = FixedPointMathLib.fullMulDivUp(amounts[i], shares, supply);
        }
    }

    /// @inheritdoc IIndexVault
    function previewRedeem(uint256 shares) external view nonReadReentrant returns (uint256[] memory amounts) {
        amounts = _balances(_settings().tokens);
        uint256 supply = totalSupply();
        for (uint256 i; i < amounts.length; ++i) {
            amounts[i] = FixedPointMathLib.fullMulDiv(amounts[i], shares, supply);
        }
    }

    /// @inheritdoc IIndexVault
    function mint(uint256 shares, address receiver, uint256[] calldata maxIn, uint256 epoch)
        external
        nonReentrant
        returns (uint256[] memory amounts)
    {
        address[] memory tokens = _checkShares(shares, maxIn.length, epoch);
        uint256 supply = totalSupply();
        amounts = new uint256[](tokens.length);
        for (uint256 i; i < tokens.length; ++i) {
            uint256 amount = FixedPointMathLib.fullMulDivUp(_balance(tokens[i]), shares, supply);
            if (amount > maxIn[i]) revert AboveMaxIn(tokens[i], amount, maxIn[i]);
            amounts[i] = _pull(tokens[i], amount);
        }
        _mint(receiver, shares);
        emit Minted(msg.sender, receiver, shares, amounts);
    }

    /// @inheritdoc IIndexVault
    function redeem(uint256 shares, address receiver, address owner_, uint256[] calldata minOut, uint256 epoch)
        external
        nonReentrant
        returns (uint256[] memory amounts)
    {
        address[] memory tokens = _checkShares(shares, minOut.length, epoch);
        uint256 supply = totalSupply();
        if (msg.sender != owner_) _spendAllowance(owner_, msg.sender, shares);
        _burn(owner_, shares);
        amounts = new uint256[](tokens.length);
        for (uint256 i; i < tokens.length; ++i) {
            uint256 amount = FixedPointMathLib.fullMulDiv(_balance(tokens[i]), shares, supply);
            if (amount < minOut[i]) revert BelowMinOut(tokens[i], amount, minOut[i]);
            amounts[i] = amount;
            tokens[i].safeTransfer(receiver, amount);
        }
        emit Redeemed(msg.sender, receiver, owner_, shares, amounts);
    }

    /* ----------------------------------------------- REBALANCE ----------------------------------------------- */

    /// @inheritdoc IIndexVault
    function rebalance(bytes calldata data) external nonReentrant {
        Settings memory s = _settings();
        if (msg.sender != s.keeper) revert NotKeeper(msg.sender, s.keeper);
        if (paused) revert RebalancingPaused();
        (Order memory order, bytes calldata route) = OrderLib.decode(data, s.tokens.length);
        Tally memory tally = _begin(order, s.limits);

        Before memory b = _valuated(s);
        Guard.checkDrift(b, s.limits.deadBand);

        // Written before anything foreign is called: whatever re-enters elsewhere sees this order as used.
        _tally = tally;

        uint256[] memory floors = _push(order.sells, s, b.balances);
        ISwapExecutor(s.executor).execute(route);

        uint256[] memory balances1 = _balances(s.tokens);
        for (uint256 i; i < order.buys.length; ++i) {
            uint256 index = order.buys[i].index;
            uint256 received = FixedPointMathLib.zeroFloorSub(balances1[index], floors[index]);
            if (received < order.buys[i].minAmount) {
                revert BelowMinOut(s.tokens[index], received, order.buys[i].minAmount);
            }
        }

        Outcome memory o = Guard.measure(b, balances1);
        (uint256 lossLevel, uint256 turnoverLevel) = Guard.check(b, o, s.limits, tally.lossLevel, tally.turnoverLevel);
        // Both are at most their budgets, which are uint64.
        _tally.lossLevel = uint64(lossLevel);
        _tally.turnoverLevel = uint64(turnoverLevel);

        emit Rebalanced(
            order.nonce,
            msg.sender,
            b.nav,
            o.nav,
            FixedPointMathLib.fullMulDiv(b.gap, WAD, b.nav),
            FixedPointMathLib.fullMulDivUp(o.gap, WAD, b.nav),
            lossLevel,
            turnoverLevel
        );
    }

    /// @inheritdoc IIndexVault
    function nonce() external view returns (uint256) {
        return _tally.nonce;
    }

    /// @inheritdoc IIndexVault
    function lastRebalance() external view returns (uint256) {
        return _tally.lastRebalance;
    }

    /// @inheritdoc IIndexVault
    function headroom() external view returns (uint256 loss, uint256 turnover) {
        Limits memory l = _settings().limits;
        Tally memory t = _tally;
        _drain(t, l);
        loss = FixedPointMathLib.zeroFloorSub(l.lossBudget, t.lossLevel);
        turnover = FixedPointMathLib.zeroFloorSub(l.turnoverBudget, t.turnoverLevel);
    }

    /// @inheritdoc IIndexVault
    function limits() external view returns (Limits memory) {
        return _settings().limits;
    }

    /// @dev Checks an order's nonce, deadline, epoch and the cooldown; returns the tally that marks it as used.
    function _begin(Order memory order, Limits memory l) internal view returns (Tally memory tally) {
        tally = _tally;
        if (order.nonce != uint256(tally.nonce) + 1) revert WrongNonce(order.nonce, uint256(tally.nonce) + 1);
        if (block.timestamp > order.deadline) revert Expired(order.deadline, block.timestamp);
        if (order.epoch != _basketEpoch) revert WrongEpoch(order.epoch, _basketEpoch);
        uint256 readyAt = uint256(tally.lastRebalance) + l.cooldown;
        if (block.timestamp < readyAt) revert CoolingDown(block.timestamp, readyAt);

        _drain(tally, l);
        tally.nonce += 1;
        tally.lastRebalance = uint40(block.timestamp);
    }

    /// @dev Lets both buckets of `tally` drain up to now.
    function _drain(Tally memory tally, Limits memory l) internal view {
        uint256 elapsed = block.timestamp - tally.lastRebalance;
        tally.lossLevel = uint64(Bucket.drained(tally.lossLevel, l.lossBudget, elapsed, l.window));
        tally.turnoverLevel = uint64(Bucket.drained(tally.turnoverLevel, l.turnoverBudget, elapsed, l.window));
    }

    /// @dev Sends out exactly what the order sells.
    /// @return floors What each balance is counted from when a buy's minimum is checked: a token may be sold and
    ///         bought in one order, as working capital of the route.
    function _push(Sell[] memory sells, Settings memory s, uint256[] memory balances0)
        internal
        returns (uint256[] memory floors)
    {
        floors = new uint256[](balances0.length);
        for (uint256 i; i < floors.length; ++i) {
            floors[i] = balances0[i];
        }
        for (uint256 i; i < sells.length; ++i) {
            Sell memory sell = sells[i];
            address token = s.tokens[sell.index];
            address to = sell.to == address(0) ? s.executor : sell.to;
            if (to == address(this) || to == token) revert BadRecipient(token, to);
            floors[sell.index] = FixedPointMathLib.zeroFloorSub(floors[sell.index], sell.amount);
            token.safeTransfer(to, sell.amount);
        }
    }

    /* ------------------------------------------------- ROLES ------------------------------------------------- */

    /// @inheritdoc IIndexVault
    function keeper() external view returns (address) {
        return _settings().keeper;
    }

    /// @inheritdoc IIndexVault
    function oracle() external view returns (address) {
        return _settings().oracle;
    }

    /// @inheritdoc IIndexVault
    function executor() external view returns (address) {
        return _settings().executor;
    }

    /// @inheritdoc IIndexVault
    function setTargets(uint256[] calldata weights_) external onlyOwner nonReentrant {
        Settings memory s = _settings();
        _checkWeights(weights_, s.tokens.length);
        s.weights = weights_;
        _changeSettings(s);
        emit TargetsSet(weights_);
    }

    /// @inheritdoc IIndexVault
    function setKeeper(address keeper_) external onlyOwner nonReentrant {
        Settings memory s = _settings();
        s.keeper = keeper_;
        _changeSettings(s);
        emit KeeperSet(keeper_);
    }

    /// @inheritdoc IIndexVault
    function setPaused(bool paused_) external onlyOwner nonReentrant {
        paused = paused_;
        emit PausedSet(paused_);
    }

    /* ------------------------------------------------ INTERNAL ------------------------------------------------ */

    function _settings() internal view returns (Settings memory) {
        return abi.decode(SSTORE2.read(_settingsPointer), (Settings));
    }

    function _saveSettings(Settings memory s) internal {
        _settingsPointer = SSTORE2.write(abi.encode(s));
    }

    /// @dev Raises the nonce, so that no order made under the old settings survives them.
    function _changeSettings(Settings memory s) internal {
        _saveSettings(s);
        _tally.nonce += 1;
    }

    function _checkWeights(uint256[] memory weights_, uint256 count) internal pure {
        if (weights_.length != count) revert LengthMismatch(weights_.length, count);
        uint256 sum;
        for (uint256 i; i < count; ++i) {
            sum += weights_[i];
        }
        if (sum != WAD) revert WeightsDoNotSumToOne(sum);
    }

    function _checkShares(uint256 shares, uint256 length, uint256 epoch)
        internal
        view
        returns (address[] memory tokens)
    {
        if (shares == 0) revert ZeroShares();
        if (epoch != _basketEpoch) revert WrongEpoch(epoch, _basketEpoch);
        tokens = _settings().tokens;
        if (length != tokens.length) revert LengthMismatch(length, tokens.length);
    }

    /// @dev Takes `amount` from the caller and insists that all of it arrives.
    function _pull(address token, uint256 amount) internal returns (uint256) {
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = FixedPointMathLib.zeroFloorSub(token.balanceOf(address(this)), before);
        if (received < amount) revert ShortTransfer(token, received, amount);
        return amount;
    }

    function _balance(address token) internal view returns (uint256) {
        return token.balanceOf(address(this));
    }

    function _balances(address[] memory tokens) internal view returns (uint256[] memory held) {
        held = new uint256[](tokens.length);
        for (uint256 i; i < tokens.length; ++i) {
            held[i] = _balance(tokens[i]);
        }
    }

    /// @dev The basket at oracle prices. Reverts if the oracle refuses any of them.
    function _valuated(Settings memory s) internal view returns (Before memory b) {
        b.balances = _balances(s.tokens);
        b.units = s.units;
        b.weights = s.weights;
        b.prices = IPriceOracle(s.oracle).prices(s.tokens);
        Guard.valuate(b);
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

    /// @dev One lock on every chain; without transient storage the vault does not deploy.
    function _useTransientReentrancyGuardOnlyOnMainnet() internal pure override returns (bool) {
        return false;
    }
}
