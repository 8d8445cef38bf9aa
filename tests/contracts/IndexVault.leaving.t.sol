// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

import {AuctionTerms, Fees, IVaultEvents, Limits} from "../../contracts/interfaces/IIndexVault.sol";
import {IVaultChanges} from "../../contracts/interfaces/IVaultAdmin.sol";
import {LimitsLib} from "../../contracts/libraries/LimitsLib.sol";
import {OrderLib} from "../../contracts/libraries/OrderLib.sol";
import {HostileToken} from "./utils/HostileTokens.sol";
import {ScriptedExecutor} from "./utils/ScriptedExecutor.sol";
import {TestToken} from "./utils/Tokens.sol";
import {VaultTest} from "./utils/VaultTest.sol";

/// @notice Agrees with everybody while it is looked at, and says what its maker likes afterwards.
contract TwoFacedOracle {
    mapping(address token => uint256) public price;
    bool public silent;

    error Silent();

    function say(address token, uint256 price_) external {
        price[token] = price_;
    }

    function fallSilent() external {
        silent = true;
    }

    function prices(address[] calldata tokens) external view returns (uint256[] memory quoted) {
        if (silent) revert Silent();
        quoted = new uint256[](tokens.length);
        for (uint256 i; i < tokens.length; ++i) {
            quoted[i] = price[tokens[i]];
        }
    }
}

