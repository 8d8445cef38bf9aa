// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {IIndexVault, IVaultEvents, VaultConfig} from "../../contracts/interfaces/IIndexVault.sol";
import {Tokens} from "../../contracts/libraries/Tokens.sol";
import {HostileToken} from "./utils/HostileTokens.sol";
import {FeeToken, TestToken} from "./utils/Tokens.sol";
import {VaultTest} from "./utils/VaultTest.sol";

/// @dev Makes an account and its storage cold again, as they are at the start of a transaction.
interface ICooler {
    function cool(address account) external;
}

/// @notice Everybody always gets out, whatever the tokens do, and nobody gets more than their part.
contract IndexVaultExitTest is VaultTest {
    /// No transaction can have more gas (EIP-7825).
    uint256 internal constant TRANSACTION_GAS = 1 << 24;

    HostileToken internal evil;

    function setUp() public override {
        super.setUp();
        evil = new HostileToken();
        _relist(DAI, address(evil));
    }

    /* ----------------------------------------- THIRTY-TWO HOSTILE TOKENS ----------------------------------------- */

    function test_thirty_two_healthy_tokens_are_redeemed_in_one_transaction() external {
        _redeemThirtyTwo(HostileToken.Kind.HEALTHY, 1e18, 0);
    }

    function test_thirty_two_heavy_tokens_are_redeemed_in_one_transaction() external {
        _redeemThirtyTwo(HostileToken.Kind.HEAVY, 1e18, 0);
    }

    function test_thirty_two_gas_guzzlers_are_redeemed_in_one_transaction() external {
        _redeemThirtyTwo(HostileToken.Kind.GUZZLER, 0, 0);
    }

    function test_thirty_two_tokens_that_spend_every_stipend_are_redeemed_in_one_transaction() external {
        _redeemThirtyTwo(HostileToken.Kind.SPENDER, 0, 1e18);
    }

    function test_thirty_two_return_bombs_are_redeemed_in_one_transaction() external {
        _redeemThirtyTwo(HostileToken.Kind.BOMB, 0, 1e18);
    }

    function test_thirty_two_reverting_tokens_are_redeemed_in_one_transaction() external {
        _redeemThirtyTwo(HostileToken.Kind.REVERTING, 0, 1e18);
    }

    function test_thirty_two_tokens_without_a_balance_are_redeemed_in_one_transaction() external {
        _redeemThirtyTwo(HostileToken.Kind.BALANCE_REVERTING, 0, 0);
    }

    function test_thirty_two_tokens_that_return_false_are_redeemed_in_one_transaction() external {
        _redeemThirtyTwo(HostileToken.Kind.FALSE, 0, 1e18);
    }

    function test_thirty_two_lying_tokens_are_redeemed_in_one_transaction() external {
        _redeemThirtyTwo(HostileToken.Kind.LIAR, 0, 1e18);
    }

    function test_thirty_two_tokens_that_hide_are_redeemed_in_one_transaction() external {
        _redeemThirtyTwo(HostileToken.Kind.HIDER, 1e18, 0);
    }

    function test_thirty_two_tokens_that_send_half_are_redeemed_in_one_transaction() external {
        _redeemThirtyTwo(HostileToken.Kind.HALF, 0.5e18, 0.5e18);
    }

    function test_thirty_two_reentering_tokens_are_redeemed_in_one_transaction() external {
        _redeemThirtyTwo(HostileToken.Kind.REENTERING, 0, 1e18);
    }

    function test_thirty_two_destroyed_tokens_are_redeemed_in_one_transaction() external {
        address[] memory evils = _thirtyTwo();
        for (uint256 i; i < evils.length; ++i) {
            vm.etch(evils[i], "");
        }
        _redeemAll(evils, 0, 0);
    }

    /// @dev Of 100 tokens of each the vault owes the half, of which `paid` percent of a token and `claimed` become.
    function _redeemThirtyTwo(HostileToken.Kind kind, uint256 paid, uint256 claimed) internal {
        address[] memory evils = _thirtyTwo();
        bytes memory door = abi.encodeCall(IIndexVault.claim, (evils[0], stranger, 0));
        for (uint256 i; i < evils.length; ++i) {
            HostileToken(evils[i]).turn(kind);
            HostileToken(evils[i]).setDoor(door);
        }
        _redeemAll(evils, 50 * paid, 50 * claimed);
        for (uint256 i; i < evils.length; ++i) {
            assertFalse(HostileToken(evils[i]).entered());
        }
    }

    function _redeemAll(address[] memory evils, uint256 paid, uint256 claimed) internal {
        bytes memory data =
            abi.encodeCall(IIndexVault.redeem, (SHARES / 2, holder, holder, new uint256[](evils.length), 0));
        uint256 intrinsic = _intrinsicGas(data);
        _coolDown(evils);
        vm.prank(holder);
        uint256 before = gasleft();
        (bool ok, bytes memory result) = address(vault).call{gas: TRANSACTION_GAS - intrinsic}(data);
        uint256 used = before - gasleft() + intrinsic;
        assertTrue(ok);
        emit log_named_uint("gas of the transaction", used);
        // And with room for a larger batch around it.
        assertLt(used, TRANSACTION_GAS * 85 / 100);

        uint256[] memory amounts = abi.decode(result, (uint256[]));
        assertEq(vault.totalSupply(), SHARES / 2);
        for (uint256 i; i < evils.length; ++i) {
            assertEq(amounts[i], paid);
            assertEq(vault.claimOf(evils[i], holder), claimed);
            assertEq(vault.reserved(evils[i]), claimed);
        }
    }

    /// @dev A vault of thirty-two hostile tokens, a hundred of each, which still behave.
    function _thirtyTwo() internal returns (address[] memory evils) {
        VaultConfig memory c = _offTarget(DAI, LINK);
        evils = new address[](32);
        c.weights = new uint256[](32);
        c.amounts = new uint256[](32);
        for (uint256 i; i < evils.length; ++i) {
            evils[i] = address(new HostileToken());
            (c.weights[i], c.amounts[i]) = (WAD / 32, 100e18);
        }
        c.tokens = evils;
        _deploy(c);
    }

    function _coolDown(address[] memory evils) internal {
        for (uint256 i; i < evils.length; ++i) {
            ICooler(address(vm)).cool(evils[i]);
        }
        ICooler(address(vm)).cool(address(vault));
    }

    /// @dev What a transaction costs before it runs.
    function _intrinsicGas(bytes memory data) internal pure returns (uint256 gas_) {
        gas_ = 21_000;
        for (uint256 i; i < data.length; ++i) {
            gas_ += data[i] == 0 ? 4 : 16;
        }
    }

    /* --------------------------------------------------- GAS --------------------------------------------------- */

    function test_no_gas_limit_makes_a_claim_on_a_healthy_token() external {
        // The last assets of the basket are the ones that the least gas is left for.
        evil.turn(HostileToken.Kind.HEAVY);
        HostileToken last = new HostileToken();
        _relist(LINK, address(last));
        last.turn(HostileToken.Kind.HEAVY);

        bytes memory data = abi.encodeCall(IIndexVault.redeem, (1e18, holder, holder, new uint256[](ASSETS), 0));
        uint256 paid;
        for (uint256 limit = 100_000; limit < 1_600_000; limit += 1_500) {
            uint256 before = vm.snapshotState();
            _coolDown(tokens);
            vm.prank(holder);
            (bool ok,) = address(vault).call{gas: limit}(data);
            for (uint256 i; i < ASSETS; ++i) {
                assertEq(vault.reserved(tokens[i]), 0);
                assertEq(_balanceOf(i, holder) != 0, ok);
            }
            if (ok) ++paid;
            vm.revertToState(before);
        }
        assertGt(paid, 100);
        assertLt(paid, 900);
    }

    function test_too_little_gas_for_a_stipend_is_refused_by_name() external {
        bytes memory data = abi.encodeCall(IIndexVault.redeem, (1e18, holder, holder, new uint256[](ASSETS), 0));
        vm.prank(holder);
        (bool ok, bytes memory reason) = address(vault).call{gas: 250_000}(data);
        assertFalse(ok);
        // 64/63 of the stipend of a transfer, and something for what follows the call.
        assertEq(bytes4(reason), Tokens.NotEnoughGas.selector);
        assertEq(uint256(_lastWord(reason)), 263_968);
    }

    function test_a_token_gets_its_stipend_and_no_more() external {
        // 50,000 for a balance, 250,000 for a transfer.
        GasMeter meter = new GasMeter();
        _relist(DAI, address(meter));
        vm.prank(holder);
        vault.redeem(1e18, holder, holder, new uint256[](ASSETS), 0);
        assertLe(meter.seen(), 250_000);
        assertGt(meter.seen(), 249_000);
    }

    /* -------------------------------------------------- CLAIMS -------------------------------------------------- */

    function test_what_the_vault_was_not_debited_becomes_a_claim_of_the_receiver() external {
        evil.turn(HostileToken.Kind.HALF);
        uint256 due = vault.previewRedeem(1e18)[DAI];
        uint256[] memory amounts = vault.previewRedeem(1e18);
        amounts[DAI] = due / 2;
        vm.expectEmit(address(vault));
        emit IVaultEvents.ClaimCreated(address(evil), stranger, due / 2);
        vm.expectEmit(address(vault));
        emit IVaultEvents.Redeemed(holder, stranger, holder, 1e18, amounts);
        _redeemTo(stranger, 1e18);

        assertEq(evil.balanceOf(stranger), due / 2);
        assertEq(vault.claimOf(address(evil), stranger), due / 2);
        assertEq(vault.claimOf(address(evil), holder), 0);
        assertEq(vault.reserved(address(evil)), due / 2);
    }

    function test_claims_of_several_redemptions_add_up() external {
        evil.turn(HostileToken.Kind.FALSE);
        _redeemTo(holder, 1e18);
        _redeemTo(holder, 2e18);
        _redeemTo(stranger, 3e18);
        // 30 DAI stand behind each share.
        assertEq(vault.claimOf(address(evil), holder), 90e18);
        assertEq(vault.claimOf(address(evil), stranger), 90e18);
        assertEq(vault.reserved(address(evil)), 180e18);
    }

    function test_a_frozen_token_does_not_hold_back_the_others() external {
        evil.turn(HostileToken.Kind.REVERTING);
        uint256[] memory due = vault.previewRedeem(1e18);
        _redeemTo(holder, 1e18);
        for (uint256 i; i < ASSETS; ++i) {
            if (i != DAI) assertEq(_balanceOf(i, holder), due[i]);
        }
        assertEq(vault.claimOf(address(evil), holder), due[DAI]);
    }

    function test_a_token_that_charges_the_vault_more_leaves_no_claim() external {
        FeeToken token = new FeeToken(18);
        _relist(DAI, address(token));
        token.setFee(0, 0.01e18);
        _redeemTo(holder, 1e18);
        assertEq(token.balanceOf(holder), 30e18);
        assertEq(vault.claimOf(address(token), holder), 0);
    }

    function test_a_token_that_sent_and_hides_its_balance_is_believed() external {
        evil.turn(HostileToken.Kind.HIDER);
        uint256[] memory amounts = _redeemTo(holder, 1e18);
        assertEq(amounts[DAI], 30e18);
        assertEq(vault.claimOf(address(evil), holder), 0);
    }

    function test_a_token_that_did_not_send_and_hides_its_balance_leaves_a_claim() external {
        evil.turn(HostileToken.Kind.SULKER);
        uint256[] memory amounts = _redeemTo(holder, 1e18);
        assertEq(amounts[DAI], 0);
        assertEq(vault.claimOf(address(evil), holder), 30e18);
    }

    function test_a_token_that_returns_garbage_is_judged_by_what_it_moved() external {
        evil.turn(HostileToken.Kind.GARBAGE);
        uint256[] memory amounts = _redeemTo(holder, 1e18);
        assertEq(amounts[DAI], 0);
        assertEq(vault.claimOf(address(evil), holder), 30e18);
    }

    function test_a_claim_is_paid_once_the_token_moves_again() external {
        evil.turn(HostileToken.Kind.FALSE);
        _redeemTo(holder, 1e18);
        vm.prank(holder);
        vm.expectRevert(SafeTransferLib.TransferFailed.selector);
        vault.claim(address(evil), holder, 0);

        evil.turn(HostileToken.Kind.HEALTHY);
        vm.expectEmit(address(vault));
        emit IVaultEvents.ClaimPaid(address(evil), holder, holder, 30e18, 30e18);
        vm.prank(holder);
        assertEq(vault.claim(address(evil), holder, 30e18), 30e18);
        assertEq(evil.balanceOf(holder), 30e18);
        assertEq(vault.reserved(address(evil)), 0);
        vm.prank(holder);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.NothingToClaim.selector, address(evil), holder));
        vault.claim(address(evil), holder, 0);
    }

    function test_whoever_a_token_blocks_redirects_the_claim() external {
        evil.setBlocked(holder, true);
        _redeemTo(holder, 1e18);
        vm.prank(holder);
        vault.claim(address(evil), stranger, 30e18);
        assertEq(evil.balanceOf(stranger), 30e18);
    }

    function test_nobody_claims_what_belongs_to_another() external {
        evil.turn(HostileToken.Kind.FALSE);
        _redeemTo(holder, 1e18);
        evil.turn(HostileToken.Kind.HEALTHY);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.NothingToClaim.selector, address(evil), stranger));
        vault.claim(address(evil), stranger, 0);
    }

    function test_a_claim_is_not_paid_to_the_vault() external {
        evil.turn(HostileToken.Kind.FALSE);
        _redeemTo(holder, 1e18);
        evil.turn(HostileToken.Kind.HEALTHY);
        vm.prank(holder);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.BadReceiver.selector, address(vault)));
        vault.claim(address(evil), address(vault), 0);
    }

    function test_a_claim_on_a_token_without_a_balance_waits() external {
        evil.turn(HostileToken.Kind.FALSE);
        _redeemTo(holder, 1e18);
        evil.turn(HostileToken.Kind.BALANCE_REVERTING);
        vm.prank(holder);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.BalanceUnknown.selector, address(evil)));
        vault.claim(address(evil), holder, 0);
        evil.turn(HostileToken.Kind.HEALTHY);
        vm.prank(holder);
        assertEq(vault.claim(address(evil), holder, 0), 30e18);
    }

    function test_underfunded_claims_are_paid_pro_rata_in_any_order() external {
        // 90 and 60 are claimed, 50 are left.
        for (uint256 i; i < 2; ++i) {
            uint256 before = vm.snapshotState();
            evil.turn(HostileToken.Kind.FALSE);
            _redeemTo(holder, 3e18);
            _redeemTo(stranger, 2e18);
            evil.turn(HostileToken.Kind.HEALTHY);
            evil.burn(address(vault), evil.balanceOf(address(vault)) - 50e18);

            (address first, address second) = i == 0 ? (holder, stranger) : (stranger, holder);
            vm.prank(first);
            vault.claim(address(evil), first, 0);
            vm.prank(second);
            vault.claim(address(evil), second, 0);
            assertEq(evil.balanceOf(holder), 30e18);
            assertEq(evil.balanceOf(stranger), 20e18);
            assertEq(evil.balanceOf(address(vault)), 0);
            vm.revertToState(before);
        }
    }

    function testFuzz_underfunded_claims_pay_each_their_part_and_no_more(
        uint256 first,
        uint256 second,
        uint256 left,
        bool firstFirst
    ) external {
        evil.turn(HostileToken.Kind.FALSE);
        first = bound(first, 1e9, SHARES / 4);
        second = bound(second, 1e9, SHARES / 4);
        _redeemTo(holder, first);
        _redeemTo(stranger, second);
        evil.turn(HostileToken.Kind.HEALTHY);
        uint256 reserved = vault.reserved(address(evil));
        uint256 a = vault.claimOf(address(evil), holder);
        uint256 b = vault.claimOf(address(evil), stranger);
        left = bound(left, reserved / 1e6, reserved);
        evil.burn(address(vault), evil.balanceOf(address(vault)) - left);

        _claimAll(firstFirst ? holder : stranger);
        _claimAll(firstFirst ? stranger : holder);
        assertApproxEqAbs(evil.balanceOf(holder), a * left / reserved, 1);
        assertApproxEqAbs(evil.balanceOf(stranger), b * left / reserved, 1);
        assertLe(evil.balanceOf(holder) + evil.balanceOf(stranger), left);
    }

    function test_an_underfunded_claim_is_rounded_down() external {
        // 90 of 150 are 30 and six tenths of a wei of what is left.
        evil.turn(HostileToken.Kind.FALSE);
        _redeemTo(holder, 3e18);
        _redeemTo(stranger, 2e18);
        evil.turn(HostileToken.Kind.HEALTHY);
        evil.burn(address(vault), evil.balanceOf(address(vault)) - 50e18 - 1);
        _claimAll(holder);
        assertEq(evil.balanceOf(holder), 30e18);
        _claimAll(stranger);
        assertEq(evil.balanceOf(stranger), 20e18 + 1);
    }

    function test_an_underfunded_claim_says_so_to_who_wants_all_of_it() external {
        evil.turn(HostileToken.Kind.FALSE);
        _redeemTo(holder, 1e18);
        evil.turn(HostileToken.Kind.HEALTHY);
        evil.burn(address(vault), evil.balanceOf(address(vault)) - 12e18);
        vm.prank(holder);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.BelowMinOut.selector, address(evil), 12e18, 12e18 + 1));
        vault.claim(address(evil), holder, 12e18 + 1);
        vm.expectEmit(address(vault));
        emit IVaultEvents.ClaimPaid(address(evil), holder, holder, 30e18, 12e18);
        vm.prank(holder);
        vault.claim(address(evil), holder, 12e18);
        assertEq(vault.claimOf(address(evil), holder), 0);
        assertEq(vault.reserved(address(evil)), 0);
    }

    function test_a_claim_behind_which_nothing_is_left_is_kept() external {
        evil.turn(HostileToken.Kind.FALSE);
        _redeemTo(holder, 1e18);
        evil.turn(HostileToken.Kind.HEALTHY);
        evil.burn(address(vault), evil.balanceOf(address(vault)));
        vm.prank(holder);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.NothingToClaim.selector, address(evil), holder));
        vault.claim(address(evil), holder, 0);
        assertEq(vault.claimOf(address(evil), holder), 30e18);
    }

    /* ------------------------------------------------- RESERVED ------------------------------------------------- */

    function test_what_is_reserved_is_not_part_of_the_basket() external {
        uint256 nav = vault.nav();
        evil.turn(HostileToken.Kind.FALSE);
        _redeemTo(holder, 1e18);
        evil.turn(HostileToken.Kind.HEALTHY);

        assertEq(vault.balances()[DAI], 300_000e18 - 30e18);
        assertEq(evil.balanceOf(address(vault)), 300_000e18);
        assertEq(vault.nav(), nav - nav / 10_000);
        assertEq(vault.sharePrice(), 100e18);
        assertEq(vault.previewMint(1e18)[DAI], 30e18);
        assertEq(vault.previewRedeem(1e18)[DAI], 30e18);
        _redeemTo(stranger, 1e18);
        assertEq(evil.balanceOf(stranger), 30e18);
    }

    function test_a_basket_whose_claims_are_underfunded_owns_nothing_of_the_token() external {
        evil.turn(HostileToken.Kind.FALSE);
        _redeemTo(holder, 1e18);
        evil.turn(HostileToken.Kind.HEALTHY);
        evil.burn(address(vault), evil.balanceOf(address(vault)) - 30e18 + 1);
        assertEq(vault.balances()[DAI], 0);
        assertEq(vault.previewMint(1e18)[DAI], 0);
        assertEq(_redeemTo(stranger, 1e18)[DAI], 0);
    }

    function test_the_keeper_cannot_sell_what_is_reserved() external {
        evil.turn(HostileToken.Kind.FALSE);
        _redeemTo(holder, 1_000e18);
        evil.turn(HostileToken.Kind.HEALTHY);
        uint256 owned = 270_000e18;
        assertEq(vault.balances()[DAI], owned);
        _refused(
            _trade(DAI, owned + 1, LINK, _raw(LINK, owned)),
            abi.encodeWithSelector(IVaultEvents.ExceedsBasket.selector, address(evil), owned + 1, owned)
        );
    }

    function test_a_claim_belongs_to_the_receiver_whoever_redeems() external {
        evil.turn(HostileToken.Kind.FALSE);
        vm.prank(holder);
        vault.approve(stranger, 1e18);
        vm.prank(stranger);
        vault.redeem(1e18, keeper, holder, new uint256[](ASSETS), 0);
        assertEq(vault.claimOf(address(evil), keeper), 30e18);
        assertEq(vault.claimOf(address(evil), holder), 0);
        assertEq(vault.claimOf(address(evil), stranger), 0);
    }

    /* ------------------------------------------------- MINIMUM ------------------------------------------------- */

    function test_a_minimum_counts_what_was_paid_and_not_what_is_claimed() external {
        evil.turn(HostileToken.Kind.HALF);
        uint256[] memory minOut = new uint256[](ASSETS);
        minOut[DAI] = 15e18 + 1;
        vm.startPrank(holder);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.BelowMinOut.selector, address(evil), 15e18, 15e18 + 1));
        vault.redeem(1e18, holder, holder, minOut, 0);
        minOut[DAI] = 15e18;
        vault.redeem(1e18, holder, holder, minOut, 0);
    }

    function test_a_frozen_token_is_given_up_by_asking_for_none_of_it() external {
        evil.turn(HostileToken.Kind.FALSE);
        uint256[] memory minOut = new uint256[](ASSETS);
        minOut[DAI] = 1;
        vm.startPrank(holder);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.BelowMinOut.selector, address(evil), 0, 1));
        vault.redeem(1e18, holder, holder, minOut, 0);
        minOut[DAI] = 0;
        vault.redeem(1e18, holder, holder, minOut, 0);
    }

    function test_a_token_without_a_balance_is_left_behind_only_by_who_asks_for_none_of_it() external {
        evil.turn(HostileToken.Kind.BALANCE_REVERTING);
        uint256[] memory minOut = new uint256[](ASSETS);
        minOut[DAI] = 1;
        vm.startPrank(holder);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.BalanceUnknown.selector, address(evil)));
        vault.redeem(1e18, holder, holder, minOut, 0);
        minOut[DAI] = 0;
        assertEq(vault.redeem(1e18, holder, holder, minOut, 0)[DAI], 0);
        // Nobody knows how much, so nobody can claim it: it stays for those who stay.
        assertEq(vault.claimOf(address(evil), holder), 0);
    }

    function test_a_redemption_at_a_token_without_a_balance_previews_nothing() external {
        evil.turn(HostileToken.Kind.BALANCE_REVERTING);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.BalanceUnknown.selector, address(evil)));
        vault.previewRedeem(1e18);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.BalanceUnknown.selector, address(evil)));
        vault.previewMint(1e18);
    }

    function test_nobody_mints_without_the_token_that_hides_its_balance() external {
        evil.turn(HostileToken.Kind.BALANCE_REVERTING);
        uint256[] memory maxIn = new uint256[](ASSETS);
        for (uint256 i; i < ASSETS; ++i) {
            maxIn[i] = _balanceOf(i == DAI ? USDC : i, address(vault));
            if (i != DAI) deal(tokens[i], stranger, maxIn[i]);
            vm.prank(stranger);
            TestToken(tokens[i]).approve(address(vault), maxIn[i]);
        }
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.BalanceUnknown.selector, address(evil)));
        vault.mint(1e18, stranger, maxIn, 0);
    }

    function test_the_vault_and_nobody_are_no_receivers() external {
        address[2] memory bad = [address(vault), address(0)];
        for (uint256 i; i < bad.length; ++i) {
            vm.prank(holder);
            vm.expectRevert(abi.encodeWithSelector(IVaultEvents.BadReceiver.selector, bad[i]));
            vault.redeem(1e18, bad[i], holder, new uint256[](ASSETS), 0);
        }
    }

    /* ------------------------------------------------- HELPERS ------------------------------------------------- */

    function _redeemTo(address to, uint256 shares) internal returns (uint256[] memory) {
        uint256[] memory none = new uint256[](ASSETS);
        vm.prank(holder);
        return vault.redeem(shares, to, holder, none, 0);
    }

    function _lastWord(bytes memory data) internal pure returns (bytes32 word) {
        assembly ("memory-safe") {
            word := mload(add(data, mload(data)))
        }
    }

    function _claimAll(address by) internal {
        vm.prank(by);
        vault.claim(address(evil), by, 0);
    }
}

/// @notice Remembers how much gas its last transfer was given.
contract GasMeter is TestToken {
    uint256 public seen;

    constructor() TestToken("GAS", 18) {}

    function transfer(address to, uint256 amount) public override returns (bool) {
        seen = gasleft();
        return super.transfer(to, amount);
    }
}
