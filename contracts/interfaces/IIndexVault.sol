// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Book} from "../libraries/Book.sol";

/// @notice Hard limits on what a rebalance may do. Fractions are WAD (1e18 = 100%), times are seconds.
struct Limits {
    /// Bought value must reach (1 - maxSlippage) of sold value.
    uint64 maxSlippage;
    /// One batch may lower NAV by at most this fraction.
    uint64 maxBatchLoss;
    /// Capacity of the loss bucket, a fraction of NAV.
    uint64 lossBudget;
    /// Capacity of the turnover bucket (both legs counted), a fraction of NAV.
    uint64 turnoverBudget;
    /// A rebalance is refused while drift is at or below this.
    uint64 deadBand;
    /// Drift must fall by at least this.
    uint64 minProgress;
    /// Turnover that need not come closer to the targets, a fraction of NAV.
    uint64 dust;
    /// Time in which a full bucket drains.
    uint32 window;
    /// Least time between two rebalances.
    uint32 cooldown;
}

/// @notice When and how anyone may rebalance in the keeper's place.
struct AuctionTerms {
    /// An auction opens above this drift, and every fill needs it anew.
    uint64 openBand;
    /// What the first filler must pay on top of fair value, a fraction of what is sold.
    uint64 premium;
    /// The least part of the gap that one fill must close.
    uint64 minFill;
    /// How long the basket must have been left above the band.
    uint32 keeperGrace;
    /// Time in which the price falls from the premium to `maxSlippage`; the auction ends with it.
    uint32 length;
}

/// @notice Fees in WAD. `streaming` is a fraction of the supply per year, the others of what is minted or redeemed.
struct Fees {
    uint64 streaming;
    uint64 mint;
    uint64 redeem;
}

/// @notice Everything a vault is born with. The basket is pulled from the deployer inside the constructor.
struct VaultConfig {
    string name;
    string symbol;
    address owner;
    address curator;
    address guardian;
    address keeper;
    address oracle;
    address executor;
    /// Where the code of `VaultAdmin` stands.
    address admin;
    address feeRecipient;
    /// Seconds that every waiting change waits.
    uint32 timelock;
    Limits limits;
    AuctionTerms auction;
    Fees fees;
    /// Basket in index order; the order is what an index in an order refers to.
    address[] tokens;
    /// Target weights, WAD, summing to exactly 1e18.
    uint256[] weights;
    /// Raw token amounts pulled from the deployer.
    uint256[] amounts;
    /// Shares minted for them; `DEAD_SHARES` of these are locked forever.
    uint256 shares;
    /// Who gets the remaining shares.
    address receiver;
}

/// @title  IVaultEvents
/// @notice Every event and error of a vault, whichever half raises it.
interface IVaultEvents {
    /* ------------------------------------------------- EVENTS ------------------------------------------------- */

    /// @notice Emitted once by the constructor; the other events of the constructor complete it.
    event Initialized(address indexed owner, uint256 shares, address indexed receiver, uint256[] amounts);
    /// @notice The whole glide: targets are `from` at `start` and `to` at `end`, in the order of `tokens`.
    event TargetsSet(address[] tokens, uint256[] from, uint256[] to, uint256 start, uint256 end, uint256 epoch);
    event Quarantined(address indexed token);
    event Pruned(address indexed token, uint256 epoch);
    event OracleSet(address indexed oracle);
    event ExecutorSet(address indexed executor);
    event KeeperSet(address indexed keeper);
    event GuardianSet(address indexed guardian);
    event CuratorSet(address indexed curator);
    event OwnershipOffered(address indexed owner, address indexed pending);
    event OwnerSet(address indexed owner);
    event FeesSet(Fees fees, address indexed recipient);
    event LimitsSet(Limits limits, AuctionTerms auction);
    event TimelockSet(uint32 delay);
    /// @notice Both nonces went up by one and both buckets were drained to now: a setting changed.
    event Settled(uint256 nonce, uint256 openNonce, uint256 lossLevel, uint256 turnoverLevel);
    event PausedUntil(uint256 timestamp, address indexed by);
    event Submitted(bytes32 indexed id, bytes4 indexed change, bytes data, uint256 executableAt);
    event Accepted(bytes32 indexed id, bytes4 indexed change);
    event Revoked(bytes32 indexed id, address indexed by);
    event FeesAccrued(address indexed recipient, uint256 shares);
    event Minted(address indexed by, address indexed receiver, uint256 shares, uint256[] amounts);
    /// @notice `amounts` were paid; what more was due became claims.
    event Redeemed(
        address indexed by, address indexed receiver, address indexed owner, uint256 shares, uint256[] amounts
    );
    event ClaimCreated(address indexed token, address indexed account, uint256 amount);
    event ClaimPaid(address indexed token, address indexed account, address to, uint256 amount, uint256 paid);
    /// @notice A batch of the keeper passed the guard. NAV and drift before and after at the same prices; bucket levels
    ///         after.
    event Rebalanced(
        uint256 indexed nonce,
        address indexed by,
        uint256 nav0,
        uint256 nav1,
        uint256 drift0,
        uint256 drift1,
        uint256 lossLevel,
        uint256 turnoverLevel
    );
    event AuctionOpened(address indexed by, uint256 drift);
    /// @notice A batch of a filler passed the guard; as `Rebalanced`, with the auction's own nonce.
    event AuctionFilled(
        uint256 indexed nonce,
        address indexed by,
        uint256 nav0,
        uint256 nav1,
        uint256 drift0,
        uint256 drift1,
        uint256 lossLevel,
        uint256 turnoverLevel
    );