/// @notice A hostile curator, with the shortest timelock there can be, against a holder who only wants to leave: from the
///         submission of everything a curator can do to its acceptance, and after it.
contract IndexVaultLeavingTest is VaultTest {
    using FixedPointMathLib for uint256;

    address internal thief = makeAddr("thief");
    TwoFacedOracle internal lies = new TwoFacedOracle();
    ScriptedExecutor internal fence = new ScriptedExecutor();
    HostileToken internal junk = new HostileToken();
    bytes[] internal changes;

    function setUp() public override {
        super.setUp();
        assertEq(admin.timelock(), LimitsLib.MIN_TIMELOCK);
        for (uint256 i; i < ASSETS; ++i) {
            lies.say(tokens[i], prices[i]);
        }
        lies.say(address(junk), 1e18);

        // In the order in which they are accepted: nobody can stop a later one with an earlier one.
        changes.push(abi.encodeCall(IVaultChanges.setGuardian, (thief)));
        changes.push(abi.encodeCall(IVaultChanges.setTimelock, (uint32(LimitsLib.MAX_TIMELOCK))));
        changes.push(abi.encodeCall(IVaultChanges.setKeeper, (thief)));
        changes.push(abi.encodeCall(IVaultChanges.setExecutor, (address(fence))));
        changes.push(abi.encodeCall(IVaultChanges.setOracle, (address(lies))));
        changes.push(abi.encodeCall(IVaultChanges.setLimits, (_worstLimits(), _worstAuction())));
        changes.push(abi.encodeCall(IVaultChanges.setFees, (_worstFees(), thief)));
        changes.push(abi.encodeCall(IVaultChanges.quarantine, (tokens[USDC])));
        changes.push(_intoJunk());
    }

    /* --------------------------------------------- BEFORE IT CAN BITE --------------------------------------------- */

    function testFuzz_a_holder_is_out_before_any_hostile_change_can_bite(uint256 waited) external {
        waited = _bound(waited, 0, LimitsLib.MIN_TIMELOCK - 1);
        uint256[] memory due = vault.previewRedeem(SHARES - DEAD_SHARES);
        uint256 acceptable = block.timestamp + LimitsLib.MIN_TIMELOCK;
        _submitAll();
        _harassAtOnce();
        skip(waited);
        for (uint256 i; i < changes.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IVaultEvents.TooEarly.selector, block.timestamp, acceptable));
            _accept(changes[i]);
        }

        _leave(due);
        assertEq(vault.balanceOf(holder), 0);

        vm.warp(acceptable);
        _acceptAll();
        assertEq(vault.totalSupply(), DEAD_SHARES);
    }

    function test_what_a_curator_can_do_at_once_moves_nothing_out_and_no_fee_up() external {
        uint256[] memory held = vault.balances();
        Fees memory fees = vault.book().fees;
        _submitAll();
        _harassAtOnce();
        assertEq(vault.balances(), held);
        assertEq(abi.encode(vault.book().fees), abi.encode(fees));
        assertEq(vault.totalSupply(), SHARES);
    }

    /* ------------------------------------------------- AFTERWARDS ------------------------------------------------- */

    function test_after_the_worst_that_can_be_accepted_exit_still_pays_pro_rata_in_kind() external {
        _submitAll();
        skip(LimitsLib.MIN_TIMELOCK);
        _acceptAll();
        // A year in which the fees run and the targets glide; then no price of anything any more, and a pause.
        skip(365 days);
        _robAsTheKeeper();
        lies.fallSilent();
        vm.prank(thief);
        admin.pause();
        junk.turn(HostileToken.Kind.REVERTING);

        uint256[] memory held = vault.balances();
        uint256 shares = SHARES - DEAD_SHARES;
        Fees memory worst = _worstFees();
        // Everybody pays the streaming fee by new shares, and who leaves the redeem fee to those that stay.
        uint256 streamed = SHARES.fullMulDiv(worst.streaming, WAD - worst.streaming);
        uint256 net = shares.fullMulDiv(WAD - worst.redeem, WAD);
        uint256[] memory due = new uint256[](ASSETS + 1);
        for (uint256 i; i < ASSETS; ++i) {
            due[i] = held[i].fullMulDiv(net, SHARES + streamed);
            // All that was not stolen, but for the fees' hard bounds of 10% a year and 2%.
            assertGe(due[i], held[i] * 88 / 100);
        }
        _leave(due);
    }

    /* -------------------------------------------------- HELPERS -------------------------------------------------- */

    function _submitAll() internal {
        for (uint256 i; i < changes.length; ++i) {
            _submit(changes[i]);
        }
    }

    function _acceptAll() internal {
        for (uint256 i; i < ASSETS; ++i) {
            feeds[i].set(feeds[i].answer());
        }
        for (uint256 i; i < changes.length; ++i) {
            _accept(changes[i]);
        }
    }

    /// @dev All that needs no timelock: by the curator, a guardian of the same mind, and the owner.
    function _harassAtOnce() internal {
        vm.startPrank(curator);
        admin.tighten(Limits(0, 0, 0, 0, 0, 0.1e18, 0, 1 days, 30 days));
        admin.stopGlide();
        admin.dropKeeper();
        vm.stopPrank();
        vm.prank(guardian);
        admin.pause();
        vm.prank(owner);
        admin.setPaused(true);
    }

    /// @dev The new keeper sells half of the DAI for junk, which its own oracle quotes at a dollar.
    function _robAsTheKeeper() internal {
        uint256 amount = vault.balances()[DAI] / 2;
        tokens.push(address(junk));
        bytes memory order = _trade(DAI, amount, ASSETS, amount);
        tokens.pop();
        vm.prank(thief);
        vault.rebalance(order);
        assertEq(vault.balances()[DAI], amount);
    }

    /// @dev The holder redeems everything, and gets `due` of each asset of the basket, no less and no claim.
    function _leave(uint256[] memory due) internal {
        uint256[] memory before = new uint256[](ASSETS);
        for (uint256 i; i < ASSETS; ++i) {
            before[i] = _balanceOf(i, holder);
        }
        uint256 shares = vault.balanceOf(holder);
        uint256 epoch = vault.basketEpoch();
        vm.prank(holder);
        vault.redeem(shares, holder, holder, due, epoch);
        for (uint256 i; i < ASSETS; ++i) {
            assertEq(_balanceOf(i, holder) - before[i], due[i]);
            assertEq(vault.claimOf(tokens[i], holder), 0);
        }
    }

    function _worstLimits() internal pure returns (Limits memory) {
        return Limits({
            maxSlippage: uint64(LimitsLib.MAX_SLIPPAGE),
            maxBatchLoss: uint64(LimitsLib.MAX_BATCH_LOSS),
            lossBudget: uint64(LimitsLib.MAX_LOSS_BUDGET),
            turnoverBudget: uint64(LimitsLib.MAX_TURNOVER_BUDGET),
            deadBand: 0,
            minProgress: uint64(LimitsLib.MIN_PROGRESS),
            dust: uint64(LimitsLib.MAX_DUST),
            window: uint32(LimitsLib.MIN_WINDOW),
            cooldown: uint32(LimitsLib.MIN_COOLDOWN)
        });
    }

    function _worstAuction() internal pure returns (AuctionTerms memory) {
        return
            AuctionTerms(0, 0, uint64(LimitsLib.MIN_FILL), uint32(LimitsLib.MIN_GRACE), uint32(LimitsLib.MIN_AUCTION));
    }

    function _worstFees() internal pure returns (Fees memory) {
        return
            Fees(uint64(LimitsLib.MAX_STREAMING_FEE), uint64(LimitsLib.MAX_MINT_FEE), uint64(LimitsLib.MAX_REDEEM_FEE));
    }

    /// @dev Everything into a token of the thief's own, as fast as a glide may be.
    function _intoJunk() internal view returns (bytes memory) {
        address[] memory basket = new address[](ASSETS + 1);
        uint256[] memory weights = new uint256[](ASSETS + 1);
        for (uint256 i; i < ASSETS; ++i) {
            basket[i] = tokens[i];
        }
        (basket[ASSETS], weights[ASSETS]) = (address(junk), WAD);
        return abi.encodeCall(IVaultChanges.setTargets, (basket, weights, 14 days));
    }
}
