// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

import {AuctionTerms, Limits, VaultConfig} from "../../../contracts/interfaces/IIndexVault.sol";
import {Order, OrderLib, Sell} from "../../../contracts/libraries/OrderLib.sol";
import {Call} from "../utils/ScriptedExecutor.sol";
import {TestToken} from "../utils/Tokens.sol";
import {VaultTest} from "../utils/VaultTest.sol";

/// @notice A stolen key at work: the keeper, who also owns the executor and the market, chooses every outcome, the
///         timing and the price error, while others mint, redeem and donate; or, as a filler, anyone does the same by
///         auction. The handler keeps its own books, in exact values, and notes the first rule that is broken.
contract KeeperHandler is VaultTest {
    using FixedPointMathLib for uint256;

    uint256 internal constant RAY = 1e27;
    /// How far the market price of an asset may lie from the oracle's.
    uint256 public constant DELTA = 0.02e18;

    /// The first rule that was broken, empty if none.
    string public broken;

    uint256 public rebalanced;
    uint256 public filled;
    uint256 public refused;
    uint256 public shareMoves;

    /// Sums over all batches, fractions of the NAV before each, in ray. `worst` is the largest, over the spans that
    /// end with the last batch, of the sum less what the bucket drains in that time: at most the budget if and only if
    /// no closed span takes more than its share.
    uint256 public lossSum;
    uint256 public lossWorst;
    uint256 public turnoverSum;
    uint256 public turnoverWorst;
    /// The most that either ever was.
    uint256 public lossPeak;
    uint256 public turnoverPeak;
    uint256 public shortfallSum;
    uint256 public firstAt;
    uint256 public lastAt;

    Limits internal _limits;
    AuctionTerms internal _auction;
    uint256[] internal _startPrices;

    /// @dev The vault before or after a batch, in whole 1e-36 USD.
    struct Books {
        uint256[] values;
        uint256 nav;
        uint256 gap;
    }

    /// @dev What the keeper means to do: values to sell and to buy, in WAD, by asset.
    struct Plan {
        uint256[] sold;
        uint256[] bought;
        uint256 sum;
    }

    function setUp() public override {
        super.setUp();
        VaultConfig memory c = _offTarget(DAI, LINK);
        c.limits = Limits({
            maxSlippage: 0.02e18,
            maxBatchLoss: 0.0003e18,
            lossBudget: 0.0008e18,
            turnoverBudget: 0.8e18,
            deadBand: 0.001e18,
            minProgress: 0.0001e18,
            dust: 0.0001e18,
            window: 30 days,
            cooldown: 60
        });
        _limits = c.limits;
        c.auction =
            AuctionTerms({openBand: 0.01e18, premium: 0.01e18, minFill: 0.1e18, keeperGrace: 1 hours, length: 1 hours});
        _auction = c.auction;
        _startPrices = prices;
        _deploy(c);
    }

    /* ------------------------------------------------ THE KEEPER ------------------------------------------------ */

    /// @notice A batch towards the targets that costs as much as the vault allows, or less, or slightly too much.
    function drain(uint256 seed) external {
        Plan memory plan = _towardsTargets(seed);
        if (plan.sum == 0) return;
        uint256 nav = vault.nav();
        (uint256 headroom,) = vault.headroom();
        uint256 most = FixedPointMathLib.min(
            plan.sum.mulWad(_limits.maxSlippage),
            FixedPointMathLib.min(nav.mulWad(_limits.maxBatchLoss), nav.mulWad(headroom))
        );
        uint256 choice = _draw(seed, 1) % 4;
        uint256 loss = choice == 0 ? most : choice == 1 ? most + most / 1000 : _draw(seed, 2) % (most + 1);
        _take(plan, loss);
        _send(plan, seed, false);
    }

    /// @notice A batch that gives the vault more than it takes.
    function enrich(uint256 seed) external {
        Plan memory plan = _towardsTargets(seed);
        if (plan.sum == 0) return;
        for (uint256 i; i < ASSETS; ++i) {
            plan.bought[i] += plan.bought[i].mulWad(_draw(seed, 3) % 0.01e18);
        }
        _send(plan, seed, false);
    }

    /// @notice A batch that trades too far in one asset, now and then past its target by about the dust allowance.
    function wash(uint256 seed) external {
        Plan memory plan = _towardsTargets(seed);
        uint256 nav = vault.nav();
        uint256 away = nav.mulWad(_limits.dust) * (_draw(seed, 3) % 120) / 200;
        uint256 i = _draw(seed, 4) % ASSETS;
        if (plan.sold[i] == 0) plan.bought[i] += away;
        else plan.sold[i] += away;
        _take(plan, FixedPointMathLib.min(away, nav.mulWad(_limits.maxBatchLoss)));
        _send(plan, seed, false);
    }

    /// @notice Anything at all.
    function flail(uint256 seed) external {
        Plan memory plan = Plan(new uint256[](ASSETS), new uint256[](ASSETS), 0);
        uint256 nav = vault.nav();
        for (uint256 i; i < ASSETS; ++i) {
            if (_draw(seed, 10 + i) % 3 == 0) plan.sold[i] = nav.mulWad(_draw(seed, 20 + i) % 0.1e18);
            if (_draw(seed, 30 + i) % 3 == 0) plan.bought[i] = nav.mulWad(_draw(seed, 40 + i) % 0.1e18);
        }
        _send(plan, seed, false);
    }

    /// @notice A stranger waits until the keeper counts as silent, opens an auction, and fills at the price of the moment,
    ///         or slightly below it, in the direction of the targets or past them.
    function fill(uint256 seed) external {
        if (vault.auctionOpenedAt() == 0) {
            uint256 silentAt = vault.calmAt() + _auction.keeperGrace;
            if (block.timestamp < silentAt) _wait(silentAt - block.timestamp);
            try vault.openAuction() {}
            catch {
                return;
            }
        }
        uint256 readyAt = vault.settledAt() + _limits.cooldown;
        if (block.timestamp < readyAt) _wait(readyAt - block.timestamp);
        _wait(_draw(seed, 70) % _auction.length);
        Plan memory plan = _towardsTargets(seed);
        if (plan.sum == 0) return;
        // What must come back for what is sold: from a premium down to the keeper's own limit.
        uint256 price = _auctionPrice();
        // Raw amounts round down, by far less than this.
        if (_draw(seed, 71) % 4 == 0) price -= 1e13;
        else price += 1e13;
        uint256 bought;
        for (uint256 i; i < ASSETS; ++i) {
            bought += plan.bought[i];
        }
        for (uint256 i; i < ASSETS; ++i) {
            if (bought != 0) plan.bought[i] = plan.bought[i].fullMulDivUp(plan.sum.mulWad(price), bought);
        }
        _send(plan, seed, true);
    }

    /// @notice Waits, mostly about as long as the vault cools down.
    function wait(uint256 seed) external {
        _wait(_draw(seed, 1) % (_draw(seed, 2) % 8 == 0 ? 2 days : 2 hours));
    }

    /// @notice Moves a price by up to a tenth, within a fifth and five times of where it began.
    function movePrice(uint256 seed) external {
        uint256 i = _draw(seed, 1) % ASSETS;
        uint256 moved = prices[i] * (90 + _draw(seed, 2) % 21) / 100;
        uint256 grain = 10 ** (18 - feeds[i].decimals());
        _setPrice(i, FixedPointMathLib.clamp(moved, _startPrices[i] / 5, _startPrices[i] * 5) / grain * grain);
    }

    /* -------------------------------------------------- OTHERS -------------------------------------------------- */

    function mint(uint256 seed) external {
        uint256 supply = vault.totalSupply();
        uint256 shares = 1 + _draw(seed, 1) % (supply / (1 + _draw(seed, 2) % 1000));
        uint256[] memory before = vault.balances();
        uint256[] memory due = vault.previewMint(shares);
        vm.startPrank(stranger);
        for (uint256 i; i < ASSETS; ++i) {
            TestToken(tokens[i]).mint(stranger, due[i]);
            TestToken(tokens[i]).approve(address(vault), due[i]);
        }
        uint256[] memory paid = vault.mint(shares, stranger, due, 0);
        vm.stopPrank();

        for (uint256 i; i < ASSETS; ++i) {
            if (paid[i] != before[i].fullMulDivUp(shares, supply)) _break("a mint did not take its part");
        }
        _checkShares(before, supply);
    }

    function redeem(uint256 seed) external {
        address account = _draw(seed, 1) % 2 == 0 ? holder : stranger;
        uint256 held = vault.balanceOf(account) / (1 + _draw(seed, 2) % 8);
        if (held == 0) return;
        uint256 shares = 1 + _draw(seed, 3) % held;
        uint256 supply = vault.totalSupply();
        uint256[] memory before = vault.balances();
        uint256[] memory owned = new uint256[](ASSETS);
        for (uint256 i; i < ASSETS; ++i) {
            owned[i] = _balanceOf(i, account);
        }
        vm.prank(account);
        vault.redeem(shares, account, account, new uint256[](ASSETS), 0);

        for (uint256 i; i < ASSETS; ++i) {
            uint256 got = _balanceOf(i, account) - owned[i];
            if (got != before[i].fullMulDiv(shares, supply)) _break("a redemption did not pay its part");
        }
        _checkShares(before, supply);
    }

    function donate(uint256 seed) external {
        uint256 i = _draw(seed, 1) % ASSETS;
        TestToken(tokens[i]).mint(address(vault), _draw(seed, 2) % (1 + _balanceOf(i, address(vault)) / 20));
    }

    /* --------------------------------------------------- BOOKS --------------------------------------------------- */

    function limits() external view returns (Limits memory) {
        return _limits;
    }

    function assets() external view returns (address[] memory) {
        return tokens;
    }

    function parties() external view returns (address vault_, address executor_, address[] memory accounts) {
        accounts = new address[](4);
        (accounts[0], accounts[1], accounts[2]) = (holder, stranger, keeper);
        accounts[3] = 0x000000000000000000000000000000000000dEaD;
        return (address(vault), address(market), accounts);
    }

    /// @dev What must be bought for a dollar sold, WAD, in the auction that runs now.
    function _auctionPrice() internal view returns (uint256) {
        uint256 openedAt = vault.auctionOpenedAt();
        if (openedAt == 0) return WAD; // it ended while the filler waited
        uint256 elapsed = block.timestamp - openedAt;
        return WAD + _auction.premium - (uint256(_auction.premium) + _limits.maxSlippage) * elapsed / _auction.length;
    }

    function _send(Plan memory plan, uint256 seed, bool open) internal {
        // An impatient keeper would mostly meet the cooldown.
        uint256 readyAt = vault.settledAt() + _limits.cooldown;
        if (block.timestamp < readyAt && _draw(seed, 91) % 8 != 0) _wait(readyAt - block.timestamp);

        Order memory order = _order();
        Sell[] memory sells = new Sell[](ASSETS);
        Call[] memory calls = new Call[](ASSETS);
        uint256 count;
        for (uint256 i; i < ASSETS; ++i) {
            calls[i] = _paid(i, _raw(i, plan.bought[i]));
            uint256 amount = FixedPointMathLib.min(_raw(i, plan.sold[i]), _balanceOf(i, address(vault)));
            if (amount != 0) sells[count++] = Sell(i, amount, _draw(seed, 90) % 2 == 0 ? keeper : address(0));
        }
        assembly ("memory-safe") {
            mstore(sells, count)
        }
        order.sells = sells;

        if (open) _fill(order, calls);
        else _rebalanceAs(order, calls);
    }

    function _rebalanceAs(Order memory order, Call[] memory calls) internal {
        Books memory before = _books(0);
        uint256 nonce = vault.nonce();
        vm.prank(keeper);
        try vault.rebalance(OrderLib.encode(order, abi.encode(calls))) {
            if (vault.nonce() != nonce + 1) _break("a batch did not use one nonce");
            _account(before, _books(before.nav), WAD - _limits.maxSlippage);
        } catch {
            if (vault.nonce() != nonce) _break("a refused batch used a nonce");
            ++refused;
        }
    }

    function _fill(Order memory order, Call[] memory calls) internal {
        Books memory before = _books(0);
        order.nonce = vault.openNonce() + 1;
        uint256 nonce = vault.nonce();
        bool live = vault.auctionOpenedAt() != 0;
        uint256 price = live ? _auctionPrice() : 0;
        vm.prank(stranger);
        try vault.rebalanceOpen(OrderLib.encode(order, abi.encode(calls))) {
            if (!live) _break("a fill without an auction");
            if (vault.openNonce() != order.nonce) _break("a fill did not use one nonce");
            if (before.gap < before.nav.mulWad(_auction.openBand)) _break("a fill below the band");
            Books memory later = _books(before.nav);
            if (later.gap + before.gap.mulWad(_auction.minFill) > before.gap + 4 * ASSETS * WAD) {
                _break("a small fill");
            }
            _account(before, later, price);
            ++filled;
        } catch {
            ++refused;
        }
        if (vault.nonce() != nonce) _break("a fill burnt the keeper's nonce");
    }

    /// @dev The vault at oracle prices; the gap is taken to targets of `yardstick`, or of its own NAV if that is zero.
    function _books(uint256 yardstick) internal view returns (Books memory b) {
        b.values = new uint256[](ASSETS);
        for (uint256 i; i < ASSETS; ++i) {
            b.nav += b.values[i] = _balanceOf(i, address(vault)) * prices[i] * (WAD / units[i]);
        }
        if (yardstick == 0) yardstick = b.nav;
        uint256[] memory targets = vault.targets();
        for (uint256 i; i < ASSETS; ++i) {
            b.gap += FixedPointMathLib.dist(b.values[i], yardstick.mulWad(targets[i]));
        }
    }

    /// @dev Books a batch that passed, and checks what must hold for it alone. `price` is what had to be bought for a
    ///      dollar sold, WAD.
    function _account(Books memory x, Books memory y, uint256 price) internal {
        uint256 sold;
        uint256 bought;
        uint256 market0;
        uint256 market1;
        for (uint256 i; i < ASSETS; ++i) {
            bool more = y.values[i] > x.values[i];
            if (more) bought += y.values[i] - x.values[i];
            else sold += x.values[i] - y.values[i];
            // The market price errs against the vault wherever it can.
            uint256 truth = more ? WAD - DELTA : WAD + DELTA;
            market0 += x.values[i].mulWad(truth);
            market1 += y.values[i].mulWad(truth);
        }
        // Each sum of rounded values may be off by a wei of USD an asset.
        uint256 slack = 4 * ASSETS * WAD;
        if (bought + slack < sold.mulWad(price)) _break("not value for value");
        if (y.nav + slack < x.nav.mulWad(WAD - _limits.maxBatchLoss)) _break("batch loss");
        if (y.gap > x.gap) _break("drift rose");
        if (y.gap + x.nav.mulWad(_limits.minProgress) > x.gap + slack) _break("too little progress");
        if (sold + bought + y.gap > x.gap + x.nav.mulWad(_limits.dust) + slack) _break("turnover without progress");
        if (rebalanced != 0 && block.timestamp < lastAt + _limits.cooldown) _break("cooldown");

        uint256 elapsed = rebalanced == 0 ? 0 : block.timestamp - lastAt;
        uint256 loss = x.nav.zeroFloorSub(y.nav).fullMulDiv(RAY, x.nav);
        uint256 turnover = (sold + bought).zeroFloorSub(slack).fullMulDiv(RAY, x.nav);
        lossSum += loss;
        turnoverSum += turnover;
        shortfallSum += market0.zeroFloorSub(market1).fullMulDiv(RAY, market0);
        lossWorst = _drained(lossWorst, _limits.lossBudget, elapsed) + loss;
        turnoverWorst = _drained(turnoverWorst, _limits.turnoverBudget, elapsed) + turnover;
        lossPeak = FixedPointMathLib.max(lossPeak, lossWorst);
        turnoverPeak = FixedPointMathLib.max(turnoverPeak, turnoverWorst);

        if (rebalanced == 0) firstAt = block.timestamp;
        lastAt = block.timestamp;
        ++rebalanced;
    }

    function _drained(uint256 worst, uint256 budget, uint256 elapsed) internal view returns (uint256) {
        return worst.zeroFloorSub((budget * RAY / WAD).fullMulDivUp(elapsed, _limits.window));
    }

    /// @dev Nobody's part shrinks when others come and go.
    function _checkShares(uint256[] memory before, uint256 supply) internal {
        ++shareMoves;
        for (uint256 i; i < ASSETS; ++i) {
            if (_balanceOf(i, address(vault)) * supply < before[i] * vault.totalSupply()) {
                _break("holders were diluted");
            }
        }
    }

    /// @dev Sells part of what is above its target for what is below, within the turnover budget.
    function _towardsTargets(uint256 seed) internal view returns (Plan memory plan) {
        plan = Plan(new uint256[](ASSETS), new uint256[](ASSETS), 0);
        uint256 nav = vault.nav();
        uint256[] memory targets = vault.targets();
        (, uint256 headroom) = vault.headroom();
        uint256 part = _draw(seed, 5) % 3 == 0 ? WAD : _draw(seed, 6) % WAD;
        uint256 gap;
        for (uint256 i; i < ASSETS; ++i) {
            gap += FixedPointMathLib.dist(_value(i, _balanceOf(i, address(vault))), nav.mulWad(targets[i]));
        }
        if (gap.mulWad(part) > nav.mulWad(headroom)) part = nav.mulWad(headroom).divWad(gap);
        for (uint256 i; i < ASSETS; ++i) {
            uint256 value = _value(i, _balanceOf(i, address(vault)));
            uint256 target = nav.mulWad(targets[i]);
            if (value > target) plan.sum += plan.sold[i] = (value - target).mulWad(part);
            else plan.bought[i] = (target - value).mulWad(part);
        }
    }

    /// @dev Keeps `loss` of what the plan would buy.
    function _take(Plan memory plan, uint256 loss) internal pure {
        for (uint256 i; i < ASSETS && loss != 0; ++i) {
            uint256 kept = FixedPointMathLib.min(plan.bought[i], loss);
            plan.bought[i] -= kept;
            loss -= kept;
        }
    }

    function _break(string memory rule) internal {
        if (bytes(broken).length == 0) broken = rule;
    }

    function _draw(uint256 seed, uint256 place) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, place)));
    }
}