    /* ------------------------------------------------- ERRORS ------------------------------------------------- */

    error Unauthorized(address caller);
    error RebalancingPaused(uint256 until);
    error PausedTooRecently(uint256 timestamp, uint256 readyAt);
    error ZeroAddress();
    error NoCode(address account);
    error LengthMismatch(uint256 given, uint256 expected);
    error TooManyAssets(uint256 count, uint256 max);
    error ForbiddenAsset(address token);
    error NotInBasket(address token);
    error WeightsDoNotSumToOne(uint256 sum);
    error LimitOutOfBounds(bytes32 name, uint256 value, uint256 min, uint256 max);
    error SeedTooSmall(uint256 given, uint256 min);
    error ZeroShares();
    error SupplyTooLarge(uint256 supply, uint256 max);
    /// @notice The order, mint or redeem was made for another basket.
    error WrongEpoch(uint256 given, uint256 current);
    error AboveMaxIn(address token, uint256 amount, uint256 maxIn);
    error BelowMinOut(address token, uint256 amount, uint256 minOut);
    /// @notice A token moved less than it was told to.
    error ShortTransfer(address token, uint256 received, uint256 expected);
    /// @notice A token does not tell its balance, and the caller did not give it up by asking for zero of it.
    error BalanceUnknown(address token);
    error BadReceiver(address receiver);
    error NothingToClaim(address token, address account);
    error WrongNonce(uint256 given, uint256 expected);
    error Expired(uint256 deadline, uint256 timestamp);
    error CoolingDown(uint256 timestamp, uint256 readyAt);
    error BadRecipient(address token, address to);
    error MovesQuarantined(address token);
    /// @notice The order sells more than the basket owns of a token.
    error ExceedsBasket(address token, uint256 amount, uint256 held);
    error KeeperNotSilent(uint256 timestamp, uint256 silentAt);
    error AuctionRunning(uint256 openedAt);
    error NoAuction(uint256 openedAt, uint256 timestamp);
    error UnknownChange(bytes4 change);
    error AlreadySubmitted(bytes32 id, uint256 executableAt);
    error NotSubmitted(bytes32 id);
    error TooEarly(uint256 timestamp, uint256 executableAt);
    error SubmissionExpired(uint256 timestamp, uint256 expiredAt);
    error GlideTooShort(uint256 duration, uint256 min);
    error OracleDisagrees(address token, uint256 current, uint256 proposed);
    error NotTighter();
    error NotPrunable(address token, uint256 value, uint256 max);
}

/// @title  IIndexVault
/// @notice A basket of ERC-20 tokens with target weights. Anyone mints and redeems in kind; a keeper, or anyone when the
///         keeper is gone, may rebalance within bounds that the vault checks itself, against an oracle, after the fact.
/// @dev    Units: amounts are raw token units; weights and fractions are WAD; values are USD in WAD; prices are
///         USD in WAD for one whole token; times are seconds. Rounding is always against the caller.
interface IIndexVault {
    /* ------------------------------------------------- BASKET ------------------------------------------------- */

    /// @notice The tokens of the basket, in index order.
    function assets() external view returns (address[] memory tokens);

    /// @notice Target weights now, in index order, WAD, each rounded down.
    // The name of what is returned, in the ABI; no code of the interface reads it.
    // slither-disable-next-line shadowing-local
    function targets() external view returns (uint256[] memory weights);

