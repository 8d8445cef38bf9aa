// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "solady/tokens/ERC20.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {IndexVault} from "../../contracts/IndexVault.sol";
import {IIndexVault, Limits, VaultConfig} from "../../contracts/interfaces/IIndexVault.sol";
import {FeeToken, FreezableToken, TestToken} from "./utils/Tokens.sol";
import {VaultTest} from "./utils/VaultTest.sol";

/// @notice What a vault is born with, and what its owner may change.
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
        assertEq(vault.owner(), owner);
        assertEq(vault.keeper(), keeper);
        assertEq(vault.oracle(), address(oracle));
        assertEq(vault.executor(), address(market));
        assertEq(vault.assets(), tokens);
        assertEq(vault.targets(), c.weights);
        assertEq(vault.balances(), c.amounts);
        assertEq(keccak256(abi.encode(vault.limits())), keccak256(abi.encode(c.limits)));
        assertEq(vault.basketEpoch(), 0);
        assertEq(vault.nonce(), 0);
        assertEq(vault.lastRebalance(), 0);
        assertFalse(vault.paused());
        assertEq(vault.totalSupply(), SHARES);
        assertEq(vault.balanceOf(holder), SHARES - vault.DEAD_SHARES());
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

    function test_the_birth_of_a_vault_is_told_by_events() external {
        _approveSeed(c);
        vm.expectEmit();
        emit IIndexVault.Initialized(c.tokens, c.amounts, c.shares, c.receiver, c.limits);
        vm.expectEmit();
        emit IIndexVault.TargetsSet(c.weights);
        vm.expectEmit();
        emit IIndexVault.KeeperSet(c.keeper);
        new IndexVault(c);
    }

    function test_a_vault_needs_an_owner() external {
        c.owner = address(0);
        _stillborn(abi.encodeWithSelector(IIndexVault.ZeroAddress.selector));
    }

    function test_the_seed_shares_need_a_receiver() external {
        c.receiver = address(0);
        _stillborn(abi.encodeWithSelector(IIndexVault.ZeroAddress.selector));
    }

    function test_an_oracle_without_code_is_refused() external {
        c.oracle = stranger;
        _stillborn(abi.encodeWithSelector(IIndexVault.NoCode.selector, stranger));
    }

    function test_an_executor_without_code_is_refused() external {
        c.executor = stranger;
        _stillborn(abi.encodeWithSelector(IIndexVault.NoCode.selector, stranger));
    }

    function test_an_empty_basket_is_refused() external {
        _resize(0);
        _stillborn(abi.encodeWithSelector(IIndexVault.TooManyAssets.selector, 0, 32));
    }

    function test_a_basket_holds_at_most_thirty_two_assets() external {
        _resize(33);
        _stillborn(abi.encodeWithSelector(IIndexVault.TooManyAssets.selector, 33, 32));
        _resize(32);
        assertEq(_deploy(c).assets().length, 32);
    }

    function test_every_asset_needs_an_amount() external {
        c.amounts.pop();
        _stillborn(abi.encodeWithSelector(IIndexVault.LengthMismatch.selector, 4, 5));
        c.amounts.push(1);
        c.amounts.push(1);
        _stillborn(abi.encodeWithSelector(IIndexVault.LengthMismatch.selector, 6, 5));
    }

    function test_every_asset_needs_a_weight() external {
        c.weights.pop();
        _stillborn(abi.encodeWithSelector(IIndexVault.LengthMismatch.selector, 4, 5));
    }

    function test_weights_sum_to_one() external {
        c.weights[0] += 1;
        _stillborn(abi.encodeWithSelector(IIndexVault.WeightsDoNotSumToOne.selector, WAD + 1));
        c.weights[0] -= 2;
        _stillborn(abi.encodeWithSelector(IIndexVault.WeightsDoNotSumToOne.selector, WAD - 1));
    }

    function test_the_seed_shares_have_a_minimum() external {
        c.shares = 1e15 - 1;
        _stillborn(abi.encodeWithSelector(IIndexVault.SeedTooSmall.selector, 1e15 - 1, 1e15));
        c.shares = 1e15;
        assertEq(_deploy(c).totalSupply(), 1e15);
    }

    function test_a_vault_without_any_seed_is_refused() external {
        c.amounts = new uint256[](ASSETS);
        _stillborn(abi.encodeWithSelector(IIndexVault.SeedTooSmall.selector, 0, 1));
        c.amounts[WBTC] = 1;
        _deploy(c);
    }

    function test_an_asset_stands_in_the_basket_once() external {
        c.tokens[LINK] = c.tokens[USDC];
        _stillborn(abi.encodeWithSelector(IIndexVault.ForbiddenAsset.selector, tokens[USDC]));
    }

    function test_a_token_of_more_than_eighteen_decimals_is_refused() external {
        c.tokens[LINK] = address(new TestToken("FINE", 19));
        _stillborn(abi.encodeWithSelector(IIndexVault.ForbiddenAsset.selector, c.tokens[LINK]));
    }

    function test_a_vault_cannot_hold_its_own_shares_as_an_asset() external {
        c.tokens[0] = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        vm.expectRevert(bytes(""));
        new IndexVault(c);
    }

    function test_a_seed_that_does_not_arrive_in_full_is_refused() external {
        FeeToken token = new FeeToken(18);
        token.setFee(0.01e18, 0);
        c.tokens[DAI] = address(token);
        _stillborn(
            abi.encodeWithSelector(
                IIndexVault.ShortTransfer.selector, address(token), c.amounts[DAI] * 99 / 100, c.amounts[DAI]
            )
        );
    }

    function test_a_seed_whose_transfer_returns_false_is_refused() external {
        FreezableToken token = new FreezableToken(18);
        token.setFrozen(true);
        c.tokens[DAI] = address(token);
        _stillborn(abi.encodeWithSelector(SafeTransferLib.TransferFromFailed.selector));
    }

    function test_a_vault_may_be_born_without_a_keeper() external {
        c.keeper = address(0);
        assertEq(_deploy(c).keeper(), address(0));
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

    /* -------------------------------------------------- OWNER -------------------------------------------------- */

    function test_nobody_but_the_owner_sets_targets() external {
        _onlyOwner(abi.encodeCall(IIndexVault.setTargets, (vault.targets())));
    }

    function test_nobody_but_the_owner_names_the_keeper() external {
        _onlyOwner(abi.encodeCall(IIndexVault.setKeeper, (stranger)));
    }

    function test_nobody_but_the_owner_pauses() external {
        _onlyOwner(abi.encodeCall(IIndexVault.setPaused, (true)));
    }

    function test_the_owner_sets_targets() external {
        uint256[] memory weights = vault.targets();
        (weights[USDC], weights[LINK]) = (0.4e18, 0);
        vm.expectEmit(address(vault));
        emit IIndexVault.TargetsSet(weights);
        vm.prank(owner);
        vault.setTargets(weights);

        assertEq(vault.targets(), weights);
        assertEq(vault.nonce(), 1);
        assertEq(vault.assets(), tokens);
        assertEq(keccak256(abi.encode(vault.limits())), keccak256(abi.encode(c.limits)));
    }

    function test_new_targets_sum_to_one() external {
        uint256[] memory weights = vault.targets();
        weights[0] += 1;
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(IIndexVault.WeightsDoNotSumToOne.selector, WAD + 1));
        vault.setTargets(weights);
    }

    function test_new_targets_name_every_asset() external {
        uint256[] memory weights = new uint256[](1);
        weights[0] = WAD;
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(IIndexVault.LengthMismatch.selector, 1, 5));
        vault.setTargets(weights);
    }

    function test_the_owner_names_the_keeper() external {
        vm.expectEmit(address(vault));
        emit IIndexVault.KeeperSet(stranger);
        vm.prank(owner);
        vault.setKeeper(stranger);

        assertEq(vault.keeper(), stranger);
        assertEq(vault.nonce(), 1);
    }

    function test_the_owner_pauses_and_resumes() external {
        for (uint256 i; i < 2; ++i) {
            vm.expectEmit(address(vault));
            emit IIndexVault.PausedSet(i == 0);
            vm.prank(owner);
            vault.setPaused(i == 0);
            assertEq(vault.paused(), i == 0);
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

    function _onlyOwner(bytes memory data) internal {
        address[3] memory others = [keeper, stranger, address(market)];
        for (uint256 i; i < others.length; ++i) {
            vm.prank(others[i]);
            (bool ok, bytes memory reason) = address(vault).call(data);
            assertFalse(ok);
            assertEq(reason, abi.encodeWithSelector(IIndexVault.NotOwner.selector, others[i], owner));
        }
        vm.prank(owner);
        (bool owned,) = address(vault).call(data);
        assertTrue(owned);
    }

    /// @dev The limit in the `place`th word of `Limits` at both of its ends, and one step beyond each.
    function _tryLimit(bytes32 name, uint256 place, uint256 min, uint256 max) internal {
        c.limits = _with(place, min);
        _deploy(c);
        c.limits = _with(place, max);
        _deploy(c);

        c.limits = _with(place, max + 1);
        _stillborn(abi.encodeWithSelector(IIndexVault.LimitOutOfBounds.selector, name, max + 1, min, max));
        if (min == 0) return;
        c.limits = _with(place, min - 1);
        _stillborn(abi.encodeWithSelector(IIndexVault.LimitOutOfBounds.selector, name, min - 1, min, max));
    }

    function _with(uint256 place, uint256 value) internal pure returns (Limits memory) {
        uint256[9] memory words = abi.decode(abi.encode(_looseLimits()), (uint256[9]));
        words[place] = value;
        return abi.decode(abi.encode(words), (Limits));
    }
}
