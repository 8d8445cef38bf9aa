// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Limits} from "../../../contracts/interfaces/IIndexVault.sol";
import {Before, Guard, Outcome} from "../../../contracts/libraries/Guard.sol";

/// @notice What is proven of the guard for every input below the widths stated: each `check_` calls the guard with
///         numbers that can be anything, and must hold on every path that does not revert. Bounds are stated in exact
///         integers, without a division, so that no rounding can hide on either side.
/// @dev    Run by halmos (`make prove`), not by forge.
contract GuardSymbolic {
    uint256 internal constant WAD = 1e18;

    /// Values in USD WAD are proven up to 10^20 USD, fractions up to 100%.
    uint256 internal constant VALUES = 2 ** 127;

    /// @dev Everything that the guard looks at, and what it says.
    struct Case {
        uint256 nav0;
        uint256 gap0;
        uint256 sold;
        uint256 bought;
        uint256 nav1;
        uint256 gap1;
        uint256 needed;
        uint256 loss0;
        uint256 turnover0;
        uint256 loss1;
        uint256 turnover1;
    }

    /* --------------------------------------------------- CHECK --------------------------------------------------- */

    function check_what_passes_is_value_for_value(Case memory c, Limits memory l, uint256 kept) external pure {
        // From a premium of 100% to a slippage of 100%.
        if (kept > 2 * WAD) return;
        _judged(c, l, int256(WAD) - int256(kept));
        assert(c.bought * WAD >= c.sold * kept);
    }

    function check_a_premium_is_paid(Case memory c, Limits memory l, uint256 premium) external pure {
        if (premium == 0 || premium > WAD) return;
        _judged(c, l, -int256(premium));
        assert(c.bought > c.sold || c.sold == 0);
    }

    function check_what_passes_keeps_the_batch_loss(Case memory c, Limits memory l) external pure {
        if (l.maxBatchLoss > WAD) return;
        _judged(c, l, 0);
        assert(c.nav1 * WAD + c.nav0 * l.maxBatchLoss >= c.nav0 * WAD);
    }

    function check_the_loss_is_entered_rounded_up(Case memory c, Limits memory l) external pure {
        _judged(c, l, 0);
        assert(c.loss1 * c.nav0 + c.nav1 * WAD >= c.loss0 * c.nav0 + c.nav0 * WAD);
    }

    function check_a_gain_is_not_credited(Case memory c, Limits memory l) external pure {
        _judged(c, l, 0);
        assert(c.loss1 >= c.loss0);
    }

    function check_what_passes_keeps_the_loss_budget(Case memory c, Limits memory l) external pure {
        _judged(c, l, 0);
        assert(c.loss1 <= l.lossBudget);
    }

    function check_the_turnover_is_entered_rounded_up(Case memory c, Limits memory l) external pure {
        _judged(c, l, 0);
        assert(c.turnover1 * c.nav0 >= c.turnover0 * c.nav0 + (c.sold + c.bought) * WAD);
    }

    function check_what_passes_keeps_the_turnover_budget(Case memory c, Limits memory l) external pure {
        _judged(c, l, 0);
        assert(c.turnover1 <= l.turnoverBudget);
    }

    function check_what_passes_goes_towards_the_targets(Case memory c, Limits memory l) external pure {
        _judged(c, l, 0);
        assert((c.sold + c.bought + c.gap1) * WAD <= c.gap0 * WAD + c.nav0 * l.dust);
    }

    function check_what_passes_makes_the_progress_needed(Case memory c, Limits memory l) external pure {
        _judged(c, l, 0);
        assert(c.gap1 + c.needed <= c.gap0);
    }

    /* -------------------------------------------------- PROGRESS -------------------------------------------------- */

    function check_the_progress_needed_is_rounded_up(uint256 nav, uint256 gap, uint64 minProgress, uint64 minFill)
        external
        pure
    {
        if (nav >= VALUES || gap >= VALUES) return;
        Before memory b;
        (b.nav, b.gap) = (nav, gap);
        uint256 needed = Guard.progress(b, minProgress, minFill);
        assert(needed * WAD >= nav * minProgress);
        assert(needed * WAD >= gap * minFill);
    }

    function check_drift_before_is_rounded_down(uint256 nav, uint256 gap) external pure {
        if (nav >= VALUES || gap >= VALUES) return;
        Before memory b;
        (b.nav, b.gap) = (nav, gap);
        assert(Guard.driftOf(b) * nav <= gap * WAD);
    }

    function check_drift_after_is_rounded_up(uint256 nav, uint256 gap) external pure {
        if (nav >= VALUES || gap >= VALUES) return;
        Before memory b;
        b.nav = nav;
        assert(Guard.driftOf(b, Outcome(0, 0, 0, gap)) * nav >= gap * WAD);
    }

    function check_what_is_rebalanced_drifts_beyond_the_band(uint256 nav, uint256 gap, uint64 band) external pure {
        if (nav >= VALUES || gap >= VALUES) return;
        Before memory b;
        (b.nav, b.gap) = (nav, gap);
        Guard.checkDrift(b, band);
        assert(gap * WAD > nav * band);
    }

    function check_drift_falls(Case memory c, Limits memory l) external pure {
        // The least that a vault can be set to ask for.
        if (l.minProgress < 1e12) return;
        Before memory b;
        (b.nav, b.gap) = (c.nav0, c.gap0);
        c.needed = Guard.progress(b, l.minProgress, 0);
        _judged(c, l, 0);
        assert(Guard.driftOf(b, Outcome(0, 0, 0, c.gap1)) < Guard.driftOf(b));
    }

    /* -------------------------------------------------- MEASURING -------------------------------------------------- */

    function check_values_are_rounded_down(uint256 balance, uint256 price, uint256 unit) external pure {
        Before memory b = _basket(1);
        _put(b, 0, balance, price, unit, WAD);
        Guard.valuate(b);
        assert(b.nav * unit <= balance * price);
    }

    function check_sold_is_rounded_up(uint256 held, uint256 left, uint256 price, uint256 unit) external pure {
        if (left > held) return;
        Outcome memory o = _moved(held, left, price, unit);
        assert(o.bought == 0);
        assert(o.sold * unit >= (held - left) * price);
    }

    function check_bought_is_rounded_down(uint256 held, uint256 left, uint256 price, uint256 unit) external pure {
        if (left < held || left >= 2 ** 96) return;
        Outcome memory o = _moved(held, left, price, unit);
        assert(o.sold == 0);
        assert(o.bought * unit <= (left - held) * price);
    }

    function check_no_batch_raises_nav_by_rounding(uint256 held, uint256 left, uint256 price, uint256 unit)
        external
        pure
    {
        if (left >= 2 ** 96) return;
        Outcome memory o = _moved(held, left, price, unit);
        assert(o.nav * unit <= left * price);
    }

    function check_nav_moves_by_what_was_bought_and_sold(
        uint256[2] memory held,
        uint256[2] memory left,
        uint256[2] memory prices,
        uint256 unit
    ) external pure {
        (Before memory b, Outcome memory o) = _traded(held, left, prices, unit, WAD / 2);
        assert(o.nav + o.sold >= b.nav + o.bought);
        assert(o.nav == 0 || o.nav + o.sold == b.nav + o.bought);
    }

    function check_turnover_never_falls_short_of_the_gap_it_closes(
        uint256[2] memory held,
        uint256[2] memory left,
        uint256[2] memory prices,
        uint256 unit,
        uint256 weight
    ) external pure {
        if (weight > WAD) return;
        (Before memory b, Outcome memory o) = _traded(held, left, prices, unit, weight);
        assert(o.sold + o.bought + o.gap >= b.gap);
    }

    /* --------------------------------------------------- HELPERS --------------------------------------------------- */

    /// @dev Lets the guard judge `c`, which gets the two levels.
    function _judged(Case memory c, Limits memory l, int256 slippage) internal pure {
        if (
            c.nav0 >= VALUES || c.gap0 >= VALUES || c.sold >= VALUES || c.bought >= VALUES || c.nav1 >= VALUES
                || c.gap1 >= VALUES || c.loss0 > 10 * WAD || c.turnover0 > 10 * WAD
        ) {
            // A path that reverts proves nothing and refutes nothing.
            revert();
        }
        Before memory b;
        (b.nav, b.gap) = (c.nav0, c.gap0);
        Outcome memory o = Outcome(c.sold, c.bought, c.nav1, c.gap1);
        (c.loss1, c.turnover1) = Guard.check(b, o, l, slippage, c.needed, c.loss0, c.turnover0);
    }

    /// @dev One asset whose balance goes from `held` to `left`.
    function _moved(uint256 held, uint256 left, uint256 price, uint256 unit) internal pure returns (Outcome memory) {
        Before memory b = _basket(1);
        _put(b, 0, held, price, unit, WAD);
        Guard.valuate(b);
        uint256[] memory balances = new uint256[](1);
        balances[0] = left;
        return Guard.measure(b, balances);
    }

    /// @dev Two assets, the second in tokens of 18 decimals.
    function _traded(
        uint256[2] memory held,
        uint256[2] memory left,
        uint256[2] memory prices,
        uint256 unit,
        uint256 weight
    ) internal pure returns (Before memory b, Outcome memory o) {
        b = _basket(2);
        _put(b, 0, held[0], prices[0], unit, weight);
        _put(b, 1, held[1], prices[1], WAD, WAD - weight);
        Guard.valuate(b);
        uint256[] memory balances = new uint256[](2);
        (balances[0], balances[1]) = (left[0], left[1]);
        if (left[0] >= 2 ** 96 || left[1] >= 2 ** 96) revert();
        o = Guard.measure(b, balances);
    }

    function _basket(uint256 n) internal pure returns (Before memory b) {
        b.balances = new uint256[](n);
        b.prices = new uint256[](n);
        b.units = new uint256[](n);
        b.weights = new uint256[](n);
    }

    function _put(Before memory b, uint256 i, uint256 balance, uint256 price, uint256 unit, uint256 weight)
        internal
        pure
    {
        if (balance >= 2 ** 96 || price >= 2 ** 96 || unit == 0 || unit > WAD) revert();
        (b.balances[i], b.prices[i], b.units[i], b.weights[i]) = (balance, price, unit, weight);
    }
}
