// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {ERC20} from "solady/tokens/ERC20.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {IndexVault} from "../../../contracts/IndexVault.sol";
import {PriceOracle} from "../../../contracts/PriceOracle.sol";
import {VaultAdmin} from "../../../contracts/VaultAdmin.sol";
import {AuctionTerms, Limits, VaultConfig} from "../../../contracts/interfaces/IIndexVault.sol";
import {FeedConfig, IPriceOracle} from "../../../contracts/interfaces/IPriceOracle.sol";
import {IVaultAdmin} from "../../../contracts/interfaces/IVaultAdmin.sol";
import {Buy, Order, OrderLib, Sell} from "../../../contracts/libraries/OrderLib.sol";
import {Feed, plainFeed} from "./Feeds.sol";
import {Call, ScriptedExecutor} from "./ScriptedExecutor.sol";
import {TestToken} from "./Tokens.sol";

/// @notice A vault of five assets worth 200,000 USD each at their targets, in tokens of 6, 8 and 18 decimals and feeds
///         of 6 to 18, whose executor does whatever the route says.
/// @dev    Limits and auction terms are as loose as the code allows and there are no fees; each test tightens only the
///         one it is about, so that no other guard can do its work for it.
abstract contract VaultTest is Test {
    using FixedPointMathLib for uint256;
    using SafeTransferLib for address;

    uint256 internal constant WAD = 1e18;

    // Places in the basket.
    uint256 internal constant USDC = 0;
    uint256 internal constant WBTC = 1;
    uint256 internal constant WETH = 2;
    uint256 internal constant DAI = 3;
    uint256 internal constant LINK = 4;
    uint256 internal constant ASSETS = 5;

    uint256 internal constant NAV = 1_000_000e18;
    /// How far `_offTarget` moves each of its two assets: drift is then 20%.
    uint256 internal constant OFF = 100_000e18;
    uint256 internal constant SHARES = 10_000e18;
    /// Locked at birth, part of `SHARES`.
    uint256 internal constant DEAD_SHARES = 1e9;
    uint32 internal constant HEARTBEAT = 1 days;
    uint32 internal constant TIMELOCK = 3 days;

    address internal owner = makeAddr("owner");
    address internal curator = makeAddr("curator");
    address internal guardian = makeAddr("guardian");
    address internal feeRecipient = makeAddr("feeRecipient");
    address internal keeper = makeAddr("keeper");
    address internal holder = makeAddr("holder");
    address internal stranger = makeAddr("stranger");

    address[] internal tokens;
    Feed[] internal feeds;
    /// USD in WAD for one whole token, and raw units in one whole token.
    uint256[] internal prices;
    uint256[] internal units;

    PriceOracle internal oracle;
    ScriptedExecutor internal market;
    /// The code that every vault of a test borrows.
    VaultAdmin internal adminCode;
    /// The vault that was deployed last, and the same address as the other half of its functions.
    IndexVault internal vault;
    IVaultAdmin internal admin;

    function setUp() public virtual {
        vm.warp(1_750_000_000);
        market = new ScriptedExecutor();
        adminCode = new VaultAdmin();
        _list("USDC", 6, 8, 1e18);
        _list("WBTC", 8, 8, 50_000e18);
        _list("WETH", 18, 18, 2_500e18);
        _list("DAI", 18, 6, 1e18);
        _list("LINK", 18, 12, 10e18);
        oracle = _oracle();
        _deploy(_offTarget(DAI, LINK));
    }

    /* ------------------------------------------------ DEPLOYING ------------------------------------------------ */

    function _list(string memory symbol, uint8 decimals, uint8 feedDecimals, uint256 price) internal {
        tokens.push(address(new TestToken(symbol, decimals)));
        feeds.push(new Feed(feedDecimals, int192(int256(price / 10 ** (18 - feedDecimals)))));
        prices.push(price);
        units.push(10 ** decimals);
    }

    function _oracle() internal returns (PriceOracle) {
        FeedConfig[] memory configs = new FeedConfig[](feeds.length);
        for (uint256 i; i < configs.length; ++i) {
            configs[i] =
                plainFeed(tokens[i], address(feeds[i]), HEARTBEAT, uint128(prices[i] / 10), uint128(prices[i] * 10));
        }
        return new PriceOracle(configs, address(0), 0);
    }

    /// @notice What the oracle says of a token whose feed is dead.
    function _noAnswer(uint256 index) internal view returns (bytes memory) {
        return abi.encodeWithSelector(IPriceOracle.NoAnswer.selector, tokens[index], address(feeds[index]));
    }

    function _looseLimits() internal pure returns (Limits memory) {
        return Limits({
            maxSlippage: 0.05e18,
            maxBatchLoss: 0.05e18,
            lossBudget: 0.1e18,
            turnoverBudget: 10e18,
            deadBand: 0,
            minProgress: 1e12,
            dust: 0.0001e18,
            window: 1 days,
            cooldown: 12
        });
    }

    /// @dev An open band below the dead-band is refused: who raises the one raises the other.
    function _looseAuction() internal pure returns (AuctionTerms memory) {
        return AuctionTerms({openBand: 0, premium: 0, minFill: 0.01e18, keeperGrace: 1 hours, length: 1 hours});
    }

    /// @notice A vault with equal targets, `over` above its own by `OFF` and `under` below it by as much.
    function _offTarget(uint256 over, uint256 under) internal view returns (VaultConfig memory c) {
        c.name = "Ballast Five";
        c.symbol = "BAL5";
        c.owner = owner;
        c.curator = curator;
        c.guardian = guardian;
        c.keeper = keeper;
        c.oracle = address(oracle);
        c.executor = address(market);
        c.admin = address(adminCode);
        c.feeRecipient = feeRecipient;
        c.timelock = TIMELOCK;
        c.limits = _looseLimits();
        c.auction = _looseAuction();
        c.tokens = tokens;
        c.weights = new uint256[](ASSETS);
        c.amounts = new uint256[](ASSETS);
        for (uint256 i; i < ASSETS; ++i) {
            c.weights[i] = WAD / ASSETS;
            uint256 value = NAV / ASSETS;
            if (i == over) value += OFF;
            if (i == under) value -= OFF;
            c.amounts[i] = _raw(i, value);
        }
        c.shares = SHARES;
        c.receiver = holder;
    }

    /// @notice Makes a new vault, which `vault` and `admin` mean from now on.
    function _deploy(VaultConfig memory c) internal returns (IndexVault) {
        _approveSeed(c);
        vault = new IndexVault(c);
        admin = IVaultAdmin(address(vault));
        return vault;
    }

    /// @dev Puts another token in the place of one of the basket, in a new vault.
    function _relist(uint256 index, address token) internal {
        tokens[index] = token;
        oracle = _oracle();
        _deploy(_offTarget(DAI, LINK));
    }

    /// @dev Gives the vault that is deployed next its seed.
    function _approveSeed(VaultConfig memory c) internal {
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        for (uint256 i; i < c.tokens.length && i < c.amounts.length; ++i) {
            TestToken(c.tokens[i]).mint(address(this), c.amounts[i]);
            c.tokens[i].safeApprove(next, c.amounts[i]);
        }
    }

    /* ------------------------------------------------- CHANGES ------------------------------------------------- */

    /// @notice The curator submits a change, the timelock passes with fresh prices, and somebody accepts it.
    /// @param  data Calldata of a function of `IVaultChanges`.
    function _change(bytes memory data) internal {
        _submit(data);
        _wait(admin.timelock());
        _accept(data);
    }

    /// @notice The same, with the revert that `accept` must end in.
    function _changeRefused(bytes memory data, bytes memory reason) internal {
        _submit(data);
        _wait(admin.timelock());
        vm.expectRevert(reason);
        _accept(data);
    }

    function _submit(bytes memory data) internal {
        vm.prank(curator);
        admin.submit(data);
    }

    function _accept(bytes memory data) internal {
        vm.prank(stranger);
        admin.accept(data);
    }

    /* ------------------------------------------------- ORDERS ------------------------------------------------- */

    /// @notice The next order of the vault, which asks for nothing yet.
    function _order() internal view returns (Order memory order) {
        order.nonce = vault.nonce() + 1;
        order.deadline = block.timestamp;
        order.epoch = vault.basketEpoch();
    }

    /// @notice An order that sells `sold` of one asset, for which the market pays `bought` of another.
    function _trade(uint256 from, uint256 sold, uint256 to, uint256 bought) internal view returns (bytes memory) {
        Order memory order = _order();
        order.sells = _sells(from, sold, address(0));
        return OrderLib.encode(order, abi.encode(_calls(_paid(to, bought))));
    }

    function _sells(uint256 index, uint256 amount, address to) internal pure returns (Sell[] memory sells) {
        sells = new Sell[](1);
        sells[0] = Sell(index, amount, to);
    }

    function _buys(uint256 index, uint256 minAmount) internal pure returns (Buy[] memory buys) {
        buys = new Buy[](1);
        buys[0] = Buy(index, minAmount);
    }

    /// @notice The call by which the market pays the vault.
    function _paid(uint256 index, uint256 amount) internal view returns (Call memory) {
        return Call(tokens[index], abi.encodeCall(TestToken.mint, (address(vault), amount)));
    }

    function _calls(Call memory a) internal pure returns (Call[] memory calls) {
        calls = new Call[](1);
        calls[0] = a;
    }

    function _calls(Call memory a, Call memory b) internal pure returns (Call[] memory calls) {
        calls = new Call[](2);
        (calls[0], calls[1]) = (a, b);
    }

    /// @notice The same, to be carried out in an auction.
    function _fill(uint256 from, uint256 sold, uint256 to, uint256 bought) internal view returns (bytes memory) {
        Order memory order = _order();
        order.nonce = vault.openNonce() + 1;
        order.sells = _sells(from, sold, address(0));
        return OrderLib.encode(order, abi.encode(_calls(_paid(to, bought))));
    }

    function _rebalance(bytes memory order) internal {
        vm.prank(keeper);
        vault.rebalance(order);
    }

    function _refused(bytes memory order, bytes memory reason) internal {
        vm.prank(keeper);
        vm.expectRevert(reason);
        vault.rebalance(order);
    }

    /* ------------------------------------------------- SHARES ------------------------------------------------- */

    /// @notice Mints to an account that is given what it takes.
    function _mint(address to, uint256 shares) internal returns (uint256[] memory amounts) {
        uint256[] memory maxIn = vault.previewMint(shares);
        _fund(to, maxIn);
        uint256 epoch = vault.basketEpoch();
        vm.prank(to);
        amounts = vault.mint(shares, to, maxIn, epoch);
    }

    /// @notice Redeems to the account itself, whatever comes.
    function _redeem(address from, uint256 shares) internal returns (uint256[] memory amounts) {
        uint256[] memory none = new uint256[](vault.assets().length);
        uint256 epoch = vault.basketEpoch();
        vm.prank(from);
        amounts = vault.redeem(shares, from, from, none, epoch);
    }

    /// @notice Calldata of an allowance that the account of this name signs.
    function _permit(string memory name, address spender, uint256 amount) internal returns (bytes memory) {
        (address signer, uint256 key) = makeAddrAndKey(name);
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes memory permit = abi.encode(typeHash, signer, spender, amount, vault.nonces(signer), block.timestamp);
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", vault.DOMAIN_SEPARATOR(), keccak256(permit)));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodeCall(ERC20.permit, (signer, spender, amount, block.timestamp, v, r, s));
    }

    /// @notice Gives an account these amounts of the basket, and the vault the allowance to take them.
    function _fund(address account, uint256[] memory amounts) internal {
        address[] memory basket = vault.assets();
        vm.startPrank(account);
        for (uint256 i; i < basket.length; ++i) {
            TestToken(basket[i]).mint(account, amounts[i]);
            basket[i].safeApprove(address(vault), amounts[i]);
        }
        vm.stopPrank();
    }

    /* ------------------------------------------------- VALUES ------------------------------------------------- */

    /// @notice Raw amount worth `usd` (WAD), rounded down.
    function _raw(uint256 index, uint256 usd) internal view returns (uint256) {
        return usd.fullMulDiv(units[index], prices[index]);
    }

    /// @notice Raw amount worth at least `usd` (WAD).
    function _rawUp(uint256 index, uint256 usd) internal view returns (uint256) {
        return usd.fullMulDivUp(units[index], prices[index]);
    }

    /// @notice USD (WAD) that `amount` is worth, rounded down.
    function _value(uint256 index, uint256 amount) internal view returns (uint256) {
        return amount.fullMulDiv(prices[index], units[index]);
    }

    function _balanceOf(uint256 index, address account) internal view returns (uint256) {
        return TestToken(tokens[index]).balanceOf(account);
    }

    /// @notice Lets time pass and every feed answer again.
    function _wait(uint256 time) internal {
        skip(time);
        for (uint256 i; i < feeds.length; ++i) {
            feeds[i].set(feeds[i].answer());
        }
    }

    /// @notice Moves the price of one asset.
    function _setPrice(uint256 index, uint256 price) internal {
        prices[index] = price;
        feeds[index].set(int192(int256(price / 10 ** (18 - feeds[index].decimals()))));
    }

    /// @notice Runs `check` for every asset above its target and every other below, each in a vault of its own.
    function _forEveryPair(function(uint256, uint256) internal check) internal {
        for (uint256 over; over < ASSETS; ++over) {
            for (uint256 under; under < ASSETS; ++under) {
                if (over != under) check(over, under);
            }
        }
    }

    function _third(uint256 a, uint256 b) internal pure returns (uint256 c) {
        while (c == a || c == b) ++c;
    }
}
