// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

import {IndexVault} from "../../../contracts/IndexVault.sol";
import {AuctionTerms, Limits} from "../../../contracts/interfaces/IIndexVault.sol";
import {Book} from "../../../contracts/libraries/Book.sol";
import {TestToken} from "../utils/Tokens.sol";
import {VaultTest} from "../utils/VaultTest.sol";

/// @notice Does anything in its own name, and tells only whether it worked.
contract Puppet {
    function perform(address to, bytes calldata data) external returns (bool ok) {
        (ok,) = to.call(data);
    }
}

/// @notice The books of a campaign: every batch of every vault in exact values, and the rules that no batch and no span
///         of batches may break. The first rule that is broken is noted, so that an action need not fail.
abstract contract Campaign is VaultTest {
    using FixedPointMathLib for uint256;

    uint256 internal constant RAY = 1e27;
    /// How far the market price of an asset may lie from the oracle's.
    uint256 internal constant DELTA = 0.02e18;
    /// A sum of rounded values may be off by a wei of USD an asset, here in 1e-36 USD.
    uint256 internal constant SLACK = 4 * ASSETS * WAD;
    address internal constant DEAD = 0x000000000000000000000000000000000000dEaD;

    /// @dev A vault before or after a batch at the prices before it, in whole 1e-36 USD.
    struct Books {
        uint256[] values;
        uint256 nav;
        uint256 gap;
    }

    /// @dev What a batch moved, 1e-36 USD.
    struct Flow {
        uint256 sold;
        uint256 bought;
        uint256 shortfall;
    }

    /// @dev A batch that passed, or a change of limits: then it moved nothing. Fractions of the NAV before it in ray;
    ///      USD in WAD.
    struct Entry {
        uint40 at;
        uint32 window;
        uint64 lossBudget;
        uint64 turnoverBudget;
        uint128 loss;
        uint128 turnover;
        uint128 shortfall;
        uint128 traded;
        uint128 dust;
        /// Distance from the targets before the batch, and by how much others had enlarged it since the last one.
        uint128 gap;
        uint128 opened;
    }

    /// The first rule that was broken, empty if none.
    string public broken;

    uint256 public rebalanced;
    uint256 public filled;
    uint256 public refused;
    /// Batches that left less than a hundredth of a budget, or of the dust.
    uint256 public lossEdges;
    uint256 public turnoverEdges;
    uint256 public dustEdges;

    IndexVault[] internal _vaults;
    /// Everybody who may own shares or claims.
    address[] internal _people;
    /// Everybody else who may have been given an allowance.
    address[] internal _spenders;

    mapping(IndexVault => Limits) internal _limitsOf;
    mapping(IndexVault => AuctionTerms) internal _termsOf;
    mapping(IndexVault => Entry[]) internal _history;
    mapping(IndexVault => uint256) internal _gapAfter;

    /* ------------------------------------------------- RECORDING ------------------------------------------------- */

    /// @dev Reads the limits of `v` and enters that they hold from now on.
    function _watch(IndexVault v) internal {
        Book memory b = v.book();
        (_limitsOf[v], _termsOf[v]) = (b.limits, b.auction);
        _history[v].push(_blank(b.limits));
    }

    /// @dev Has `by` carry out an order, as the keeper or in the auction, and judges what became of it.
    function _attempt(IndexVault v, Puppet by, bool open, bytes memory order) internal returns (bool ok) {
        uint256[] memory quoted = prices;
        Books memory x = _books(v, quoted, 0);
        uint256[3] memory marks = _marks(v);
        uint256 price = WAD - _limitsOf[v].maxSlippage;
        if (open) price = _auctionPrice(v);

        ok = by.perform(
            address(v), open ? abi.encodeCall(v.rebalanceOpen, (order)) : abi.encodeCall(v.rebalance, (order))
        );
        if (!ok) {
            ++refused;
            if (keccak256(abi.encode(marks)) != keccak256(abi.encode(_marks(v)))) {
                _break("a refused batch left a trace");
            }
            return false;
        }
        Books memory y = _books(v, quoted, x.nav);
        if (v.nonce() != marks[0] + (open ? 0 : 1) || v.openNonce() != marks[1] + (open ? 1 : 0)) {
            _break("a batch did not use its own nonce");
        }
        if (open) _checkFill(v, x, y, marks[2]);
        if (v.calmAt() != marks[2] && y.gap > x.nav.mulWad(_termsOf[v].openBand) + SLACK) {
            _break("calm above the band");
        }
        _account(v, x, y, price);
    }

    function _marks(IndexVault v) internal view returns (uint256[3] memory) {
        return [v.nonce(), v.openNonce(), v.calmAt()];
    }

    /// @dev What must be bought for a dollar sold, WAD, in the auction that runs now; more than anybody pays if none does.
    function _auctionPrice(IndexVault v) internal view returns (uint256) {
        uint256 openedAt = v.auctionOpenedAt();
        if (openedAt == 0) return type(uint64).max;
        AuctionTerms memory a = _termsOf[v];
        uint256 fall = (uint256(a.premium) + _limitsOf[v].maxSlippage) * (block.timestamp - openedAt) / a.length;
        return WAD + a.premium - fall;
    }

    /// @dev The vault at `quoted` prices; the gap is taken to targets of `yardstick`, or of its own NAV if that is zero.
    function _books(IndexVault v, uint256[] memory quoted, uint256 yardstick) internal view returns (Books memory b) {
        b.values = new uint256[](ASSETS);
        for (uint256 i; i < ASSETS; ++i) {
            b.nav += b.values[i] = _held(v, i) * quoted[i] * (WAD / units[i]);
        }
        if (yardstick == 0) yardstick = b.nav;
        uint256[] memory targets = v.targets();
        for (uint256 i; i < ASSETS; ++i) {
            b.gap += b.values[i].dist(yardstick.mulWad(targets[i]));
        }
    }

    /// @dev What belongs to the basket.
    function _held(IndexVault v, uint256 i) internal view returns (uint256) {
        return _balanceOf(i, address(v)).zeroFloorSub(v.reserved(tokens[i]));
    }

    function _flow(Books memory x, Books memory y) internal pure returns (Flow memory f) {
        uint256 market0;
        uint256 market1;
        for (uint256 i; i < ASSETS; ++i) {
            // The market price errs against the vault wherever it can.
            uint256 truth = WAD - DELTA;
            if (y.values[i] >= x.values[i]) {
                f.bought += y.values[i] - x.values[i];
            } else {
                f.sold += x.values[i] - y.values[i];
                truth = WAD + DELTA;
            }
            market0 += x.values[i].mulWad(truth);
            market1 += y.values[i].mulWad(truth);
        }
        f.shortfall = market0.zeroFloorSub(market1).fullMulDiv(RAY, market0);
    }

    /// @dev What must hold for a batch alone. `price` is what had to be bought for a dollar sold, WAD.
    function _account(IndexVault v, Books memory x, Books memory y, uint256 price) internal {
        Limits memory l = _limitsOf[v];
        Flow memory f = _flow(x, y);
        uint256 turnover = f.sold + f.bought;
        uint256 dust = x.nav.mulWad(l.dust);
        if (f.bought + SLACK < f.sold.mulWad(price)) _break("not value for value");
        if (x.nav > y.nav + f.sold.mulWad(l.maxSlippage) + SLACK) _break("a loss beyond what was traded");
        if (y.nav + SLACK < x.nav.mulWad(WAD - l.maxBatchLoss)) _break("batch loss");
        if (y.gap > x.gap) _break("drift rose");
        if (y.gap + x.nav.mulWad(l.minProgress) > x.gap + SLACK) _break("too little progress");
        if (turnover + y.gap > x.gap + dust + SLACK) _break("turnover without progress");
        if (x.gap < x.nav.mulWad(l.deadBand)) _break("a batch inside the dead-band");
        if (v.settledAt() != block.timestamp) _break("a batch did not settle");

        Entry memory e = _blank(l);
        e.loss = uint128(x.nav.zeroFloorSub(y.nav).fullMulDiv(RAY, x.nav));
        e.turnover = uint128(turnover.zeroFloorSub(SLACK).fullMulDiv(RAY, x.nav));
        e.shortfall = uint128(f.shortfall);
        e.traded = uint128(turnover / WAD);
        e.dust = uint128(dust / WAD);
        e.gap = uint128(x.gap / WAD);
        e.opened = uint128(x.gap.zeroFloorSub(_gapAfter[v]) / WAD);
        _gapAfter[v] = y.gap;
        Entry[] storage history = _history[v];
        // The first entry is the vault's birth, after which it may rebalance at once.
        if (history.length > 1 && block.timestamp < history[history.length - 1].at + l.cooldown) _break("cooldown");
        history.push(e);

        ++rebalanced;
        (uint256 loss, uint256 rest) = v.headroom();
        if (loss * 100 < l.lossBudget) ++lossEdges;
        if (rest * 100 < l.turnoverBudget) ++turnoverEdges;
        if (turnover + y.gap > x.gap + dust * 9 / 10) ++dustEdges;
    }

    function _checkFill(IndexVault v, Books memory x, Books memory y, uint256 calmAt) internal {
        AuctionTerms memory a = _termsOf[v];
        if (block.timestamp < calmAt + a.keeperGrace) _break("a fill before the keeper was silent");
        if (x.gap < x.nav.mulWad(a.openBand)) _break("a fill below the band");
        if (y.gap + x.gap.mulWad(a.minFill) > x.gap + SLACK) _break("a small fill");
        if (v.auctionOpenedAt() != block.timestamp) _break("a fill did not start the price over");
        ++filled;
    }

    function _blank(Limits memory l) internal view returns (Entry memory e) {
        (e.at, e.window, e.lossBudget, e.turnoverBudget) =
        (uint40(block.timestamp), l.window, l.lossBudget, l.turnoverBudget);
    }

    function _break(string memory rule) internal {
        if (bytes(broken).length == 0) broken = rule;
    }

    /* -------------------------------------------------- JUDGING -------------------------------------------------- */

    /// @notice What must hold at any time.
    function checkState() external view {
        assertEq(broken, "");
        for (uint256 k; k < _vaults.length; ++k) {
            _checkShares(_vaults[k]);
            for (uint256 i; i < ASSETS; ++i) {
                _checkClaims(_vaults[k], tokens[i]);
            }
        }
    }

    /// @notice What must hold over every span of every vault's history, from any batch to any later one; and that nobody
    ///         was left an allowance.
    function checkHistory() external view {
        for (uint256 k; k < _vaults.length; ++k) {
            for (uint256 i; i < ASSETS; ++i) {
                _checkAllowances(_vaults[k], TestToken(tokens[i]));
            }
            Entry[] memory all = _history[_vaults[k]];
            for (uint256 i; i < all.length; ++i) {
                _checkSpansFrom(all, i);
            }
        }
    }

    /// @dev Losses sum to at most L = lossBudget (1 + T / window), turnover to turnoverBudget (1 + T / window), and what
    ///      the market says was lost to [L + turnoverBudget (1 + T / window) delta] / (1 - delta), each with the worst
    ///      limits of the span; and all that was traded to the gap there was and that others opened, and the dust.
    function _checkSpansFrom(Entry[] memory all, uint256 from) internal pure {
        if (all[from].traded == 0) return;
        Entry memory sum;
        (sum.window, sum.gap) = (all[from].window, all[from].gap);
        for (uint256 i = from; i < all.length; ++i) {
            Entry memory e = all[i];
            sum.window = uint32(_min(sum.window, e.window));
            sum.lossBudget = uint64(_max(sum.lossBudget, e.lossBudget));
            sum.turnoverBudget = uint64(_max(sum.turnoverBudget, e.turnoverBudget));
            sum.loss += e.loss;
            sum.turnover += e.turnover;
            sum.shortfall += e.shortfall;
            sum.traded += e.traded;
            sum.dust += e.dust;
            if (i != from) sum.opened += e.opened;

            uint256 time = e.at - all[from].at;
            uint256 losses = _allowed(sum.lossBudget, time, sum.window);
            uint256 turnover = _allowed(sum.turnoverBudget, time, sum.window);
            if (sum.loss > losses) revert("losses over a span");
            if (sum.turnover > turnover) revert("turnover over a span");
            if (sum.shortfall * (WAD - DELTA) > losses * WAD + turnover * DELTA) revert("shortfalls over a span");
            // Each of these numbers is rounded down to a wei, and may rest on values that were.
            uint256 bound = uint256(sum.gap) + sum.opened + sum.dust + (i - from + 1) * 8 * ASSETS;
            if (sum.traded > bound) revert("washing over a span");
        }
    }

    function _allowed(uint256 budget, uint256 time, uint256 window) internal pure returns (uint256) {
        return budget * (RAY / WAD) * (window + time) / window + 1;
    }

    function _checkShares(IndexVault v) internal view {
        uint256 sum;
        for (uint256 i; i < _people.length; ++i) {
            sum += v.balanceOf(_people[i]);
        }
        assertEq(v.totalSupply(), sum, "shares");
    }

    function _checkClaims(IndexVault v, address token) internal view {
        uint256 reserved = v.reserved(token);
        if (reserved == 0) return;
        for (uint256 i; i < _people.length; ++i) {
            reserved -= v.claimOf(token, _people[i]);
        }
        assertEq(reserved, 0, "claims");
    }

    function _checkAllowances(IndexVault v, TestToken token) internal view {
        for (uint256 i; i < _people.length; ++i) {
            assertEq(token.allowance(address(v), _people[i]), 0, "allowance");
        }
        for (uint256 i; i < _spenders.length; ++i) {
            assertEq(token.allowance(address(v), _spenders[i]), 0, "allowance");
        }
    }

    function _min(uint256 a, uint256 b) internal pure returns (uint256) {
        return a < b ? a : b;
    }

    function _max(uint256 a, uint256 b) internal pure returns (uint256) {
        return a > b ? a : b;
    }

    /// @dev A number of an action's seed.
    function _draw(uint256 seed, uint256 place) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, place)));
    }
}
