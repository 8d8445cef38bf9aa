// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AuctionTerms, Fees, Limits} from "../../../contracts/interfaces/IIndexVault.sol";
import {Before, Guard, Outcome} from "../../../contracts/libraries/Guard.sol";
import {LimitsLib} from "../../../contracts/libraries/LimitsLib.sol";

/// @notice What is proven of the hard bounds: the numbers stand here a second time, as the documents print them.
/// @dev    Run by halmos (`make prove`), not by forge.
contract LimitsSymbolic {
    function check_no_limit_is_set_beyond_its_bound(Limits memory l, AuctionTerms memory a) external pure {
        LimitsLib.validate(l, a);
        assert(l.maxSlippage <= 0.05e18);
        assert(l.maxBatchLoss <= 0.05e18);
        assert(l.lossBudget <= 0.1e18);
        assert(l.turnoverBudget <= 10e18);
        assert(l.deadBand <= 0.5e18);
        assert(l.minProgress >= 0.000001e18 && l.minProgress <= 0.1e18);
        assert(l.dust <= 0.0001e18);
        assert(l.window >= 1 hours && l.window <= 90 days);
        assert(l.cooldown >= 12 && l.cooldown <= 30 days);
    }

    function check_no_auction_is_set_beyond_its_bounds(Limits memory l, AuctionTerms memory a) external pure {
        LimitsLib.validate(l, a);
        assert(a.openBand >= l.deadBand && a.openBand <= 1e18);
        assert(a.premium <= 0.05e18);
        assert(a.minFill >= 0.01e18 && a.minFill <= 1e18);
        assert(a.keeperGrace >= 1 hours && a.keeperGrace <= 90 days);
        assert(a.length >= 10 minutes && a.length <= 7 days);
    }

    function check_no_fee_is_set_beyond_its_bound(Fees memory f) external pure {
        LimitsLib.validate(f);
        assert(f.streaming <= 0.1e18);
        assert(f.mint <= 0.05e18);
        assert(f.redeem <= 0.02e18);
    }

    function check_tighter_limits_admit_nothing_more(
        Limits memory current,
        Limits memory next,
        uint256[2] memory navs,
        uint256[2] memory gaps,
        uint256 sold,
        uint256 bought,
        uint256[2] memory levels
    ) external view {
        if (!LimitsLib.isTighter(current, next) || current.maxBatchLoss > 1e18 || current.maxSlippage > 1e18) return;
        Before memory b;
        (b.nav, b.gap) = (navs[0], gaps[0]);
        if (b.nav >= 2 ** 127 || b.gap >= 2 ** 127) return;
        Outcome memory o = Outcome(sold, bought, navs[1], gaps[1]);
        if (sold >= 2 ** 127 || bought >= 2 ** 127 || navs[1] >= 2 ** 127 || gaps[1] >= 2 ** 127) return;
        _judge(b, o, next, levels);
        try this.judge(b, o, current, levels) {}
        catch {
            assert(false);
        }
    }

    function check_tighter_limits_make_nobody_wait_less(Limits memory current, Limits memory next) external pure {
        if (!LimitsLib.isTighter(current, next)) return;
        assert(next.cooldown >= current.cooldown);
        assert(next.window == current.window);
    }

    function judge(Before memory b, Outcome memory o, Limits memory l, uint256[2] memory levels) external pure {
        _judge(b, o, l, levels);
    }

    function _judge(Before memory b, Outcome memory o, Limits memory l, uint256[2] memory levels) internal pure {
        Guard.checkDrift(b, l.deadBand);
        uint256 needed = Guard.progress(b, l.minProgress, 0);
        Guard.check(b, o, l, int256(uint256(l.maxSlippage)), needed, levels[0], levels[1]);
    }
}
