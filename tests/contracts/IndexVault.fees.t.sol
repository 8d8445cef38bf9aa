// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

import {Fees, IVaultEvents, VaultConfig} from "../../contracts/interfaces/IIndexVault.sol";
import {IVaultChanges} from "../../contracts/interfaces/IVaultAdmin.sol";
import {VaultTest} from "./utils/VaultTest.sol";

/// @notice What fees take, from whom, and that they never stand in the way of the exit.
contract IndexVaultFeesTest is VaultTest {
    using FixedPointMathLib for uint256;

    uint256 internal constant MAX_SUPPLY = type(uint128).max;

    /* ------------------------------------------------ STREAMING ------------------------------------------------ */

    function test_the_streaming_fee_makes_its_recipient_own_it() external {
        _charge(0.02e18, 0, 0);
        // A fifth of a year: 0.4% of the supply that results.
        skip(73 days);
        uint256 due = SHARES.fullMulDiv(0.004e18, 0.996e18);
        vm.expectEmit(address(vault));
        emit IVaultEvents.FeesAccrued(feeRecipient, due);
        vault.accrueFees();

        assertEq(vault.balanceOf(feeRecipient), due);
        assertEq(vault.totalSupply(), SHARES + due);
        assertApproxEqAbs(due, vault.totalSupply() * 4 / 1000, 1);
    }

    function testFuzz_the_streaming_fee_follows_its_formula(uint256 streaming, uint256 elapsed) external {
        streaming = bound(streaming, 0, 0.1e18);
        elapsed = bound(elapsed, 0, 100 * 365 days);
        _charge(uint64(streaming), 0, 0);
        skip(elapsed);
        vault.accrueFees();
        uint256 due = FixedPointMathLib.min(streaming * elapsed / 365 days, 0.5e18);
        assertEq(vault.balanceOf(feeRecipient), SHARES * due / (WAD - due));
    }

    function test_nothing_accrues_without_time_or_fee() external {
        _charge(0.1e18, 0, 0);
        vault.accrueFees();
        assertEq(vault.totalSupply(), SHARES);
        _charge(0, 0, 0);
        skip(365 days);
        vault.accrueFees();
        assertEq(vault.totalSupply(), SHARES);
    }

    function test_at_most_half_of_the_supply_accrues_at_once() external {
        _charge(0.1e18, 0, 0);
        uint256 before = vm.snapshotState();
        skip(5 * 365 days - 1);
        vault.accrueFees();
        assertLt(vault.balanceOf(feeRecipient), SHARES);

        for (uint256 centuries; centuries < 3; ++centuries) {
            vm.revertToState(before);
            skip(5 * 365 days + centuries * 100 * 365 days);
            vault.accrueFees();
            assertEq(vault.balanceOf(feeRecipient), SHARES);
        }
    }

    function testFuzz_accruing_often_costs_holders_no_more_and_the_recipient_next_to_nothing(
        uint256 streaming,
        uint256 seed
    ) external {
        streaming = bound(streaming, 0.001e18, 0.1e18);
        _charge(uint64(streaming), 0, 0);
        uint256 start = block.timestamp;
        for (uint256 i; i < 40; ++i) {
            skip(1 + uint256(keccak256(abi.encode(seed, i))) % 10 ** (2 + i % 5));
            vault.accrueFees();
        }
        uint256 once = streaming * (block.timestamp - start) / 365 days;
        uint256 owned = vault.balanceOf(feeRecipient).divWad(vault.totalSupply());
        assertLe(owned, once);
        // Compounding: 1 - (1 - f/n)^n is at least 1 - exp(-f). Each accrual may round down by one part in 1e18.
        uint256 continuous = WAD - uint256(FixedPointMathLib.expWad(-int256(once)));
        assertGe(owned + 45, continuous);
    }

    function test_accruing_daily_does_not_round_the_least_fee_away() external {
        // One part in 1e18 a year: on no day is anything due, but after the year it is.
        _charge(1, 0, 0);
        for (uint256 i; i < 364; ++i) {
            skip(1 days);
            vault.accrueFees();
        }
        assertEq(vault.balanceOf(feeRecipient), 0);
        skip(1 days);
        vault.accrueFees();
        assertEq(vault.balanceOf(feeRecipient), 10_000);
    }

    function test_minting_accrues_first() external {
        _charge(0.1e18, 0, 0);
        skip(365 days);
        // 10% belongs to the recipient: the minter pays 10% less for a share, rounded up.
        uint256[] memory paid = _mint(stranger, 1e18);
        assertEq(paid[DAI], 27e18 + 1);
        assertEq(vault.balanceOf(feeRecipient), SHARES.fullMulDiv(0.1e18, 0.9e18));
    }

    function test_redeeming_accrues_first() external {
        _charge(0.1e18, 0, 0);
        skip(365 days);
        uint256[] memory got = _redeem(holder, 1e18);
        assertEq(got[DAI], 27e18);
        assertEq(vault.balanceOf(feeRecipient), SHARES.fullMulDiv(0.1e18, 0.9e18));
    }

    function test_rebalancing_accrues_nothing() external {
        _charge(0.1e18, 0, 0);
        _wait(365 days);
        _rebalance(_trade(DAI, 1_000e18, LINK, _raw(LINK, 1_000e18)));
        assertEq(vault.totalSupply(), SHARES);
    }

    function test_previews_include_what_is_pending() external {
        _charge(0.1e18, 0.01e18, 0.01e18);
        _wait(100 days);
        uint256[] memory mint = vault.previewMint(1e18);
        uint256[] memory redeem = vault.previewRedeem(1e18);
        uint256 price = vault.sharePrice();
        vault.accrueFees();
        assertEq(vault.previewMint(1e18), mint);
        assertEq(vault.previewRedeem(1e18), redeem);
        assertEq(vault.sharePrice(), price);
        assertLt(price, 100e18);
    }

    function test_what_is_previewed_is_paid() external {
        _charge(0.1e18, 0.013e18, 0.007e18);
        skip(100 days + 1);
        uint256[] memory preview = vault.previewMint(7e18 + 1);
        assertEq(_mint(stranger, 7e18 + 1), preview);
        skip(100 days + 1);
        preview = vault.previewRedeem(3e18 + 1);
        assertEq(_redeem(holder, 3e18 + 1), preview);
    }

    /* --------------------------------------------- MINTING AND REDEEMING --------------------------------------------- */

    function test_the_mint_fee_is_taken_on_top_and_stays_with_the_holders() external {
        _charge(0, 0.01e18, 0);
        uint256[] memory paid = _mint(stranger, 1_000e18);
        assertEq(paid[DAI], 30_300e18);
        assertEq(vault.balanceOf(stranger), 1_000e18);
        assertEq(vault.totalSupply(), SHARES + 1_000e18);
        assertEq(vault.balanceOf(feeRecipient), 0);
        // 330,300 DAI for 11,000 shares, where there were 30 for each.
        assertEq(vault.previewRedeem(1_000e18)[DAI], uint256(330_300e18) / 11);
    }

    function test_the_mint_fee_is_rounded_up() external {
        _charge(0, 0.01e18, 0);
        // 1.01 wei of a share are charged as two, with 30 wei of DAI behind each.
        assertEq(vault.previewMint(1)[DAI], 60);
        assertEq(vault.previewMint(100)[DAI], 3_030);
    }

    function test_the_redeem_fee_is_held_back_and_stays_with_the_holders() external {
        _charge(0, 0, 0.01e18);
        uint256[] memory got = _redeem(holder, 1_000e18);
        assertEq(got[DAI], 29_700e18);
        assertEq(vault.totalSupply(), SHARES - 1_000e18);
        assertEq(vault.balanceOf(feeRecipient), 0);
        assertEq(vault.balances()[DAI], 270_300e18);
    }

    function test_what_the_redeem_fee_leaves_is_rounded_down() external {
        _charge(0, 0, 0.01e18);
        // Of 101 wei of shares 99.99 are paid as 99, with 30 wei of DAI behind each.
        assertEq(vault.previewRedeem(101)[DAI], 2_970);
        assertEq(_redeem(holder, 101)[DAI], 2_970);
    }

    function test_the_redeem_fee_makes_no_claim() external {
        _charge(0, 0, 0.02e18);
        _redeem(holder, 1_000e18);
        assertEq(vault.reserved(tokens[DAI]), 0);
    }

    /* ------------------------------------------------- CHANGING ------------------------------------------------- */

    function test_a_change_of_recipient_pays_the_old_one_first() external {
        _charge(0.1e18, 0, 0);
        _change(abi.encodeCall(IVaultChanges.setFees, (Fees(0.05e18, 0, 0), stranger)));
        uint256 due = uint256(0.1e18) * 3 days / 365 days;
        uint256 old = SHARES.fullMulDiv(due, WAD - due);
        assertEq(vault.balanceOf(feeRecipient), old);
        assertEq(vault.balanceOf(stranger), 0);

        skip(73 days);
        vault.accrueFees();
        assertEq(vault.balanceOf(feeRecipient), old);
        assertEq(vault.balanceOf(stranger), (SHARES + old).fullMulDiv(0.01e18, 0.99e18));
    }

    function test_a_new_fee_does_not_reach_back() external {
        // For a year there was no fee, and so nothing that would have moved the clock.
        skip(365 days);
        _change(abi.encodeCall(IVaultChanges.setFees, (Fees(0.1e18, 0, 0), feeRecipient)));
        vault.accrueFees();
        assertEq(vault.totalSupply(), SHARES);
    }

    /* --------------------------------------------------- EXIT --------------------------------------------------- */

    function testFuzz_no_fee_and_no_time_stop_a_redemption(
        uint256 elapsed,
        uint256 streaming,
        uint256 fee,
        uint256 shares
    ) external {
        _charge(uint64(bound(streaming, 0, 0.1e18)), 0, uint64(bound(fee, 0, 0.02e18)));
        skip(bound(elapsed, 0, 1000 * 365 days));
        _redeem(holder, bound(shares, 1, vault.balanceOf(holder)));
    }

    function test_fees_stop_at_the_largest_supply() external {
        VaultConfig memory c = _offTarget(DAI, LINK);
        c.fees.streaming = 0.1e18;
        c.shares = MAX_SUPPLY - 1_000;
        _deploy(c);
        skip(365 days);
        assertGt(vault.previewRedeem(1e27)[DAI], 0);
        _redeem(holder, MAX_SUPPLY / 2);
        assertEq(vault.balanceOf(feeRecipient), 1_000);

        // At the very top nothing more is due, and everybody still gets out.
        c.shares = MAX_SUPPLY;
        _deploy(c);
        skip(365 days);
        vault.accrueFees();
        assertEq(vault.totalSupply(), MAX_SUPPLY);
        _redeem(holder, MAX_SUPPLY / 2);
    }

    function test_the_supply_has_a_maximum() external {
        VaultConfig memory c = _offTarget(DAI, LINK);
        c.shares = MAX_SUPPLY - 1e18;
        _deploy(c);
        uint256[] memory maxIn = vault.previewMint(2e18);
        _fund(stranger, maxIn);
        vm.startPrank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.SupplyTooLarge.selector, MAX_SUPPLY + 1, MAX_SUPPLY));
        vault.mint(1e18 + 1, stranger, maxIn, 0);
        vault.mint(1e18, stranger, maxIn, 0);
        assertEq(vault.totalSupply(), MAX_SUPPLY);
    }

    /* ------------------------------------------------- HELPERS ------------------------------------------------- */

    function _charge(uint64 streaming, uint64 mint, uint64 redeem) internal {
        VaultConfig memory c = _offTarget(DAI, LINK);
        c.fees = Fees(streaming, mint, redeem);
        _deploy(c);
    }
}
