// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

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

/// @notice Everything a vault is born with. The basket is pulled from the deployer inside the constructor.
struct VaultConfig {
    string name;
    string symbol;
    address owner;
    address keeper;
    address oracle;
    address executor;
    Limits limits;
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

/// @title  IIndexVault
/// @notice A basket of ERC-20 tokens with target weights. Anyone mints and redeems in kind; a keeper may
///         rebalance within bounds that the vault checks itself, against an oracle, after the fact.
/// @dev    Units: amounts are raw token units; weights, fractions are WAD; values are USD in WAD; prices are
///         USD in WAD for one whole token; times are seconds. Rounding is always against the caller.
interface IIndexVault {
    /* ------------------------------------------------- EVENTS ------------------------------------------------- */

    /// @notice Emitted once by the constructor, with all that cannot be seen from the other events.
    event Initialized(address[] tokens, uint256[] amounts, uint256 shares, address receiver, Limits limits);
    /// @notice Target weights changed; no pending order survives it.
    event TargetsSet(uint256[] weights);
    event KeeperSet(address indexed keeper);
    event PausedSet(bool paused);
    event Minted(address indexed by, address indexed receiver, uint256 shares, uint256[] amounts);
    event Redeemed(
        address indexed by, address indexed receiver, address indexed owner, uint256 shares, uint256[] amounts
    );
    /// @notice A batch passed the guard. NAV and drift before and after at the same prices; bucket levels after.
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

    /* ------------------------------------------------- ERRORS ------------------------------------------------- */

    error NotOwner(address caller, address owner);
    error NotKeeper(address caller, address keeper);
    error RebalancingPaused();
    error ZeroAddress();
    error NoCode(address account);
    error LengthMismatch(uint256 given, uint256 expected);
    error TooManyAssets(uint256 count, uint256 max);
    error ForbiddenAsset(address token);
    error WeightsDoNotSumToOne(uint256 sum);
    error LimitOutOfBounds(bytes32 name, uint256 value, uint256 min, uint256 max);
    error SeedTooSmall(uint256 given, uint256 min);
    error ZeroShares();
    /// @notice The order, mint or redeem was made for another basket.
    error WrongEpoch(uint256 given, uint256 current);
    error AboveMaxIn(address token, uint256 amount, uint256 maxIn);
    error BelowMinOut(address token, uint256 amount, uint256 minOut);
    /// @notice A token moved less than it was told to.
    error ShortTransfer(address token, uint256 received, uint256 expected);
    error WrongNonce(uint256 given, uint256 expected);
    error Expired(uint256 deadline, uint256 timestamp);
    error CoolingDown(uint256 timestamp, uint256 readyAt);
    error BadRecipient(address token, address to);

    /* ------------------------------------------------- BASKET ------------------------------------------------- */

    /// @notice The tokens of the basket, in index order.
    function assets() external view returns (address[] memory tokens);

    /// @notice Target weights in index order, WAD.
    function targets() external view returns (uint256[] memory weights);

    /// @notice What the basket holds, raw units, in index order.
    function balances() external view returns (uint256[] memory amounts);

    /// @notice Counts changes of the basket's order or membership.
    function basketEpoch() external view returns (uint256);

    /// @notice NAV in USD, WAD. Reverts if a price is refused, or inside a locked call.
    function nav() external view returns (uint256 usd);

    /// @notice Actual weights at oracle prices, WAD, rounded down. Reverts as `nav` does.
    function weights() external view returns (uint256[] memory);

    /// @notice USD per whole share, WAD, rounded down. Reverts as `nav` does.
    function sharePrice() external view returns (uint256 usd);

    /* --------------------------------------------- MINT AND REDEEM --------------------------------------------- */

    /// @notice Raw amounts that `mint(shares)` would take now, rounded up.
    function previewMint(uint256 shares) external view returns (uint256[] memory amounts);

    /// @notice Raw amounts that `redeem(shares)` would pay now, rounded down.
    function previewRedeem(uint256 shares) external view returns (uint256[] memory amounts);

    /// @notice Mints exactly `shares` against a pro rata part of every asset. Reads no price.
    /// @param maxIn Most to take of each asset, in index order.
    /// @param epoch The basket the caller means.
    function mint(uint256 shares, address receiver, uint256[] calldata maxIn, uint256 epoch)
        external
        returns (uint256[] memory amounts);

    /// @notice Burns `shares` of `owner` for a pro rata part of every asset. Reads no price, cannot be paused.
    /// @param minOut Least to pay of each asset, in index order.
    /// @param epoch The basket the caller means.
    function redeem(uint256 shares, address receiver, address owner, uint256[] calldata minOut, uint256 epoch)
        external
        returns (uint256[] memory amounts);

    /* ----------------------------------------------- REBALANCE ----------------------------------------------- */

    /// @notice Sends out what the order sells, runs its route, and reverts unless the outcome passes the guard.
    /// @param  order See `OrderLib` for the layout: nonce, deadline, epoch, sells, buys, route.
    function rebalance(bytes calldata order) external;

    /// @notice The nonce of the last order that took effect; the next one carries `nonce() + 1`.
    function nonce() external view returns (uint256);

    /// @notice When the last rebalance took place, 0 if never.
    function lastRebalance() external view returns (uint256 timestamp);

    /// @notice What the buckets can still take now, fractions of NAV in WAD.
    function headroom() external view returns (uint256 loss, uint256 turnover);

    /// @notice The limits in force.
    function limits() external view returns (Limits memory);

    /* ------------------------------------------------- ROLES ------------------------------------------------- */

    function owner() external view returns (address);
    function keeper() external view returns (address);
    function oracle() external view returns (address);
    function executor() external view returns (address);

    /// @notice Whether rebalancing is paused; nothing else can be.
    function paused() external view returns (bool);

    /// @notice Sets the target weights of the present basket, in index order. Owner only. Raises the nonce.
    function setTargets(uint256[] calldata weights) external;

    /// @notice Names the keeper; the zero address for none. Owner only. Raises the nonce.
    function setKeeper(address keeper) external;

    /// @notice Stops or resumes rebalancing. Owner only.
    function setPaused(bool paused) external;
}
