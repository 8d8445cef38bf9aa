// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "solady/tokens/ERC20.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {IVaultEvents} from "../../contracts/interfaces/IIndexVault.sol";
import {FeeToken, FreezableToken, NoReturnToken, TestToken} from "./utils/Tokens.sol";
import {VaultTest} from "./utils/VaultTest.sol";

/// @notice In kind, pro rata, and never to the advantage of whoever mints or redeems.
contract IndexVaultSharesTest is VaultTest {
    address internal constant PERMIT2 = 0x000000000022D473030F116dDEE9F6B43aC78BA3;

    /* ------------------------------------------------ PROPERTIES ------------------------------------------------ */

    function testFuzz_mint_then_redeem_never_profits(uint256 shares, uint256[5] memory held) external {
        _hold(held);
        shares = bound(shares, 1, 1e27);
        uint256[] memory paid = _mint(stranger, shares);
        uint256[] memory got = _redeem(stranger, shares);

        for (uint256 i; i < ASSETS; ++i) {
            assertLe(got[i], paid[i]);
        }
    }

    function testFuzz_redeem_then_mint_never_profits(uint256 shares, uint256[5] memory held) external {
        _hold(held);
        shares = bound(shares, 1, vault.balanceOf(holder));
        uint256[] memory got = _redeem(holder, shares);
        uint256[] memory paid = _mint(holder, shares);

        for (uint256 i; i < ASSETS; ++i) {
            assertLe(got[i], paid[i]);
        }
    }

    function testFuzz_splitting_a_mint_costs_no_less(uint256 first, uint256 second, uint256[5] memory held) external {
        _hold(held);
        first = bound(first, 1, 1e24);
        second = bound(second, 1, 1e24);
        uint256[] memory whole = vault.previewMint(first + second);
        uint256[] memory a = _mint(stranger, first);
        uint256[] memory b = _mint(stranger, second);

        for (uint256 i; i < ASSETS; ++i) {
            assertGe(a[i] + b[i], whole[i]);
        }
    }

    function testFuzz_nobody_else_is_diluted(uint256 shares, bool minting, uint256[5] memory held) external {
        _hold(held);
        uint256[] memory before = vault.balances();
        uint256 supply = vault.totalSupply();
        if (minting) {
            _mint(stranger, bound(shares, 1, 1e27));
        } else {
            _redeem(holder, bound(shares, 1, vault.balanceOf(holder)));
        }

        uint256[] memory left = vault.balances();
        for (uint256 i; i < ASSETS; ++i) {
            assertGe(left[i] * supply, before[i] * vault.totalSupply());
        }
    }

    function testFuzz_a_mint_takes_the_pro_rata_part_rounded_up(uint256 shares, uint256[5] memory held) external {
        _hold(held);
        shares = bound(shares, 1, 1e27);
        uint256[] memory preview = vault.previewMint(shares);
        uint256[] memory before = vault.balances();
        uint256 supply = vault.totalSupply();
        uint256[] memory paid = _mint(stranger, shares);

        assertEq(vault.balanceOf(stranger), shares);
        for (uint256 i; i < ASSETS; ++i) {
            assertEq(paid[i], (before[i] * shares + supply - 1) / supply);
            assertEq(paid[i], preview[i]);
            assertEq(_balanceOf(i, address(vault)), before[i] + paid[i]);
        }
    }

    function testFuzz_a_redemption_pays_the_pro_rata_part_rounded_down(uint256 shares, uint256[5] memory held)
        external
    {
        _hold(held);
        shares = bound(shares, 1, vault.balanceOf(holder));
        uint256[] memory preview = vault.previewRedeem(shares);
        uint256[] memory before = vault.balances();
        uint256 supply = vault.totalSupply();
        uint256[] memory got = _redeem(holder, shares);

        assertEq(vault.totalSupply(), supply - shares);
        for (uint256 i; i < ASSETS; ++i) {
            assertEq(got[i], before[i] * shares / supply);
            assertEq(got[i], preview[i]);
            assertEq(_balanceOf(i, holder), got[i]);
            assertEq(_balanceOf(i, address(vault)), before[i] - got[i]);
        }
    }

    function testFuzz_a_donation_never_pays_the_donor(uint256 own, uint256 gift, uint256 victims) external {
        // The donor holds shares, gives, lets a victim mint, and leaves.
        own = bound(own, 1, 1e24);
        victims = bound(victims, 1, 1e24);
        uint256[] memory paid = _mint(stranger, own);
        uint256[] memory gifts = new uint256[](ASSETS);
        for (uint256 i; i < ASSETS; ++i) {
            gifts[i] = gift % (1e9 * units[i]);
            TestToken(tokens[i]).mint(address(vault), gifts[i]);
        }
        _mint(makeAddr("victim"), victims);
        uint256[] memory got = _redeem(stranger, own);

        for (uint256 i; i < ASSETS; ++i) {
            assertLe(got[i], paid[i] + gifts[i]);
        }
    }

    function testFuzz_a_donation_before_a_mint_is_not_lost_to_the_minter(uint256 gift, uint256 shares) external {
        // The classic attack makes the victim pay for a share that rounds away. Here the victim names the shares.
        gift = bound(gift, 0, 1e30);
        shares = bound(shares, 1, 1e24);
        TestToken(tokens[DAI]).mint(address(vault), gift);
        uint256[] memory paid = _mint(stranger, shares);
        uint256[] memory got = _redeem(stranger, shares);

        for (uint256 i; i < ASSETS; ++i) {
            assertLe(paid[i] - got[i], 1);
        }
    }

    /* -------------------------------------------- FIRST AND LAST HOLDER -------------------------------------------- */

    function test_the_first_minter_pays_what_the_seed_did() external {
        uint256[] memory seed = vault.balances();
        assertEq(_mint(stranger, SHARES), seed);
    }

    function test_the_last_holder_leaves_and_the_vault_goes_on() external {
        uint256[] memory seed = vault.balances();
        _redeem(holder, vault.balanceOf(holder));
        assertEq(vault.totalSupply(), DEAD_SHARES);
        uint256[] memory left = vault.balances();
        for (uint256 i; i < ASSETS; ++i) {
            assertEq(left[i], (seed[i] * DEAD_SHARES + SHARES - 1) / SHARES);
        }

        uint256[] memory paid = _mint(stranger, SHARES);
        uint256[] memory got = _redeem(stranger, SHARES);
        for (uint256 i; i < ASSETS; ++i) {
            assertLe(got[i], paid[i]);
            assertGe(got[i] + left[i], paid[i]);
        }
    }

    /* -------------------------------------------------- EXIT -------------------------------------------------- */

    function test_redeeming_and_minting_work_with_every_feed_dead() external {
        for (uint256 i; i < ASSETS; ++i) {
            feeds[i].setDead(true);
        }
        vm.expectRevert();
        vault.nav();

        _redeem(holder, 1e18);
        _mint(stranger, 1e18);
    }

    function test_redeeming_and_minting_work_with_every_price_stale() external {
        skip(365 days);
        vm.expectRevert();
        vault.nav();

        _redeem(holder, 1e18);
        _mint(stranger, 1e18);
    }

    function test_a_pause_stops_neither_mint_nor_redeem() external {
        vm.prank(owner);
        admin.setPaused(true);

        _redeem(holder, 1e18);
        _mint(stranger, 1e18);
    }

    function test_a_vault_without_a_keeper_still_redeems() external {
        vm.prank(guardian);
        admin.dropKeeper();
        _redeem(holder, 1e18);
    }

    /* -------------------------------------------------- CHECKS -------------------------------------------------- */

    function test_a_mint_takes_no_more_than_its_maximum() external {
        uint256[] memory maxIn = vault.previewMint(1e18 + 1);
        _fund(stranger, maxIn);
        for (uint256 i; i < ASSETS; ++i) {
            maxIn[i] -= 1;
            vm.prank(stranger);
            vm.expectRevert(abi.encodeWithSelector(IVaultEvents.AboveMaxIn.selector, tokens[i], maxIn[i] + 1, maxIn[i]));
            vault.mint(1e18 + 1, stranger, maxIn, 0);
            maxIn[i] += 1;
        }
        vm.prank(stranger);
        vault.mint(1e18 + 1, stranger, maxIn, 0);
    }

    function test_a_redemption_pays_no_less_than_its_minimum() external {
        uint256[] memory minOut = vault.previewRedeem(1e18);
        for (uint256 i; i < ASSETS; ++i) {
            minOut[i] += 1;
            vm.prank(holder);
            vm.expectRevert(
                abi.encodeWithSelector(IVaultEvents.BelowMinOut.selector, tokens[i], minOut[i] - 1, minOut[i])
            );
            vault.redeem(1e18, holder, holder, minOut, 0);
            minOut[i] -= 1;
        }
        vm.prank(holder);
        vault.redeem(1e18, holder, holder, minOut, 0);
    }

    function test_a_mint_for_another_basket_is_refused() external {
        uint256[] memory maxIn = vault.previewMint(1e18);
        _fund(stranger, maxIn);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.WrongEpoch.selector, 1, 0));
        vault.mint(1e18, stranger, maxIn, 1);
    }

    function test_a_redemption_for_another_basket_is_refused() external {
        vm.prank(holder);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.WrongEpoch.selector, 1, 0));
        vault.redeem(1e18, holder, holder, new uint256[](ASSETS), 1);
    }

    function test_no_shares_are_neither_minted_nor_redeemed() external {
        uint256[] memory bounds = new uint256[](ASSETS);
        vm.expectRevert(IVaultEvents.ZeroShares.selector);
        vault.mint(0, stranger, bounds, 0);
        vm.expectRevert(IVaultEvents.ZeroShares.selector);
        vault.redeem(0, stranger, address(this), bounds, 0);
    }

    function test_bounds_are_named_for_every_asset_and_no_more() external {
        _fund(holder, vault.previewMint(1e18));
        uint256[2] memory lengths = [ASSETS - 1, ASSETS + 1];
        for (uint256 i; i < lengths.length; ++i) {
            uint256[] memory bounds = new uint256[](lengths[i]);
            vm.startPrank(holder);
            vm.expectRevert(abi.encodeWithSelector(IVaultEvents.LengthMismatch.selector, lengths[i], ASSETS));
            vault.redeem(1e18, holder, holder, bounds, 0);
            for (uint256 j; j < bounds.length; ++j) {
                bounds[j] = type(uint256).max;
            }
            vm.expectRevert(abi.encodeWithSelector(IVaultEvents.LengthMismatch.selector, lengths[i], ASSETS));
            vault.mint(1e18, holder, bounds, 0);
            vm.stopPrank();
        }
    }

    function test_more_shares_than_the_owner_has_are_not_redeemed() external {
        uint256 held = vault.balanceOf(holder);
        vm.prank(holder);
        vm.expectRevert(ERC20.InsufficientBalance.selector);
        vault.redeem(held + 1, holder, holder, new uint256[](ASSETS), 0);
    }

    function test_shares_of_another_are_redeemed_by_allowance_only() external {
        vm.prank(holder);
        vault.approve(stranger, 1e18);

        vm.startPrank(stranger);
        vm.expectRevert(ERC20.InsufficientAllowance.selector);
        vault.redeem(1e18 + 1, stranger, holder, new uint256[](ASSETS), 0);
        uint256[] memory got = vault.redeem(1e18, stranger, holder, new uint256[](ASSETS), 0);
        vm.stopPrank();

        assertEq(vault.allowance(holder, stranger), 0);
        assertEq(_balanceOf(DAI, stranger), got[DAI]);
    }

    function test_a_redemption_goes_to_its_receiver() external {
        vm.prank(holder);
        uint256[] memory got = vault.redeem(1e18, stranger, holder, new uint256[](ASSETS), 0);
        for (uint256 i; i < ASSETS; ++i) {
            assertEq(_balanceOf(i, stranger), got[i]);
        }
    }

    function test_minting_and_redeeming_are_told_by_events() external {
        uint256[] memory amounts = vault.previewMint(1e18);
        _fund(stranger, amounts);
        vm.expectEmit(address(vault));
        emit IVaultEvents.Minted(stranger, holder, 1e18, amounts);
        vm.prank(stranger);
        vault.mint(1e18, holder, amounts, 0);

        amounts = vault.previewRedeem(1e18);
        vm.expectEmit(address(vault));
        emit IVaultEvents.Redeemed(holder, stranger, holder, 1e18, amounts);
        vm.prank(holder);
        vault.redeem(1e18, stranger, holder, amounts, 0);
    }

    /* ---------------------------------------------- PECULIAR TOKENS ---------------------------------------------- */

    function test_a_token_that_returns_nothing_is_minted_with_and_redeemed() external {
        _relist(USDC, address(new NoReturnToken(6)));
        _mint(stranger, 1e18);
        _redeem(stranger, 1e18);
    }

    function test_a_mint_with_a_fee_on_transfer_is_refused() external {
        FeeToken token = new FeeToken(18);
        _relist(DAI, address(token));
        token.setFee(0.01e18, 0);

        uint256[] memory maxIn = vault.previewMint(1e18);
        _fund(stranger, maxIn);
        vm.prank(stranger);
        vm.expectRevert(
            abi.encodeWithSelector(
                IVaultEvents.ShortTransfer.selector, address(token), maxIn[DAI] * 99 / 100, maxIn[DAI]
            )
        );
        vault.mint(1e18, stranger, maxIn, 0);
    }

    function test_a_mint_whose_transfer_returns_false_is_refused() external {
        FreezableToken token = new FreezableToken(18);
        _relist(DAI, address(token));
        token.setFrozen(true);

        uint256[] memory maxIn = vault.previewMint(1e18);
        _fund(stranger, maxIn);
        vm.prank(stranger);
        vm.expectRevert(SafeTransferLib.TransferFromFailed.selector);
        vault.mint(1e18, stranger, maxIn, 0);
    }

    function test_a_redemption_with_a_fee_on_transfer_costs_the_receiver_only() external {
        FeeToken token = new FeeToken(18);
        _relist(DAI, address(token));
        token.setFee(0.01e18, 0);

        uint256[] memory before = vault.balances();
        uint256[] memory due = _redeem(holder, 1e18);
        assertEq(token.balanceOf(address(vault)), before[DAI] - due[DAI]);
        assertEq(token.balanceOf(holder), due[DAI] * 99 / 100);
    }

    /* -------------------------------------------------- ERC-20 -------------------------------------------------- */

    function test_a_permit_lets_another_redeem() external {
        address signer = makeAddr("signer");
        _mint(signer, 1e18);
        (bool ok,) = address(vault).call(_permit("signer", stranger, 1e18));
        assertTrue(ok);

        vm.prank(stranger);
        vault.redeem(1e18, stranger, signer, new uint256[](ASSETS), 0);
        assertEq(vault.balanceOf(signer), 0);
    }

    function test_permit2_has_no_allowance_of_its_own() external {
        assertEq(vault.allowance(holder, PERMIT2), 0);
        vm.prank(PERMIT2);
        vm.expectRevert(ERC20.InsufficientAllowance.selector);
        vault.transferFrom(holder, stranger, 1);
    }

    /* ------------------------------------------------- HELPERS ------------------------------------------------- */

    /// @dev Adds any odd amounts to what the vault holds, from nothing to a hundred times as much.
    function _hold(uint256[5] memory extra) internal {
        for (uint256 i; i < ASSETS; ++i) {
            TestToken(tokens[i]).mint(address(vault), extra[i] % (100 * _balanceOf(i, address(vault))));
        }
    }
}
