// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ReentrancyGuardTransient} from "solady/utils/ReentrancyGuardTransient.sol";

import {IIndexVault, VaultConfig} from "../../contracts/interfaces/IIndexVault.sol";
import {IPriceOracle} from "../../contracts/interfaces/IPriceOracle.sol";
import {IVaultAdmin, IVaultChanges} from "../../contracts/interfaces/IVaultAdmin.sol";
import {Order, OrderLib} from "../../contracts/libraries/OrderLib.sol";
import {Call, Intruder} from "./utils/ScriptedExecutor.sol";
import {CallbackToken} from "./utils/Tokens.sol";
import {VaultTest} from "./utils/VaultTest.sol";

/// @notice An oracle that looks back into the vault while it is asked for prices, and has none if the vault answers.
contract NosyOracle {
    error Answered(bytes answer);

    IPriceOracle internal immutable oracle;
    address internal immutable vault;
    bytes internal question;

    constructor(IPriceOracle oracle_, address vault_, bytes memory question_) {
        (oracle, vault, question) = (oracle_, vault_, question_);
    }

    function prices(address[] calldata tokens) external view returns (uint256[] memory) {
        (bool answered, bytes memory answer) = vault.staticcall(question);
        if (answered || bytes4(answer) != ReentrancyGuardTransient.Reentrancy.selector) revert Answered(answer);
        return oracle.prices(tokens);
    }
}

