// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ReentrancyGuardTransient} from "solady/utils/ReentrancyGuardTransient.sol";

import {IIndexVault, VaultConfig} from "../../contracts/interfaces/IIndexVault.sol";
import {Order, OrderLib} from "../../contracts/libraries/OrderLib.sol";
import {Call, Intruder} from "./utils/ScriptedExecutor.sol";
import {CallbackToken} from "./utils/Tokens.sol";
import {VaultTest} from "./utils/VaultTest.sol";

/// @notice Every door of the vault, tried from inside every other, by an intruder who is owner, keeper and holder at
///         once, so that nothing but the lock can keep it out.
contract IndexVaultReentrancyTest is VaultTest {
    Intruder internal intruder;
    bytes[] internal doors;

    function setUp() public override {
        super.setUp();
        intruder = new Intruder();
        CallbackToken hooked = new CallbackToken(18);
        tokens[DAI] = address(hooked);
        oracle = _oracle();

        VaultConfig memory c = _offTarget(DAI, LINK);
        c.owner = address(intruder);
        c.keeper = address(intruder);
        c.receiver = address(intruder);
        vault = _deploy(c);
        hooked.setHook(intruder);
        for (uint256 i; i < ASSETS; ++i) {
            deal(tokens[i], address(intruder), 1_000 * units[i]);
            intruder.perform(tokens[i], abi.encodeWithSignature("approve(address,uint256)", vault, type(uint256).max));
        }

        uint256[] memory most = new uint256[](ASSETS);
        for (uint256 i; i < ASSETS; ++i) {
            most[i] = type(uint256).max;
        }
        address by = address(intruder);
        doors.push(abi.encodeCall(IIndexVault.rebalance, (_towardsTarget())));
        doors.push(abi.encodeCall(IIndexVault.mint, (1e15, by, most, 0)));
        doors.push(abi.encodeCall(IIndexVault.redeem, (1e15, by, by, new uint256[](ASSETS), 0)));
        doors.push(abi.encodeCall(IIndexVault.setTargets, (c.weights)));
        doors.push(abi.encodeCall(IIndexVault.setKeeper, (by)));
        doors.push(abi.encodeCall(IIndexVault.setPaused, (false)));
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
            intruder.perform(address(vault), doors[i]);
            vm.revertToState(before);
        }
    }

    function test_no_door_opens_from_inside_the_route() external {
        // Without a sale of the hooked token, only the route calls the intruder.
        Order memory order = _order();
        order.sells = _sells(USDC, 10e6, address(0));
        bytes memory data = OrderLib.encode(
            order,
            abi.encode(_calls(Call(address(intruder), abi.encodeCall(Intruder.onTransfer, ())), _paid(LINK, 10e18)))
        );
        _tryDoorsFrom(abi.encodeCall(IIndexVault.rebalance, (data)));
    }

    function test_no_door_opens_from_the_transfer_of_a_sale() external {
        _tryDoorsFrom(doors[0]);
    }

    function test_no_door_opens_from_the_transfer_of_a_mint() external {
        _tryDoorsFrom(doors[1]);
    }

    function test_no_door_opens_from_the_transfer_of_a_redemption() external {
        _tryDoorsFrom(doors[2]);
    }

    function test_the_lock_is_open_again_afterwards() external {
        intruder.perform(address(vault), doors[0]);
        assertGt(vault.nav(), 0);
        intruder.perform(address(vault), doors[1]);
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

    function _towardsTarget() internal view returns (bytes memory) {
        Order memory order = _order();
        order.sells = _sells(DAI, 10e18, address(0));
        return OrderLib.encode(order, abi.encode(_calls(_paid(LINK, 1e18))));
    }
}
