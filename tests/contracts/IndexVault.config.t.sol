// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "solady/tokens/ERC20.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {IndexVault} from "../../contracts/IndexVault.sol";
import {AuctionTerms, Fees, IVaultEvents, Limits, VaultConfig} from "../../contracts/interfaces/IIndexVault.sol";
import {Book} from "../../contracts/libraries/Book.sol";
import {Parrot} from "./utils/Feeds.sol";
import {FeeToken, FreezableToken, TestToken} from "./utils/Tokens.sol";
import {VaultTest} from "./utils/VaultTest.sol";

/// @notice What a vault is born with, and the hard bound of every parameter.
contract IndexVaultConfigTest is VaultTest {
    VaultConfig internal c;

    function setUp() public override {
        super.setUp();
        _store(_offTarget(DAI, LINK));
    }

    /* ---------------------------------------------- CONSTRUCTOR ---------------------------------------------- */

    function test_a_vault_reads_back_as_it_was_made() external view {
        assertEq(vault.name(), "Ballast Five");
        assertEq(vault.symbol(), "BAL5");
        assertEq(vault.decimals(), 18);
        assertEq(vault.admin(), address(adminCode));
        assertEq(admin.owner(), owner);
        assertEq(admin.pendingOwner(), address(0));
        assertEq(admin.curator(), curator);
        assertEq(admin.guardian(), guardian);
        assertEq(admin.feeRecipient(), feeRecipient);
        assertEq(admin.timelock(), TIMELOCK);
        assertEq(admin.pausedUntil(), 0);
        assertEq(vault.assets(), tokens);
        assertEq(vault.targets(), c.weights);
        assertEq(vault.balances(), c.amounts);
        assertEq(vault.basketEpoch(), 0);
        assertEq(vault.nonce(), 0);
        assertEq(vault.openNonce(), 0);
        assertEq(vault.settledAt(), 0);
        assertEq(vault.calmAt(), block.timestamp);
        assertEq(vault.auctionOpenedAt(), 0);
        assertEq(vault.totalSupply(), SHARES);
        assertEq(vault.balanceOf(holder), SHARES - DEAD_SHARES);
    }

    function test_the_book_reads_back_as_it_was_made() external view {
        Book memory b = vault.book();
        assertEq(b.oracle, address(oracle));
        assertEq(b.executor, address(market));
        assertEq(b.keeper, keeper);
        assertEq(abi.encode(b.limits), abi.encode(c.limits));
        assertEq(abi.encode(b.auction), abi.encode(c.auction));
        assertEq(abi.encode(b.fees), abi.encode(c.fees));
        assertEq(b.glideStart, block.timestamp);
        assertEq(b.glideEnd, block.timestamp);
        assertEq(b.tokens, tokens);
        assertEq(b.units, units);
        assertEq(b.from, c.weights);
        assertEq(b.to, c.weights);
        assertEq(abi.encode(b.quarantined), abi.encode(new bool[](ASSETS)));
    }

    function test_views_price_the_basket() external view {
        assertEq(vault.nav(), NAV);
        assertEq(vault.sharePrice(), 100e18);
        uint256[] memory weights = vault.weights();
        assertEq(weights[USDC], 0.2e18);
        assertEq(weights[DAI], 0.3e18);
        assertEq(weights[LINK], 0.1e18);
    }

    function test_views_round_down() external {
        TestToken(tokens[DAI]).mint(address(vault), 1);
        assertEq(vault.nav(), NAV + 1);
        assertEq(vault.sharePrice(), 100e18);
        uint256[] memory weights = vault.weights();
        assertEq(weights[DAI], 0.3e18);
        assertEq(weights[LINK], 0.1e18 - 1);
    }

    function test_the_names_of_the_draft_standard_read_the_same() external {
        assertEq(admin.totalConstituents(), ASSETS);
        assertEq(admin.totalBasketValue(), NAV);
        for (uint256 i; i < ASSETS; ++i) {
            assertTrue(admin.isConstituent(tokens[i]));
            assertEq(admin.getReserve(tokens[i]), c.amounts[i]);
        }
        assertFalse(admin.isConstituent(stranger));
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.NotInBasket.selector, stranger));
        admin.getReserve(stranger);
    }

    function test_the_reserve_of_a_token_is_without_what_is_claimed() external {
        vm.mockCallRevert(tokens[DAI], abi.encodeWithSignature("transfer(address,uint256)"), "");
        _redeem(holder, 1e18);
        assertEq(admin.getReserve(tokens[DAI]), c.amounts[DAI] - 30e18);
    }

    function test_the_birth_of_a_vault_is_told_by_events() external {
        _approveSeed(c);
        vm.expectEmit();
        emit IVaultEvents.OwnerSet(owner);
        vm.expectEmit();
        emit IVaultEvents.CuratorSet(curator);
        vm.expectEmit();
        emit IVaultEvents.GuardianSet(guardian);
        vm.expectEmit();
        emit IVaultEvents.KeeperSet(keeper);
        vm.expectEmit();
        emit IVaultEvents.ExecutorSet(address(market));
        vm.expectEmit();
        emit IVaultEvents.OracleSet(address(oracle));
        vm.expectEmit();
        emit IVaultEvents.LimitsSet(c.limits, c.auction);
        vm.expectEmit();
        emit IVaultEvents.FeesSet(c.fees, feeRecipient);
        vm.expectEmit();
        emit IVaultEvents.TimelockSet(TIMELOCK);
        vm.expectEmit();
        emit IVaultEvents.TargetsSet(tokens, c.weights, c.weights, block.timestamp, block.timestamp, 0);
        vm.expectEmit();
        emit IVaultEvents.Initialized(owner, SHARES, holder, c.amounts);
        new IndexVault(c);
    }

    function test_a_vault_needs_an_owner() external {
        c.owner = address(0);
        _stillborn(abi.encodeWithSelector(IVaultEvents.ZeroAddress.selector));
    }

    function test_the_seed_shares_need_a_receiver() external {
        c.receiver = address(0);
        _stillborn(abi.encodeWithSelector(IVaultEvents.ZeroAddress.selector));
    }

    function test_an_oracle_without_code_is_refused() external {
        c.oracle = stranger;
        _stillborn(abi.encodeWithSelector(IVaultEvents.NoCode.selector, stranger));
    }

    function test_an_executor_without_code_is_refused() external {
        c.executor = stranger;
        _stillborn(abi.encodeWithSelector(IVaultEvents.NoCode.selector, stranger));
    }

    function test_an_admin_without_code_is_refused() external {
        c.admin = stranger;
        _stillborn(abi.encodeWithSelector(IVaultEvents.NoCode.selector, stranger));
    }

    function test_the_fees_need_a_recipient() external {
        c.feeRecipient = address(0);
        _stillborn(abi.encodeWithSelector(IVaultEvents.ZeroAddress.selector));
    }

    function test_an_empty_basket_is_refused() external {
        _resize(0);
        _stillborn(abi.encodeWithSelector(IVaultEvents.TooManyAssets.selector, 0, 32));
    }

    function test_a_basket_holds_at_most_thirty_two_assets() external {
        _resize(33);
        _stillborn(abi.encodeWithSelector(IVaultEvents.TooManyAssets.selector, 33, 32));
        _resize(32);
        assertEq(_deploy(c).assets().length, 32);
    }

    function test_every_asset_needs_an_amount() external {
        c.amounts.pop();
        _stillborn(abi.encodeWithSelector(IVaultEvents.LengthMismatch.selector, 4, 5));
        c.amounts.push(1);
        c.amounts.push(1);
        _stillborn(abi.encodeWithSelector(IVaultEvents.LengthMismatch.selector, 6, 5));
    }

    function test_every_asset_needs_a_weight() external {
        c.weights.pop();
        _stillborn(abi.encodeWithSelector(IVaultEvents.LengthMismatch.selector, 4, 5));
    }

    function test_weights_sum_to_one() external {
        c.weights[0] += 1;
        _stillborn(abi.encodeWithSelector(IVaultEvents.WeightsDoNotSumToOne.selector, WAD + 1));
        c.weights[0] -= 2;
        _stillborn(abi.encodeWithSelector(IVaultEvents.WeightsDoNotSumToOne.selector, WAD - 1));
    }

    function test_the_seed_shares_have_a_minimum() external {
        c.shares = 1e15 - 1;
        _stillborn(abi.encodeWithSelector(IVaultEvents.SeedTooSmall.selector, 1e15 - 1, 1e15));
        c.shares = 1e15;
        assertEq(_deploy(c).totalSupply(), 1e15);
    }

    function test_the_seed_shares_have_a_maximum() external {
        c.shares = uint256(type(uint128).max) + 1;
        _stillborn(abi.encodeWithSelector(IVaultEvents.SupplyTooLarge.selector, c.shares, uint256(type(uint128).max)));
        c.shares = type(uint128).max;
        assertEq(_deploy(c).totalSupply(), type(uint128).max);
    }

    function test_a_vault_without_any_seed_is_refused() external {
        c.amounts = new uint256[](ASSETS);
        _stillborn(abi.encodeWithSelector(IVaultEvents.SeedTooSmall.selector, 0, 1));
        c.amounts[WBTC] = 1;
        _deploy(c);
    }

    function test_an_asset_stands_in_the_basket_once() external {
        c.tokens[LINK] = c.tokens[USDC];
        _stillborn(abi.encodeWithSelector(IVaultEvents.ForbiddenAsset.selector, tokens[USDC]));
    }

    function test_a_token_of_more_than_eighteen_decimals_is_refused() external {
        c.tokens[LINK] = address(new TestToken("FINE", 19));
        _stillborn(abi.encodeWithSelector(IVaultEvents.ForbiddenAsset.selector, c.tokens[LINK]));
    }

    function test_a_vault_cannot_hold_its_own_shares_as_an_asset() external {
        c.tokens[0] = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        vm.expectRevert(abi.encodeWithSelector(IVaultEvents.ForbiddenAsset.selector, c.tokens[0]));
        new IndexVault(c);
    }

    function test_a_seed_that_does_not_arrive_in_full_is_refused() external {
        FeeToken token = new FeeToken(18);
        token.setFee(0.01e18, 0);
        c.tokens[DAI] = address(token);
        _stillborn(
            abi.encodeWithSelector(
                IVaultEvents.ShortTransfer.selector, address(token), c.amounts[DAI] * 99 / 100, c.amounts[DAI]
            )
        );
    }

    function test_a_seed_whose_transfer_returns_false_is_refused() external {
        FreezableToken token = new FreezableToken(18);
        token.setFrozen(true);
        c.tokens[DAI] = address(token);
        _stillborn(abi.encodeWithSelector(SafeTransferLib.TransferFromFailed.selector));
    }

    function test_only_one_price_per_asset_as_the_abi_encodes_them_is_an_answer() external {
        bytes memory right = abi.encode(prices);
        assertEq(_parroted(right).nav(), NAV);
        uint256[] memory fewer = new uint256[](ASSETS - 1);
        uint256[] memory more = new uint256[](ASSETS + 1);
        bytes[4] memory wrong = [
            bytes(""),
            // The last price is missing, but for its length.
            abi.encodePacked(uint256(0x20), ASSETS, new bytes(32 * ASSETS - 1)),
            // Long enough, and yet of other lengths.
            abi.encodePacked(abi.encode(fewer), uint256(0)),
            abi.encode(more)
        ];
        for (uint256 i; i < wrong.length; ++i) {
            _priceless(_parroted(wrong[i]));
        }
        _priceless(_parroted(abi.encodePacked(uint256(0x40), uint256(0), right)));
        _priceless(_parroted(abi.encodePacked(uint256(0x40), ASSETS, right)));
    }

    /// @dev A vault whose oracle answers with `reply`.
    function _parroted(bytes memory reply) internal returns (IndexVault) {
        c.oracle = address(new Parrot(reply));
        return _deploy(c);
    }

    function _priceless(IndexVault v) internal {
        vm.expectRevert(bytes(""));
        v.nav();
    }

    function test_a_vault_may_be_born_without_a_keeper() external {
        c.keeper = address(0);
        assertEq(_deploy(c).book().keeper, address(0));
    }

    function test_dead_shares_are_locked() external {
        address dead = 0x000000000000000000000000000000000000dEaD;
        assertEq(vault.balanceOf(dead), 1e9);
        vm.prank(holder);
        vm.expectRevert(ERC20.InsufficientAllowance.selector);
        vault.redeem(1, holder, dead, new uint256[](ASSETS), 0);
    }

    /* ------------------------------------------------- LIMITS ------------------------------------------------- */

    function test_max_slippage_has_bounds() external {
        _tryLimit("maxSlippage", 0, 0, 0.05e18);
    }

    function test_max_batch_loss_has_bounds() external {
        _tryLimit("maxBatchLoss", 1, 0, 0.05e18);
    }

    function test_the_loss_budget_has_bounds() external {
        _tryLimit("lossBudget", 2, 0, 0.1e18);
    }

    function test_the_turnover_budget_has_bounds() external {
        _tryLimit("turnoverBudget", 3, 0, 10e18);
    }

    function test_the_dead_band_has_bounds() external {
        // The open band may not lie below it.
        c.auction.openBand = 1e18;
        _tryLimit("deadBand", 4, 0, 0.5e18);
    }

    function test_min_progress_has_bounds() external {
        _tryLimit("minProgress", 5, 1e12, 0.1e18);
    }

    function test_dust_has_bounds() external {
        _tryLimit("dust", 6, 0, 0.0001e18);
    }

    function test_the_window_has_bounds() external {
        _tryLimit("window", 7, 1 hours, 90 days);
    }

    function test_the_cooldown_has_bounds() external {
        _tryLimit("cooldown", 8, 12, 30 days);
    }

    function test_the_open_band_lies_between_the_dead_band_and_all_of_nav() external {
        c.limits.deadBand = 0.01e18;
        _tryLimit("openBand", 9, 0.01e18, 1e18);
    }

    function test_the_premium_has_bounds() external {
        _tryLimit("premium", 10, 0, 0.05e18);
    }

    function test_the_least_fill_has_bounds() external {
        _tryLimit("minFill", 11, 0.01e18, 1e18);
    }

    function test_the_keepers_grace_has_bounds() external {
        _tryLimit("keeperGrace", 12, 1 hours, 90 days);
    }

    function test_the_auctions_length_has_bounds() external {
        _tryLimit("auctionLength", 13, 10 minutes, 7 days);
    }

    function test_the_streaming_fee_has_bounds() external {
        _tryLimit("streamingFee", 14, 0, 0.1e18);
    }

    function test_the_mint_fee_has_bounds() external {
        _tryLimit("mintFee", 15, 0, 0.05e18);
    }

    function test_the_redeem_fee_has_bounds() external {
        _tryLimit("redeemFee", 16, 0, 0.02e18);
    }

    function test_the_timelock_has_bounds() external {
        uint32[2] memory inside = [uint32(3 days), 60 days];
        uint32[2] memory outside = [uint32(3 days) - 1, 60 days + 1];
        for (uint256 i; i < 2; ++i) {
            c.timelock = inside[i];
            _deploy(c);
            c.timelock = outside[i];
            _stillborn(
                abi.encodeWithSelector(
                    IVaultEvents.LimitOutOfBounds.selector, bytes32("timelock"), outside[i], 3 days, 60 days
                )
            );
        }
    }

    /* ------------------------------------------------- HELPERS ------------------------------------------------- */

    function _store(VaultConfig memory config) internal {
        c = config;
    }

    /// @dev `c` does not deploy, for this reason.
    function _stillborn(bytes memory reason) internal {
        _approveSeed(c);
        vm.expectRevert(reason);
        new IndexVault(c);
    }

    /// @dev Makes `c` a basket of `count` new tokens.
    function _resize(uint256 count) internal {
        c.tokens = new address[](count);
        c.amounts = new uint256[](count);
        c.weights = new uint256[](count);
        for (uint256 i; i < count; ++i) {
            c.tokens[i] = address(new TestToken("T", 18));
            c.amounts[i] = 1e18;
            c.weights[i] = i == 0 ? WAD - (count - 1) * (WAD / 32) : WAD / 32;
        }
    }

    /// @dev The word at `place` of limits, auction terms and fees, in this order, at both of its ends, and one step
    ///      beyond each.
    function _tryLimit(bytes32 name, uint256 place, uint256 min, uint256 max) internal {
        _set(place, min);
        _deploy(c);
        _set(place, max);
        _deploy(c);

        _set(place, max + 1);
        _stillborn(abi.encodeWithSelector(IVaultEvents.LimitOutOfBounds.selector, name, max + 1, min, max));
        if (min == 0) return;
        _set(place, min - 1);
        _stillborn(abi.encodeWithSelector(IVaultEvents.LimitOutOfBounds.selector, name, min - 1, min, max));
    }

    function _set(uint256 place, uint256 value) internal {
        uint256[17] memory words = abi.decode(abi.encode(c.limits, c.auction, c.fees), (uint256[17]));
        words[place] = value;
        (c.limits, c.auction, c.fees) = abi.decode(abi.encode(words), (Limits, AuctionTerms, Fees));
    }
}