/// @notice Every door of the vault, tried from inside every one that calls a token, by an intruder who has every role at
///         once, so that nothing but the lock can keep it out.
contract IndexVaultReentrancyTest is VaultTest {
    // Places among the doors.
    uint256 internal constant REBALANCE = 0;
    uint256 internal constant REBALANCE_OPEN = 1;
    uint256 internal constant MINT = 2;
    uint256 internal constant REDEEM = 3;
    uint256 internal constant CLAIM = 4;
    uint256 internal constant FIRST_VIEW = 19;

    Intruder internal intruder;
    bytes[] internal doors;

    function setUp() public override {
        super.setUp();
        intruder = new Intruder();
        CallbackToken hooked = new CallbackToken(18);
        tokens[DAI] = address(hooked);
        oracle = _oracle();

        // USDC has neither weight nor balance, so that it can be pruned.
        VaultConfig memory c = _offTarget(DAI, LINK);
        (c.weights[USDC], c.weights[WETH], c.amounts[USDC]) = (0, 0.4e18, 0);
        c.owner = address(intruder);
        c.curator = address(intruder);
        c.guardian = address(intruder);
        c.keeper = address(intruder);
        c.receiver = address(intruder);
        _deploy(c);
        hooked.setHook(intruder);
        for (uint256 i; i < ASSETS; ++i) {
            deal(tokens[i], address(intruder), 1_000 * units[i]);
            intruder.perform(tokens[i], abi.encodeWithSignature("approve(address,uint256)", vault, type(uint256).max));
        }
        _prepare();
        _listDoors();
    }

    /// @dev What some doors need: a claim, a change that has waited, an offer of ownership, a silent keeper.
    function _prepare() internal {
        address by = address(intruder);
        vm.mockCallRevert(tokens[DAI], abi.encodeWithSignature("transfer(address,uint256)"), "");
        intruder.perform(address(vault), abi.encodeCall(IIndexVault.redeem, (1e18, by, by, new uint256[](ASSETS), 0)));
        vm.clearMockedCalls();
        intruder.perform(address(vault), abi.encodeCall(IVaultAdmin.submit, (_longerTimelock())));
        intruder.perform(address(vault), abi.encodeCall(IVaultAdmin.offerOwnership, (by)));
        _wait(TIMELOCK);
    }

    function _listDoors() internal {
        address by = address(intruder);
        uint256[] memory most = new uint256[](ASSETS);
        for (uint256 i; i < ASSETS; ++i) {
            most[i] = type(uint256).max;
        }
        doors.push(abi.encodeCall(IIndexVault.rebalance, (_trade(DAI, 10e18, LINK, 1e18))));
        doors.push(abi.encodeCall(IIndexVault.rebalanceOpen, (_fill(DAI, 10_000e18, LINK, 1_000e18))));
        doors.push(abi.encodeCall(IIndexVault.mint, (1e15, by, most, 0)));
        doors.push(abi.encodeCall(IIndexVault.redeem, (1e15, by, by, new uint256[](ASSETS), 0)));
        doors.push(abi.encodeCall(IIndexVault.claim, (tokens[DAI], by, 0)));
        doors.push(abi.encodeCall(IIndexVault.accrueFees, ()));
        doors.push(abi.encodeCall(IIndexVault.openAuction, ()));

        doors.push(abi.encodeCall(IVaultAdmin.submit, (abi.encodeCall(IVaultChanges.setKeeper, (by)))));
        doors.push(abi.encodeCall(IVaultAdmin.accept, (_longerTimelock())));
        doors.push(abi.encodeCall(IVaultAdmin.revoke, (_longerTimelock())));
        doors.push(abi.encodeCall(IVaultAdmin.tighten, (_looseLimits())));
        doors.push(abi.encodeCall(IVaultAdmin.stopGlide, ()));
        doors.push(abi.encodeCall(IVaultAdmin.prune, (tokens[USDC])));
        doors.push(abi.encodeCall(IVaultAdmin.dropKeeper, ()));
        doors.push(abi.encodeCall(IVaultAdmin.pause, ()));
        doors.push(abi.encodeCall(IVaultAdmin.setPaused, (false)));
        doors.push(abi.encodeCall(IVaultAdmin.setCurator, (by)));
        doors.push(abi.encodeCall(IVaultAdmin.offerOwnership, (by)));
        doors.push(abi.encodeCall(IVaultAdmin.acceptOwnership, ()));

        doors.push(abi.encodeCall(IVaultAdmin.totalBasketValue, ()));
        doors.push(abi.encodeCall(IVaultAdmin.getReserve, (tokens[DAI])));
        doors.push(abi.encodeCall(IIndexVault.nav, ()));
        doors.push(abi.encodeCall(IIndexVault.weights, ()));
        doors.push(abi.encodeCall(IIndexVault.sharePrice, ()));
        doors.push(abi.encodeCall(IIndexVault.balances, ()));
        doors.push(abi.encodeCall(IIndexVault.previewMint, (1e18)));
        doors.push(abi.encodeCall(IIndexVault.previewRedeem, (1e18)));
    }

    function test_every_door_opens_from_outside() external {
        for (uint256 i; i < doors.length; ++i) {
            uint256 before = vm.snapshotState();
            if (i == REBALANCE_OPEN) vault.openAuction();
            intruder.perform(address(vault), doors[i]);
            vm.revertToState(before);
        }
    }

    function test_no_door_opens_from_inside_the_route() external {
        // Without a sale of the hooked token, only the route calls the intruder.
        Order memory order = _order();
        order.sells = _sells(WBTC, 20_000, address(0));
        bytes memory data = OrderLib.encode(
            order,
            abi.encode(_calls(Call(address(intruder), abi.encodeCall(Intruder.onTransfer, ())), _paid(LINK, 10e18)))
        );
        _tryDoorsFrom(abi.encodeCall(IIndexVault.rebalance, (data)));
    }

    function test_no_door_opens_from_the_transfer_of_a_sale() external {
        _tryDoorsFrom(doors[REBALANCE]);
    }

    function test_no_door_opens_from_the_transfer_of_a_sale_in_an_auction() external {
        vault.openAuction();
        _tryDoorsFrom(doors[REBALANCE_OPEN]);
    }

    function test_no_door_opens_from_the_transfer_of_a_mint() external {
        _tryDoorsFrom(doors[MINT]);
    }

    function test_no_door_opens_from_the_transfer_of_a_redemption() external {
        _tryDoorsFrom(doors[REDEEM]);
    }

    function test_no_door_opens_from_the_transfer_of_a_claim() external {
        _tryDoorsFrom(doors[CLAIM]);
    }

    function test_no_view_answers_while_a_change_is_accepted() external {
        for (uint256 i = FIRST_VIEW; i < doors.length; ++i) {
            NosyOracle nosy = new NosyOracle(oracle, address(vault), doors[i]);
            (, bytes memory answer) = address(vault).staticcall(doors[i]);
            vm.expectRevert(abi.encodeWithSelector(NosyOracle.Answered.selector, answer));
            nosy.prices(tokens);

            uint256 before = vm.snapshotState();
            bytes memory change = abi.encodeCall(IVaultChanges.setOracle, (address(nosy)));
            intruder.perform(address(vault), abi.encodeCall(IVaultAdmin.submit, (change)));
            _wait(TIMELOCK);
            intruder.perform(address(vault), abi.encodeCall(IVaultAdmin.accept, (change)));
            assertEq(vault.book().oracle, address(nosy));
            vm.revertToState(before);
        }
    }

    function test_the_lock_is_open_again_afterwards() external {
        intruder.perform(address(vault), doors[REBALANCE]);
        assertGt(vault.nav(), 0);
        intruder.perform(address(vault), doors[MINT]);
    }

    /// @dev Performs `act` on the vault once per door, which the intruder tries while the act is under way.
    function _tryDoorsFrom(bytes memory act) internal {
        for (uint256 i; i < doors.length; ++i) {
            uint256 before = vm.snapshotState();
            intruder.prepare(address(vault), doors[i]);
            intruder.perform(address(vault), act);
            assertTrue(intruder.ran());
            assertFalse(intruder.succeeded());
            assertEq(intruder.result(), abi.encodeWithSelector(ReentrancyGuardTransient.Reentrancy.selector));
            vm.revertToState(before);
        }
    }

    function _longerTimelock() internal pure returns (bytes memory) {
        return abi.encodeCall(IVaultChanges.setTimelock, (4 days));
    }
}