    /// @notice What the basket holds, raw units, in index order; reserved claims are not part of it. Zero for a token that
    ///         does not tell its balance.
    function balances() external view returns (uint256[] memory amounts);

    /// @notice Counts changes of the basket's order or membership.
    function basketEpoch() external view returns (uint256);

    /// @notice NAV in USD, WAD. Reverts if a price is refused, or inside a locked call.
    function nav() external view returns (uint256 usd);

    /// @notice Actual weights at oracle prices, WAD, rounded down. Reverts as `nav` does.
    function weights() external view returns (uint256[] memory);

    /// @notice USD per whole share, WAD, rounded down, after pending fees. Reverts as `nav` does.
    function sharePrice() external view returns (uint256 usd);

    /// @notice Everything that the timelock guards and a rebalance reads.
    function book() external view returns (Book memory);

    /* --------------------------------------------- MINT AND REDEEM --------------------------------------------- */

    /// @notice Raw amounts that `mint(shares)` would take now, rounded up. Reverts if a balance is unknown, as `mint` does.
    function previewMint(uint256 shares) external view returns (uint256[] memory amounts);

    /// @notice Raw amounts that `redeem(shares)` would pay now, rounded down. Reverts if a balance is unknown.
    function previewRedeem(uint256 shares) external view returns (uint256[] memory amounts);

    /// @notice Mints exactly `shares` against a pro rata part of every asset, and the mint fee. Reads no price.
    /// @param maxIn Most to take of each asset, in index order.
    /// @param epoch The basket the caller means.
    function mint(uint256 shares, address receiver, uint256[] calldata maxIn, uint256 epoch)
        external
        returns (uint256[] memory amounts);

    /// @notice Burns `shares` of `owner` for a pro rata part of every asset, less the redeem fee. Reads no price, cannot
    ///         be paused, and no token can block it: what cannot be sent becomes a claim of `receiver`.
    /// @param minOut Least to pay of each asset, in index order. Zero gives up on a token that does not move or answer.
    /// @param epoch The basket the caller means.
    /// @return amounts What was paid.
    function redeem(uint256 shares, address receiver, address owner, uint256[] calldata minOut, uint256 epoch)
        external
        returns (uint256[] memory amounts);

    /// @notice Pays the caller's claim on `token` to `to` and ends it. If less is left than is reserved, pays pro rata.
    /// @param minOut Least to be paid, raw units.
    function claim(address token, address to, uint256 minOut) external returns (uint256 paid);

    /// @notice What `account` can claim of `token`, raw units.
    function claimOf(address token, address account) external view returns (uint256);

    /// @notice The sum of all claims on `token`, raw units. The basket does not count them as its own.
    function reserved(address token) external view returns (uint256);

    /// @notice Mints the streaming fee that is due.
    function accrueFees() external;

    /* ----------------------------------------------- REBALANCE ----------------------------------------------- */

    /// @notice Sends out what the order sells, runs its route, and reverts unless the outcome passes the guard. Keeper
    ///         only.
    /// @param  order See `OrderLib` for the layout: nonce, deadline, epoch, sells, buys, route.
    function rebalance(bytes calldata order) external;

    /// @notice Starts an auction. Anyone, while drift is above the band and the keeper has been silent for its grace.
    function openAuction() external;

    /// @notice As `rebalance`, by anyone while an auction runs. The fairness asked of the batch falls from
    ///         1 + premium to 1 - maxSlippage over the auction. The order carries `openNonce() + 1`.
    function rebalanceOpen(bytes calldata order) external;

    /// @notice The nonce of the keeper's last order that took effect; the next one carries `nonce() + 1`.
    function nonce() external view returns (uint256);

    /// @notice The nonce of the last auction order that took effect.
    function openNonce() external view returns (uint256);

    /// @notice When the last rebalance or change of settings took place; cooldown and buckets count from it.
    function settledAt() external view returns (uint256);

    /// @notice When a batch last ended with drift at or below the auction's band.
    function calmAt() external view returns (uint256);

    /// @notice When the running auction was opened or last filled, 0 if there is none.
    function auctionOpenedAt() external view returns (uint256);

    /// @notice What the buckets can still take now, fractions of NAV in WAD.
    function headroom() external view returns (uint256 loss, uint256 turnover);

    /* ------------------------------------------------- ADMIN ------------------------------------------------- */

    /// @notice Where the code of `VaultAdmin` stands, whose functions this vault has too: see `IVaultAdmin`.
    function admin() external view returns (address);
}
