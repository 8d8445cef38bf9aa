// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "solady/tokens/ERC20.sol";

import {
    AuctionTerms,
    Fees,
    IIndexVault,
    IVaultEvents,
    Limits,
    VaultConfig
} from "../../contracts/interfaces/IIndexVault.sol";
import {IVaultAdmin, IVaultChanges} from "../../contracts/interfaces/IVaultAdmin.sol";
import {Book} from "../../contracts/libraries/Book.sol";
import {Guard} from "../../contracts/libraries/Guard.sol";
import {ScriptedExecutor} from "./utils/ScriptedExecutor.sol";
import {VaultTest} from "./utils/VaultTest.sol";

/// @notice What waits, how long, who can stop it, and what happens when it is carried out.
contract VaultAdminTimelockTest is VaultTest {
    uint256 internal constant TERM = 14 days;

    address internal other = makeAddr("other");
    bytes internal change = abi.encodeCall(IVaultChanges.setKeeper, (makeAddr("other")));
    bytes32 internal id = keccak256(change);

    /* ------------------------------------------------- WAITING ------------------------------------------------- */

    function test_a_submission_is_told_by_an_event() external {
        vm.expectEmit(address(vault));
        emit IVaultEvents.Submitted(id, IVaultChanges.setKeeper.selector, change, block.timestamp + TIMELOCK);
        _submit(change);
        assertEq(admin.executableAt(id), block.timestamp + TIMELOCK);
    }

    function test_the_owner_submits_too() external {
        vm.prank(owner);
        admin.submit(change);
        assertEq(admin.executableAt(id), block.timestamp + TIMELOCK);
    }

    function test_a_change_is_not_accepted_before_its_time() external {
        _submit(change);
        uint256 at = block.timestamp + TIMELOCK;

        vm.warp(at - 1);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.TooEarly.selector, at - 1, at));
        _accept(change);
        vm.warp(at);
        _accept(change);
        assertEq(vault.book().keeper, other);
    }

    function test_a_change_that_was_held_back_too_long_expires() external {
        _submit(change);
        uint256 expiredAt = block.timestamp + TIMELOCK + TERM;

        vm.warp(expiredAt + 1);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.SubmissionExpired.selector, expiredAt + 1, expiredAt));
        _accept(change);
        vm.warp(expiredAt);
        _accept(change);
        assertEq(vault.book().keeper, other);
    }

    function test_a_change_is_accepted_once() external {
        _change(change);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.NotSubmitted.selector, id));
        _accept(change);
    }

    function test_what_was_not_submitted_is_not_accepted() external {
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.NotSubmitted.selector, id));
        _accept(change);
    }

    function test_only_the_very_bytes_that_were_submitted_are_accepted() external {
        _submit(change);
        skip(TIMELOCK);
        bytes memory longer = abi.encodePacked(change, uint8(0));
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.NotSubmitted.selector, keccak256(longer)));
        _accept(longer);
        bytes memory another = abi.encodeCall(IVaultChanges.setKeeper, (stranger));
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.NotSubmitted.selector, keccak256(another)));
        _accept(another);
    }

    function test_anyone_accepts_what_has_waited() external {
        address[5] memory anyone = [stranger, keeper, guardian, holder, address(market)];
        for (uint256 i; i < anyone.length; ++i) {
            uint256 before = vm.snapshotState();
            _submit(change);
            skip(TIMELOCK);
            vm.expectEmit(address(vault));
            emit IVaultEvents.Accepted(id, IVaultChanges.setKeeper.selector);
            vm.prank(anyone[i]);
            admin.accept(change);
            vm.revertToState(before);
        }
    }

    function test_a_change_cannot_be_submitted_twice() external {
        _submit(change);
        uint256 at = block.timestamp + TIMELOCK;

        // Not even in its last second: the time of the first would be lost.
        vm.warp(at + TERM);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.AlreadySubmitted.selector, id, at));
        _submit(change);
    }

    function test_an_expired_change_is_submitted_anew_and_waits_anew() external {
        _submit(change);
        skip(TIMELOCK + TERM + 1);
        _submit(change);
        uint256 at = block.timestamp + TIMELOCK;
        assertEq(admin.executableAt(id), at);

        vm.warp(at - 1);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.TooEarly.selector, at - 1, at));
        _accept(change);
        vm.warp(at);
        _accept(change);
    }

    function test_what_cannot_be_carried_out_stays_submitted() external {
        bytes memory broken = abi.encodePacked(IVaultChanges.setKeeper.selector, uint8(1));
        _submit(broken);
        skip(TIMELOCK);
        vm.expectRevert(bytes(""));
        _accept(broken);
        assertEq(admin.executableAt(keccak256(broken)), block.timestamp);
    }

    function test_another_timelock_does_not_move_what_was_submitted_before() external {
        bytes memory longer = abi.encodeCall(IVaultChanges.setTimelock, (10 days));
        _submit(longer);
        skip(1);
        _submit(change);
        uint256 at = admin.executableAt(id);
        vm.warp(at - 1);
        _accept(longer);
        assertEq(admin.executableAt(id), at);
        vm.warp(at);
        _accept(change);
    }

    function test_nothing_else_than_a_change_can_be_submitted() external {
        uint256[] memory none;
        bytes[16] memory others = [
            bytes(""),
            hex"a9059c",
            abi.encodeCall(ERC20.transfer, (stranger, 1)),
            abi.encodeCall(ERC20.approve, (stranger, 1)),
            abi.encodeCall(IIndexVault.rebalance, ("")),
            abi.encodeCall(IIndexVault.rebalanceOpen, ("")),
            abi.encodeCall(IIndexVault.redeem, (1, stranger, holder, none, 0)),
            abi.encodeCall(IIndexVault.claim, (tokens[0], stranger, 0)),
            abi.encodeCall(IVaultAdmin.accept, ("")),
            abi.encodeCall(IVaultAdmin.submit, ("")),
            abi.encodeCall(IVaultAdmin.revoke, ("")),
            abi.encodeCall(IVaultAdmin.tighten, (_looseLimits())),
            abi.encodeCall(IVaultAdmin.prune, (tokens[0])),
            abi.encodeCall(IVaultAdmin.setPaused, (true)),
            abi.encodeCall(IVaultAdmin.setCurator, (stranger)),
            abi.encodeCall(IVaultAdmin.offerOwnership, (stranger))
        ];
        for (uint256 i; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IVaultEvents.UnknownChange.selector, bytes4(others[i])));
            _submit(others[i]);
        }
    }

    /* ------------------------------------------------- REVOKING ------------------------------------------------- */

    function test_curator_guardian_and_owner_revoke() external {
        address[3] memory by = [curator, guardian, owner];
        for (uint256 i; i < by.length; ++i) {
            _submit(change);
            vm.expectEmit(address(vault));
            emit IVaultEvents.Revoked(id, by[i]);
            vm.prank(by[i]);
            admin.revoke(change);
            assertEq(admin.executableAt(id), 0);

            skip(TIMELOCK);
            vm.expectRevert(abi.encodeWithSelector(IVaultEvents.NotSubmitted.selector, id));
            _accept(change);
        }
    }

    function test_nobody_else_revokes() external {
        _submit(change);
        address[3] memory others = [keeper, holder, stranger];
        for (uint256 i; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(IVaultEvents.Unauthorized.selector, others[i]));
            admin.revoke(change);
        }
    }

    function test_what_was_not_submitted_is_not_revoked() external {
        vm.prank(curator);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.NotSubmitted.selector, id));
        admin.revoke(change);
    }

    function test_the_guardian_revokes_any_change_but_its_own_replacement() external {
        bytes[] memory all = _everyChange();
        for (uint256 i; i < all.length; ++i) {
            _submit(all[i]);
            bool own = bytes4(all[i]) == IVaultChanges.setGuardian.selector;
            if (own) vm.expectRevert(abi.encodeWithSelector(IVaultEvents.Unauthorized.selector, guardian));
            vm.prank(guardian);
            admin.revoke(all[i]);
            assertEq(admin.executableAt(keccak256(all[i])) != 0, own);
        }
    }

    function test_curator_and_owner_revoke_a_new_guardian() external {
        bytes memory successor = abi.encodeCall(IVaultChanges.setGuardian, (other));
        address[2] memory by = [curator, owner];
        for (uint256 i; i < by.length; ++i) {
            _submit(successor);
            vm.prank(by[i]);
            admin.revoke(successor);
            assertEq(admin.executableAt(keccak256(successor)), 0);
        }
    }

    /* ------------------------------------------------- SETTLING ------------------------------------------------- */

    function test_every_change_that_a_rebalance_reads_settles_first() external {
        bytes[] memory all = _everyChange();
        for (uint256 i; i < all.length; ++i) {
            if (bytes4(all[i]) == IVaultChanges.setGuardian.selector) continue;
            if (bytes4(all[i]) == IVaultChanges.setTimelock.selector) continue;
            uint256 before = vm.snapshotState();
            _live();
            _submit(all[i]);
            _wait(TIMELOCK);
            _settlesOn(curator, abi.encodeCall(IVaultAdmin.accept, (all[i])));
            vm.revertToState(before);
        }
    }

    function test_a_new_guardian_and_a_new_timelock_leave_orders_alone() external {
        bytes[2] memory quiet =
            [abi.encodeCall(IVaultChanges.setGuardian, (other)), abi.encodeCall(IVaultChanges.setTimelock, (4 days))];
        for (uint256 i; i < quiet.length; ++i) {
            _change(quiet[i]);
            assertEq(vault.nonce(), 0);
            assertEq(vault.openNonce(), 0);
            assertEq(vault.settledAt(), 0);
        }
    }

    function test_stopping_a_glide_settles_first() external {
        _live();
        _wait(TIMELOCK);
        _settlesOn(guardian, abi.encodeCall(IVaultAdmin.stopGlide, ()));
    }

    function test_dropping_the_keeper_settles_first() external {
        _live();
        _wait(TIMELOCK);
        _settlesOn(guardian, abi.encodeCall(IVaultAdmin.dropKeeper, ()));
    }

    function test_tightening_settles_first() external {
        _live();
        _wait(TIMELOCK);
        Limits memory l = vault.book().limits;
        l.lossBudget = 0;
        _settlesOn(curator, abi.encodeCall(IVaultAdmin.tighten, (l)));
    }

    /// @dev A vault that has lost 0.2% of NAV by a turnover of 9.8% of it, and whose buckets drain in 30 days.
    function _live() internal {
        VaultConfig memory c = _offTarget(DAI, LINK);
        c.limits.lossBudget = 0.005e18;
        c.limits.turnoverBudget = 0.5e18;
        c.limits.window = 30 days;
        _deploy(c);
        _rebalance(_trade(DAI, 50_000e18, LINK, _raw(LINK, 48_000e18)));
    }

    /// @dev Three days after `_live`, with an auction running: a tenth of each budget has drained under the old
    ///      settings, and neither a pending order nor a pending fill survives.
    function _settlesOn(address by, bytes memory data) internal {
        vault.openAuction();
        bytes memory pending = _trade(DAI, 1e18, LINK, 1e17);
        bytes memory fill = _fill(DAI, 10_000e18, LINK, 1_000e18);

        vm.expectEmit(address(vault));
        emit IVaultEvents.Settled(2, 1, 0.0015e18, 0.048e18);
        vm.prank(by);
        (bool ok,) = address(vault).call(data);
        assertTrue(ok);

        assertEq(vault.nonce(), 2);
        assertEq(vault.openNonce(), 1);
        assertEq(vault.settledAt(), block.timestamp);
        assertEq(vault.auctionOpenedAt(), 0);

        // The cooldown counts anew, the order is dead by its nonce, the fill by its auction.
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.NoAuction.selector, 0, block.timestamp));
        vault.rebalanceOpen(fill);
        if (vault.book().keeper == keeper) {
            _refused(pending, abi.encodeWithSelector(IVaultEvents.WrongNonce.selector, 2, 3));
            bytes memory next = _trade(DAI, 1e18, LINK, 1e17);
            uint256 readyAt = block.timestamp + vault.book().limits.cooldown;
            _refused(next, abi.encodeWithSelector(IVaultEvents.CoolingDown.selector, block.timestamp, readyAt));
        } else {
            _refused(pending, abi.encodeWithSelector(IVaultEvents.Unauthorized.selector, keeper));
        }

        // A fill that was made for the auction after this one is dead by its nonce.
        vault.openAuction();
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.WrongNonce.selector, 1, 2));
        vault.rebalanceOpen(fill);
    }

    /* ------------------------------------------------- CHANGES ------------------------------------------------- */

    function test_a_new_keeper_rebalances_and_the_old_one_no_more() external {
        _submit(change);
        _wait(TIMELOCK);
        vm.expectEmit(address(vault));
        emit IVaultEvents.KeeperSet(other);
        _accept(change);
        skip(12);

        bytes memory order = _trade(DAI, 1e18, LINK, 1e17);
        _refused(order, abi.encodeWithSelector(IVaultEvents.Unauthorized.selector, keeper));
        vm.prank(other);
        vault.rebalance(order);
    }

    function test_a_new_executor_gets_what_is_sold() external {
        ScriptedExecutor next = new ScriptedExecutor();
        bytes memory data = abi.encodeCall(IVaultChanges.setExecutor, (address(next)));
        _submit(data);
        _wait(TIMELOCK);
        vm.expectEmit(address(vault));
        emit IVaultEvents.ExecutorSet(address(next));
        _accept(data);
        skip(12);

        _rebalance(_trade(DAI, 1e18, LINK, 1e17));
        assertEq(_balanceOf(DAI, address(next)), 1e18);
        assertEq(_balanceOf(DAI, address(market)), 0);
    }

    function test_a_new_executor_has_code() external {
        _changeRefused(
            abi.encodeCall(IVaultChanges.setExecutor, (stranger)),
            abi.encodeWithSelector(IVaultEvents.NoCode.selector, stranger)
        );
    }

    function test_a_new_guardian_pauses_and_the_old_one_no_more() external {
        bytes memory data = abi.encodeCall(IVaultChanges.setGuardian, (other));
        _submit(data);
        _wait(TIMELOCK);
        vm.expectEmit(address(vault));
        emit IVaultEvents.GuardianSet(other);
        _accept(data);

        assertEq(admin.guardian(), other);
        vm.prank(guardian);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.Unauthorized.selector, guardian));
        admin.pause();
        vm.prank(other);
        admin.pause();
    }

    function test_new_limits_and_terms_take_effect() external {
        Limits memory l = _midLimits();
        AuctionTerms memory a = AuctionTerms(0.3e18, 0.01e18, 0.5e18, 1 days, 2 days);
        bytes memory data = abi.encodeCall(IVaultChanges.setLimits, (l, a));
        _submit(data);
        _wait(TIMELOCK);
        vm.expectEmit(address(vault));
        emit IVaultEvents.LimitsSet(l, a);
        _accept(data);

        assertEq(abi.encode(vault.book().limits), abi.encode(l));
        assertEq(abi.encode(vault.book().auction), abi.encode(a));
        (uint256 loss, uint256 turnover) = vault.headroom();
        assertEq(loss, l.lossBudget);
        assertEq(turnover, l.turnoverBudget);
    }

    function test_new_fees_take_effect() external {
        Fees memory fees = Fees(0.01e18, 0.002e18, 0.003e18);
        bytes memory data = abi.encodeCall(IVaultChanges.setFees, (fees, other));
        _submit(data);
        _wait(TIMELOCK);
        vm.expectEmit(address(vault));
        emit IVaultEvents.FeesSet(fees, other);
        _accept(data);

        assertEq(abi.encode(vault.book().fees), abi.encode(fees));
        assertEq(admin.feeRecipient(), other);
    }

    function test_new_fees_need_a_recipient() external {
        _changeRefused(
            abi.encodeCall(IVaultChanges.setFees, (Fees(0, 0, 0), address(0))),
            abi.encodeWithSelector(IVaultEvents.ZeroAddress.selector)
        );
    }

    function test_a_new_timelock_holds_from_the_next_submission_on() external {
        bytes memory data = abi.encodeCall(IVaultChanges.setTimelock, (7 days));
        _submit(data);
        _wait(TIMELOCK);
        vm.expectEmit(address(vault));
        emit IVaultEvents.TimelockSet(7 days);
        _accept(data);

        assertEq(admin.timelock(), 7 days);
        _submit(change);
        assertEq(admin.executableAt(id), block.timestamp + 7 days);
    }

    function test_no_change_takes_the_timelock_out_of_its_bounds() external {
        uint32[2] memory outside = [uint32(3 days) - 1, 60 days + 1];
        for (uint256 i; i < 2; ++i) {
            _changeRefused(
                abi.encodeCall(IVaultChanges.setTimelock, (outside[i])),
                abi.encodeWithSelector(
                    IVaultEvents.LimitOutOfBounds.selector, bytes32("timelock"), outside[i], 3 days, 60 days
                )
            );
        }
    }

    function test_no_change_takes_a_limit_an_auction_term_or_a_fee_out_of_its_bounds() external {
        bytes32[17] memory names = [
            bytes32("maxSlippage"),
            "maxBatchLoss",
            "lossBudget",
            "turnoverBudget",
            "deadBand",
            "minProgress",
            "dust",
            "window",
            "cooldown",
            "openBand",
            "premium",
            "minFill",
            "keeperGrace",
            "auctionLength",
            "streamingFee",
            "mintFee",
            "redeemFee"
        ];
        uint256[17] memory least =
            [uint256(0), 0, 0, 0, 0, 1e12, 0, 1 hours, 12, 0, 0, 0.01e18, 1 hours, 10 minutes, 0, 0, 0];
        uint256[17] memory most = [
            uint256(0.05e18),
            0.05e18,
            0.1e18,
            10e18,
            0.5e18,
            0.1e18,
            0.0001e18,
            90 days,
            30 days,
            1e18,
            0.05e18,
            1e18,
            90 days,
            7 days,
            0.1e18,
            0.05e18,
            0.02e18
        ];
        for (uint256 i; i < names.length; ++i) {
            if (least[i] != 0) _outOfBounds(names[i], i, least[i] - 1, least[i], most[i]);
            _outOfBounds(names[i], i, most[i] + 1, least[i], most[i]);
        }
    }

    /// @dev A change that sets the word at `place` of limits, auction terms and fees to `value` is refused.
    function _outOfBounds(bytes32 name, uint256 place, uint256 value, uint256 least, uint256 most) internal {
        Book memory b = vault.book();
        uint256[17] memory words = abi.decode(abi.encode(b.limits, b.auction, b.fees), (uint256[17]));
        words[place] = value;
        (Limits memory l, AuctionTerms memory a, Fees memory f) =
            abi.decode(abi.encode(words), (Limits, AuctionTerms, Fees));
        _changeRefused(
            place < 14
                ? abi.encodeCall(IVaultChanges.setLimits, (l, a))
                : abi.encodeCall(IVaultChanges.setFees, (f, feeRecipient)),
            abi.encodeWithSelector(IVaultEvents.LimitOutOfBounds.selector, name, value, least, most)
        );
    }

    /* ------------------------------------------------ TIGHTENING ------------------------------------------------ */

    function test_curator_and_owner_tighten_every_cap_at_once() external {
        address[2] memory by = [curator, owner];
        for (uint256 i; i < by.length; ++i) {
            Limits memory l = _midVault();
            (l.maxSlippage, l.maxBatchLoss, l.lossBudget, l.turnoverBudget) = (0, 0, 0, 0);
            (l.deadBand, l.minProgress, l.dust, l.cooldown) = (0.02e18, 0.01e18, 0, 2 hours);
            vm.expectEmit(address(vault));
            emit IVaultEvents.LimitsSet(l, vault.book().auction);
            vm.prank(by[i]);
            admin.tighten(l);
            assertEq(abi.encode(vault.book().limits), abi.encode(l));
        }
    }

    function test_no_cap_is_loosened_at_once() external {
        bytes memory now_ = abi.encode(_midVault());
        // A cap or the dust up, a floor down, the window either way.
        int256[10] memory step = [int256(1), 1, 1, 1, -1, -1, 1, 1, -1, -1];
        uint256[10] memory place = [uint256(0), 1, 2, 3, 4, 5, 6, 7, 7, 8];
        for (uint256 i; i < step.length; ++i) {
            uint256[9] memory words = abi.decode(now_, (uint256[9]));
            words[place[i]] = uint256(int256(words[place[i]]) + step[i]);
            vm.prank(curator);
            vm.expectRevert(abi.encodeWithSelector(IVaultEvents.NotTighter.selector));
            admin.tighten(abi.decode(abi.encode(words), (Limits)));
        }
    }

    function test_each_cap_is_tightened_by_itself() external {
        int256[8] memory step = [int256(-1), -1, -1, -1, 1, 1, -1, 1];
        uint256[8] memory place = [uint256(0), 1, 2, 3, 4, 5, 6, 8];
        for (uint256 i; i < step.length; ++i) {
            uint256[9] memory words = abi.decode(abi.encode(_midVault()), (uint256[9]));
            words[place[i]] = uint256(int256(words[place[i]]) + step[i]);
            Limits memory l = abi.decode(abi.encode(words), (Limits));
            vm.prank(curator);
            admin.tighten(l);
            assertEq(abi.encode(vault.book().limits), abi.encode(l));
        }
    }

    function test_what_is_tighter_is_judged_when_it_is_carried_out() external {
        Limits memory l = _midVault();
        l.maxSlippage -= 10;
        vm.prank(curator);
        admin.tighten(l);
        l.maxSlippage += 5;
        vm.prank(curator);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.NotTighter.selector));
        admin.tighten(l);
    }

    function test_tightening_stays_inside_the_hard_bounds() external {
        Limits memory l = _midVault();
        l.minProgress = 0.1e18 + 1;
        vm.prank(curator);
        vm.expectRevert(
            abi.encodeWithSelector(
                IVaultEvents.LimitOutOfBounds.selector, bytes32("minProgress"), 0.1e18 + 1, 1e12, 0.1e18
            )
        );
        admin.tighten(l);
    }

    function test_a_budget_below_its_level_leaves_no_headroom_until_it_has_drained() external {
        VaultConfig memory c = _offTarget(DAI, LINK);
        c.limits.window = 1_000_000;
        _deploy(c);
        // 0.2% of NAV lost, 9.8% turned over.
        _rebalance(_trade(DAI, 50_000e18, LINK, _raw(LINK, 48_000e18)));
        Limits memory l = c.limits;
        l.lossBudget = 0.001e18;
        vm.prank(curator);
        admin.tighten(l);
        (uint256 loss,) = vault.headroom();
        assertEq(loss, 0);

        skip(12);
        _refused(
            _trade(DAI, 1_000e18, LINK, _raw(LINK, 1_000e18)),
            abi.encodeWithSelector(Guard.LossBudgetExceeded.selector, 0.002e18 - 1.2e10, 0.001e18)
        );
        // The level falls at the pace of the new budget: one window later both are the same.
        _wait(999_988);
        (loss,) = vault.headroom();
        assertEq(loss, 0);
        _rebalance(_trade(DAI, 1_000e18, LINK, _raw(LINK, 1_000e18)));
    }

    /* -------------------------------------------------- KEEPER -------------------------------------------------- */

    function test_guardian_curator_and_owner_drop_the_keeper_at_once() external {
        address[3] memory by = [guardian, curator, owner];
        for (uint256 i; i < by.length; ++i) {
            _deploy(_offTarget(DAI, LINK));
            vm.expectEmit(address(vault));
            emit IVaultEvents.KeeperSet(address(0));
            vm.prank(by[i]);
            admin.dropKeeper();
            assertEq(vault.book().keeper, address(0));
            skip(12);
            _refused(_trade(DAI, 1e18, LINK, 1e17), abi.encodeWithSelector(IVaultEvents.Unauthorized.selector, keeper));
        }
    }

    function test_a_keeper_that_was_dropped_comes_back_through_the_timelock() external {
        vm.prank(guardian);
        admin.dropKeeper();
        _change(abi.encodeCall(IVaultChanges.setKeeper, (keeper)));
        skip(12);
        _rebalance(_trade(DAI, 1e18, LINK, 1e17));
    }

    /* -------------------------------------------------- PAUSE -------------------------------------------------- */

    function test_a_pause_ends_by_itself() external {
        uint256 until = block.timestamp + 7 days;
        vm.expectEmit(address(vault));
        emit IVaultEvents.PausedUntil(until, guardian);
        vm.prank(guardian);
        admin.pause();
        assertEq(admin.pausedUntil(), until);

        _wait(7 days - 1);
        _refused(_trade(DAI, 1e18, LINK, 1e17), abi.encodeWithSelector(IVaultEvents.RebalancingPaused.selector, until));
        _wait(1);
        _rebalance(_trade(DAI, 1e18, LINK, 1e17));
    }

    function test_after_a_pause_there_is_a_rest_of_the_same_length() external {
        vm.startPrank(guardian);
        admin.pause();
        uint256 readyAt = block.timestamp + 14 days;

        vm.warp(readyAt - 1);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.PausedTooRecently.selector, readyAt - 1, readyAt));
        admin.pause();
        vm.warp(readyAt);
        admin.pause();
        assertEq(admin.pausedUntil(), readyAt + 7 days);
    }

    function test_the_owner_makes_a_pause_last() external {
        vm.prank(guardian);
        admin.pause();
        vm.expectEmit(address(vault));
        emit IVaultEvents.PausedUntil(type(uint40).max, owner);
        vm.prank(owner);
        admin.setPaused(true);

        _wait(365 days);
        _refused(
            _trade(DAI, 1e18, LINK, 1e17),
            abi.encodeWithSelector(IVaultEvents.RebalancingPaused.selector, type(uint40).max)
        );
    }

    function test_the_owner_lifts_a_pause_and_the_guardian_rests_all_the_same() external {
        vm.prank(guardian);
        admin.pause();
        uint256 readyAt = block.timestamp + 14 days;
        vm.expectEmit(address(vault));
        emit IVaultEvents.PausedUntil(0, owner);
        vm.prank(owner);
        admin.setPaused(false);
        _rebalance(_trade(DAI, 1e18, LINK, 1e17));

        vm.prank(guardian);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.PausedTooRecently.selector, block.timestamp, readyAt));
        admin.pause();
    }

    function test_a_guardians_pause_does_not_cut_the_owners_short() external {
        vm.prank(owner);
        admin.setPaused(true);
        vm.expectEmit(address(vault));
        emit IVaultEvents.PausedUntil(type(uint40).max, guardian);
        vm.prank(guardian);
        admin.pause();
        assertEq(admin.pausedUntil(), type(uint40).max);
    }

    /* -------------------------------------------------- OWNER -------------------------------------------------- */

    function test_ownership_passes_in_two_steps() external {
        vm.expectEmit(address(vault));
        emit IVaultEvents.OwnershipOffered(owner, other);
        vm.prank(owner);
        admin.offerOwnership(other);
        assertEq(admin.owner(), owner);
        assertEq(admin.pendingOwner(), other);

        vm.expectEmit(address(vault));
        emit IVaultEvents.OwnerSet(other);
        vm.prank(other);
        admin.acceptOwnership();
        assertEq(admin.owner(), other);
        assertEq(admin.pendingOwner(), address(0));

        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.Unauthorized.selector, owner));
        admin.setPaused(true);
    }

    function test_only_who_was_offered_ownership_last_accepts_it() external {
        vm.startPrank(owner);
        admin.offerOwnership(other);
        admin.offerOwnership(stranger);
        vm.stopPrank();
        address[3] memory others = [other, owner, curator];
        for (uint256 i; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(IVaultEvents.Unauthorized.selector, others[i]));
            admin.acceptOwnership();
        }
    }

    function test_an_offer_is_withdrawn_by_offering_to_nobody() external {
        vm.startPrank(owner);
        admin.offerOwnership(other);
        admin.offerOwnership(address(0));
        vm.stopPrank();
        vm.prank(other);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.Unauthorized.selector, other));
        admin.acceptOwnership();
    }

    function test_the_owner_names_the_curator() external {
        vm.expectEmit(address(vault));
        emit IVaultEvents.CuratorSet(other);
        vm.prank(owner);
        admin.setCurator(other);

        vm.prank(curator);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.Unauthorized.selector, curator));
        admin.submit(change);
        vm.prank(other);
        admin.submit(change);
    }

    /* ------------------------------------------------- HELPERS ------------------------------------------------- */

    /// @dev One of each change, all of which the vault carries out.
    function _everyChange() internal returns (bytes[] memory all) {
        all = new bytes[](9);
        all[0] = abi.encodeCall(IVaultChanges.setOracle, (address(_oracle())));
        all[1] = abi.encodeCall(IVaultChanges.setKeeper, (other));
        all[2] = abi.encodeCall(IVaultChanges.setExecutor, (address(new ScriptedExecutor())));
        all[3] = abi.encodeCall(IVaultChanges.setGuardian, (other));
        all[4] = abi.encodeCall(IVaultChanges.setFees, (Fees(1, 1, 1), other));
        all[5] = abi.encodeCall(
            IVaultChanges.setLimits, (_midLimits(), AuctionTerms(0.05e18, 0, 0.01e18, 1 hours, 1 hours))
        );
        all[6] = abi.encodeCall(IVaultChanges.setTimelock, (4 days));
        all[7] = abi.encodeCall(IVaultChanges.quarantine, (tokens[WETH]));
        all[8] = abi.encodeCall(IVaultChanges.setTargets, (tokens, vault.targets(), 0));
    }

    function _midVault() internal returns (Limits memory l) {
        l = _midLimits();
        VaultConfig memory c = _offTarget(DAI, LINK);
        c.limits = l;
        c.auction.openBand = 0.1e18;
        _deploy(c);
    }

    /// @dev None at its hard bound, so that each can go either way.
    function _midLimits() internal pure returns (Limits memory) {
        return Limits({
            maxSlippage: 0.005e18,
            maxBatchLoss: 0.004e18,
            lossBudget: 0.01e18,
            turnoverBudget: 1e18,
            deadBand: 0.01e18,
            minProgress: 0.001e18,
            dust: 0.00005e18,
            window: 7 days,
            cooldown: 1 hours
        });
    }
}
