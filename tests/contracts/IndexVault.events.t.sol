// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IndexVault} from "../../contracts/IndexVault.sol";
import {Fees, Limits, VaultConfig} from "../../contracts/interfaces/IIndexVault.sol";
import {IVaultAdmin, IVaultChanges} from "../../contracts/interfaces/IVaultAdmin.sol";
import {Ledger} from "./utils/Ledger.sol";
import {ScriptedExecutor} from "./utils/ScriptedExecutor.sol";
import {TestToken} from "./utils/Tokens.sol";
import {VaultTest} from "./utils/VaultTest.sol";

/// @notice Nothing happens in silence: through a life in which every function is called, a ledger that reads events only
///         knows the whole state of the vault after each step.
contract IndexVaultEventsTest is VaultTest {
    Ledger internal ledger;
    address internal heir = makeAddr("heir");
    address internal filler = makeAddr("filler");

    function setUp() public override {
        super.setUp();
        VaultConfig memory c = _offTarget(DAI, LINK);
        c.fees = Fees(0.02e18, 0.003e18, 0.004e18);
        c.limits.window = 30 days;
        (c.auction.openBand, c.auction.premium) = (0.1e18, 0.01e18);
        _approveSeed(c);
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        // The ledger is there first, and takes no nonce of this contract.
        vm.prank(stranger);
        ledger = new Ledger(next);
        vm.recordLogs();
        vault = new IndexVault(c);
        admin = IVaultAdmin(next);
    }

    function test_the_whole_state_is_told_by_events() external {
        _agree();
        _sharesAndClaims();
        _tradesAndAuctions();
        _changesOfSettings();
        _changesOfTheBasket();
        _rolesAndPauses();
        assertEq(ledger.kinds(), _declaredEvents());
    }

    /* --------------------------------------------------- A LIFE --------------------------------------------------- */

    function _sharesAndClaims() internal {
        _mint(stranger, 1_234e18 + 5);
        _agree();
        skip(10 days);
        _agree();
        vault.accrueFees();
        _agree();
        vm.prank(holder);
        vault.transfer(stranger, 7e18);
        _agree();

        // Two redemptions while DAI is frozen, of which one is claimed.
        skip(1 days);
        vm.mockCallRevert(tokens[DAI], abi.encodeWithSignature("transfer(address,uint256)"), "");
        _redeem(holder, 100e18);
        _redeem(stranger, 50e18);
        vm.clearMockedCalls();
        _agree();
        assertGt(vault.reserved(tokens[DAI]), 0);
        vm.prank(holder);
        vault.claim(tokens[DAI], keeper, 0);
        _agree();
        TestToken(tokens[WBTC]).mint(address(vault), 1e5);
        _agree();
    }

    function _tradesAndAuctions() internal {
        _wait(1 hours);
        _rebalance(_trade(DAI, 20_000e18, LINK, _raw(LINK, 19_500e18)));
        _agree();
        _wait(1 days);
        _agree();
        vm.prank(filler);
        vault.openAuction();
        _agree();
        _wait(30 minutes);
        bytes memory order = _fill(DAI, 20_000e18, LINK, _raw(LINK, 19_900e18));
        vm.prank(filler);
        vault.rebalanceOpen(order);
        _agree();

        // A batch of the keeper ends the auction, and the next its silence.
        _wait(10 minutes);
        _rebalance(_trade(DAI, 1_000e18, LINK, _raw(LINK, 1_000e18)));
        _agree();
        _wait(10 minutes);
        _rebalance(_trade(DAI, 20_000e18, LINK, _raw(LINK, 20_000e18)));
        assertEq(vault.calmAt(), block.timestamp);
        _agree();
        skip(2 hours);
        _agree();
    }

    function _changesOfSettings() internal {
        Limits memory l = vault.book().limits;
        (l.window, l.lossBudget) = (7 days, 0.05e18);
        bytes[7] memory changes = [
            abi.encodeCall(IVaultChanges.setFees, (Fees(0.05e18, 0, 0.001e18), heir)),
            abi.encodeCall(IVaultChanges.setLimits, (l, _looseAuction())),
            abi.encodeCall(IVaultChanges.setOracle, (address(_oracle()))),
            abi.encodeCall(IVaultChanges.setExecutor, (address(new ScriptedExecutor()))),
            abi.encodeCall(IVaultChanges.setKeeper, (stranger)),
            abi.encodeCall(IVaultChanges.setTimelock, (5 days)),
            abi.encodeCall(IVaultChanges.setKeeper, (keeper))
        ];
        for (uint256 i; i < changes.length; ++i) {
            _changeTold(changes[i]);
        }
        bytes memory doomed = abi.encodeCall(IVaultChanges.setKeeper, (filler));
        _submit(doomed);
        _agree();
        assertGt(ledger.executableAt(keccak256(doomed)), 0);
        vm.prank(guardian);
        admin.revoke(doomed);
        _agree();
        assertEq(ledger.executableAt(keccak256(doomed)), 0);

        l.maxSlippage = 0.01e18;
        vm.prank(curator);
        admin.tighten(l);
        _agree();
    }

    function _changesOfTheBasket() internal {
        // A sixth token comes in, at the cost of LINK, which ends at zero.
        _list("SIXTH", 8, 8, 100e18);
        _changeTold(abi.encodeCall(IVaultChanges.setOracle, (address(_oracle()))));
        uint256[] memory weights = new uint256[](6);
        for (uint256 i; i < 6; ++i) {
            weights[i] = i == LINK ? 0 : 0.2e18;
        }
        _changeTold(abi.encodeCall(IVaultChanges.setTargets, (tokens, weights, 10 days)));
        _wait(3 days);
        _agree();
        vm.prank(guardian);
        admin.stopGlide();
        _agree();
        _changeTold(abi.encodeCall(IVaultChanges.setTargets, (tokens, weights, 10 days)));
        _wait(10 days);
        _agree();

        // LINK is quarantined, given away, and pruned; DAI's claim outlives all of it.
        _changeTold(abi.encodeCall(IVaultChanges.quarantine, (tokens[WETH])));
        _wait(1 days);
        TestToken link = TestToken(tokens[LINK]);
        link.burn(address(vault), link.balanceOf(address(vault)));
        vm.prank(curator);
        admin.prune(tokens[LINK]);
        _agree();
        assertEq(vault.basketEpoch(), 2);
        vm.prank(stranger);
        vault.claim(tokens[DAI], stranger, 0);
        _agree();
    }

    function _rolesAndPauses() internal {
        vm.prank(guardian);
        admin.dropKeeper();
        _agree();
        vm.prank(guardian);
        admin.pause();
        _agree();
        vm.prank(guardian);
        (bool ok, bytes memory reason) = address(vault).call(abi.encodeCall(IVaultAdmin.pause, ()));
        assertFalse(ok);
        (, uint256 readyAt) = abi.decode(_arguments(reason), (uint256, uint256));
        assertEq(readyAt, ledger.pauseReadyAt());

        _changeTold(abi.encodeCall(IVaultChanges.setGuardian, (filler)));
        vm.startPrank(owner);
        admin.setPaused(false);
        _agree();
        admin.setPaused(true);
        _agree();
        admin.setCurator(heir);
        _agree();
        admin.offerOwnership(heir);
        _agree();
        vm.stopPrank();
        vm.prank(heir);
        admin.acceptOwnership();
        _agree();
    }

    /* ------------------------------------------------- AGREEMENT ------------------------------------------------- */

    function _changeTold(bytes memory data) internal {
        _submit(data);
        _agree();
        _wait(admin.timelock());
        _agree();
        _accept(data);
        _agree();
    }

    function _agree() internal {
        ledger.read(vm.getRecordedLogs());

        assertEq(abi.encode(vault.book()), abi.encode(ledger.book()), "book");
        assertEq(vault.basketEpoch(), ledger.epoch(), "epoch");
        assertEq(vault.balances(), ledger.balances(), "balances");
        assertEq(vault.previewRedeem(1e18), ledger.previewRedeem(1e18), "fees");
        assertEq(vault.nonce(), ledger.nonce(), "nonce");
        assertEq(vault.openNonce(), ledger.openNonce(), "open nonce");
        assertEq(vault.settledAt(), ledger.settledAt(), "settled at");
        assertEq(vault.calmAt(), ledger.calmAt(), "calm at");
        assertEq(vault.auctionOpenedAt(), ledger.auctionOpenedAt(), "auction");
        (uint256 loss, uint256 turnover) = vault.headroom();
        (uint256 toldLoss, uint256 toldTurnover) = ledger.headroom();
        assertEq(loss, toldLoss, "loss");
        assertEq(turnover, toldTurnover, "turnover");

        assertEq(admin.owner(), ledger.owner(), "owner");
        assertEq(admin.pendingOwner(), ledger.pendingOwner(), "pending owner");
        assertEq(admin.curator(), ledger.curator(), "curator");
        assertEq(admin.guardian(), ledger.guardian(), "guardian");
        assertEq(admin.feeRecipient(), ledger.feeRecipient(), "fee recipient");
        assertEq(admin.timelock(), ledger.timelock(), "timelock");
        assertEq(admin.pausedUntil(), ledger.pausedUntil(), "paused until");
        _agreeOnAccounts();
    }

    function _agreeOnAccounts() internal view {
        address[8] memory accounts = [owner, curator, guardian, keeper, feeRecipient, holder, stranger, heir];
        assertEq(vault.totalSupply(), ledger.totalSupply(), "supply");
        for (uint256 i; i < accounts.length; ++i) {
            assertEq(vault.balanceOf(accounts[i]), ledger.balanceOf(accounts[i]), "shares");
            for (uint256 j; j < tokens.length; ++j) {
                assertEq(vault.claimOf(tokens[j], accounts[i]), ledger.claimOf(tokens[j], accounts[i]), "claim");
                assertEq(vault.reserved(tokens[j]), ledger.reserved(tokens[j]), "reserved");
            }
        }
    }

    function _declaredEvents() internal view returns (uint256 count) {
        string memory folder = vm.envOr("FOUNDRY_OUT", string(".build/forge"));
        string memory artifact = vm.readFile(string.concat(folder, "/IIndexVault.sol/IVaultEvents.json"));
        for (uint256 i;; ++i) {
            string memory at = string.concat(".abi[", vm.toString(i), "]");
            if (!vm.keyExistsJson(artifact, at)) return count;
            if (_isEvent(vm.parseJsonString(artifact, string.concat(at, ".type")))) ++count;
        }
    }

    function _isEvent(string memory kind) internal pure returns (bool) {
        return keccak256(bytes(kind)) == keccak256("event");
    }

    /// @dev Revert data without its selector.
    function _arguments(bytes memory reason) internal pure returns (bytes memory arguments) {
        arguments = new bytes(reason.length - 4);
        for (uint256 i; i < arguments.length; ++i) {
            arguments[i] = reason[i + 4];
        }
    }
}
