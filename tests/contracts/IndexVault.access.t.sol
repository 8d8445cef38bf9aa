// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "solady/tokens/ERC20.sol";

import {Fees, IIndexVault, IVaultEvents, VaultConfig} from "../../contracts/interfaces/IIndexVault.sol";
import {IVaultAdmin, IVaultChanges} from "../../contracts/interfaces/IVaultAdmin.sol";
import {VaultTest} from "./utils/VaultTest.sol";

/// @notice No way around: every function of a vault that changes anything stands in one table, with who may call it. A
///         function that is missing there fails the first test.
contract IndexVaultAccessTest is VaultTest {
    struct Entry {
        string name;
        bytes data;
        /// Empty if it is open to anyone by design.
        address[] by;
    }

    address internal heir = makeAddr("heir");
    bytes internal waiting = abi.encodeCall(IVaultChanges.setTimelock, (4 days));
    Entry[] internal table;
    /// Everybody who has a role, and who has none.
    address[] internal everybody;

    /// @dev A state in which every function of the table does its work for who may call it.
    function setUp() public override {
        super.setUp();
        VaultConfig memory c = _offTarget(DAI, LINK);
        (c.weights[USDC], c.weights[WETH], c.amounts[USDC]) = (0, 0.4e18, 0);
        c.fees.streaming = 0.01e18;
        _deploy(c);

        vm.prank(owner);
        admin.offerOwnership(heir);
        vm.startPrank(holder);
        vault.transfer(stranger, 1_000e18);
        vault.approve(stranger, 1e18);
        vm.stopPrank();
        vm.mockCallRevert(tokens[DAI], abi.encodeWithSignature("transfer(address,uint256)"), "");
        _redeem(stranger, 1e18);
        vm.clearMockedCalls();
        _submit(waiting);
        _wait(TIMELOCK);
        _fund(stranger, vault.previewMint(2e18));

        everybody = [owner, curator, guardian, keeper, feeRecipient, heir, holder, stranger];
        everybody.push(address(market));
        everybody.push(address(oracle));
        everybody.push(address(adminCode));
        everybody.push(address(vault));
        _fillTable();
    }

    function _fillTable() internal {
        uint256[] memory most = new uint256[](ASSETS);
        for (uint256 i; i < ASSETS; ++i) {
            most[i] = type(uint256).max;
        }
        _open("mint", abi.encodeCall(IIndexVault.mint, (1e18, stranger, most, 0)));
        _open("redeem", abi.encodeCall(IIndexVault.redeem, (1e18, stranger, stranger, new uint256[](ASSETS), 0)));
        _open("claim", abi.encodeCall(IIndexVault.claim, (tokens[DAI], stranger, 0)));
        _open("accrueFees", abi.encodeCall(IIndexVault.accrueFees, ()));
        _open("openAuction", abi.encodeCall(IIndexVault.openAuction, ()));
        _open("rebalanceOpen", abi.encodeCall(IIndexVault.rebalanceOpen, (_fill(DAI, 10_000e18, LINK, 1_000e18))));
        _open("accept", abi.encodeCall(IVaultAdmin.accept, (waiting)));
        _open("transfer", abi.encodeCall(ERC20.transfer, (keeper, 1e18)));
        _open("transferFrom", abi.encodeCall(ERC20.transferFrom, (holder, keeper, 1e18)));
        _open("approve", abi.encodeCall(ERC20.approve, (keeper, 1e18)));
        _open("permit", _permit("holder", keeper, 1e18));

        _only("rebalance", abi.encodeCall(IIndexVault.rebalance, (_trade(DAI, 10e18, LINK, 1e18))), keeper);
        bytes memory change = abi.encodeCall(IVaultChanges.setKeeper, (stranger));
        _only("submit", abi.encodeCall(IVaultAdmin.submit, (change)), curator, owner);
        _only("revoke", abi.encodeCall(IVaultAdmin.revoke, (waiting)), curator, owner, guardian);
        _only("tighten", abi.encodeCall(IVaultAdmin.tighten, (_looseLimits())), curator, owner);
        _only("stopGlide", abi.encodeCall(IVaultAdmin.stopGlide, ()), curator, owner, guardian);
        _only("prune", abi.encodeCall(IVaultAdmin.prune, (tokens[USDC])), curator, owner);
        _only("dropKeeper", abi.encodeCall(IVaultAdmin.dropKeeper, ()), curator, owner, guardian);
        _only("pause", abi.encodeCall(IVaultAdmin.pause, ()), guardian);
        _only("setPaused", abi.encodeCall(IVaultAdmin.setPaused, (true)), owner);
        _only("setCurator", abi.encodeCall(IVaultAdmin.setCurator, (stranger)), owner);
        _only("offerOwnership", abi.encodeCall(IVaultAdmin.offerOwnership, (stranger)), owner);
        _only("acceptOwnership", abi.encodeCall(IVaultAdmin.acceptOwnership, ()), heir);
    }

    /* -------------------------------------------------- TABLE -------------------------------------------------- */

    function test_the_table_names_every_function_that_changes_anything() external view {
        // Each once, and those of ERC-20 in the first half only.
        assertEq(_listed("IndexVault") + _listed("VaultAdmin"), table.length);
    }

    /// @dev How many functions of a contract are not views; all of them must be in the table.
    function _listed(string memory half) internal view returns (uint256 count) {
        string memory folder = vm.envOr("FOUNDRY_OUT", string(".build/forge"));
        string memory artifact = vm.readFile(string.concat(folder, "/", half, ".sol/", half, ".json"));
        for (uint256 i;; ++i) {
            string memory at = string.concat(".abi[", vm.toString(i), "]");
            if (!vm.keyExistsJson(artifact, at)) return count;
            if (!_same(vm.parseJsonString(artifact, string.concat(at, ".type")), "function")) continue;
            string memory mutability = vm.parseJsonString(artifact, string.concat(at, ".stateMutability"));
            if (_same(mutability, "view") || _same(mutability, "pure")) continue;
            string memory name = vm.parseJsonString(artifact, string.concat(at, ".name"));
            assertTrue(_inTable(name), string.concat(name, " is not in the table"));
            ++count;
        }
    }

    function test_nobody_calls_a_function_without_its_role() external {
        for (uint256 i; i < table.length; ++i) {
            Entry memory e = table[i];
            if (e.by.length == 0) continue;
            for (uint256 j; j < everybody.length; ++j) {
                if (_in(e.by, everybody[j])) continue;
                (bool ok, bytes memory reason) = _try(everybody[j], e.data);
                assertFalse(ok, e.name);
                assertEq(reason, abi.encodeWithSelector(IVaultEvents.Unauthorized.selector, everybody[j]), e.name);
            }
        }
    }

    function test_everybody_calls_the_functions_of_their_role() external {
        for (uint256 i; i < table.length; ++i) {
            Entry memory e = table[i];
            for (uint256 j; j < e.by.length; ++j) {
                uint256 before = vm.snapshotState();
                (bool ok,) = _try(e.by[j], e.data);
                assertTrue(ok, e.name);
                vm.revertToState(before);
            }
        }
    }

    function test_anyone_calls_what_is_open() external {
        for (uint256 i; i < table.length; ++i) {
            if (table[i].by.length != 0) continue;
            uint256 before = vm.snapshotState();
            _ready(table[i].name);
            (bool ok,) = _try(stranger, table[i].data);
            assertTrue(ok, table[i].name);
            vm.revertToState(before);
        }
    }

    /* ------------------------------------------------ NO WAY AROUND ------------------------------------------------ */

    function test_changes_are_no_functions_of_the_vault() external {
        bytes[9] memory changes = [
            abi.encodeCall(IVaultChanges.setTargets, (tokens, vault.targets(), 0)),
            abi.encodeCall(IVaultChanges.quarantine, (tokens[WETH])),
            abi.encodeCall(IVaultChanges.setOracle, (address(oracle))),
            abi.encodeCall(IVaultChanges.setExecutor, (address(market))),
            abi.encodeCall(IVaultChanges.setKeeper, (stranger)),
            abi.encodeCall(IVaultChanges.setGuardian, (stranger)),
            abi.encodeCall(IVaultChanges.setFees, (Fees(0, 0, 0), stranger)),
            abi.encodeCall(IVaultChanges.setLimits, (_looseLimits(), _looseAuction())),
            abi.encodeCall(IVaultChanges.setTimelock, (4 days))
        ];
        for (uint256 i; i < changes.length; ++i) {
            for (uint256 j; j < everybody.length; ++j) {
                (bool ok, bytes memory reason) = _try(everybody[j], changes[i]);
                assertFalse(ok);
                assertEq(reason, "");
            }
        }
    }

    function test_the_vault_takes_no_ether_and_answers_no_unknown_call() external {
        vm.deal(stranger, 1 ether);
        vm.startPrank(stranger);
        (bool ok,) = address(vault).call{value: 1}("");
        assertFalse(ok);
        (ok,) = address(vault).call{value: 1}(abi.encodeCall(IVaultAdmin.owner, ()));
        assertFalse(ok);
        (ok,) = address(vault).call("");
        assertFalse(ok);
        (ok,) = address(vault).call(hex"deadbeef");
        assertFalse(ok);
    }

    function test_the_code_of_the_other_half_obeys_nobody_by_itself() external {
        for (uint256 i; i < table.length; ++i) {
            Entry memory e = table[i];
            if (e.by.length == 0) continue;
            for (uint256 j; j < everybody.length; ++j) {
                vm.prank(everybody[j]);
                (bool ok,) = address(adminCode).call(e.data);
                assertFalse(ok, e.name);
            }
        }
        (bool accepted,) = address(adminCode).call(abi.encodeCall(IVaultAdmin.accept, (waiting)));
        assertFalse(accepted);
    }

    function test_tokens_leave_only_by_redemption_claim_and_a_guarded_order() external {
        for (uint256 i; i < table.length; ++i) {
            string memory name = table[i].name;
            bool pays = _same(name, "redeem") || _same(name, "claim") || _same(name, "rebalance")
                || _same(name, "rebalanceOpen");
            uint256 before = vm.snapshotState();
            _ready(name);
            uint256[] memory held = _holdings();
            (bool ok,) = _try(_caller(table[i]), table[i].data);
            assertTrue(ok, name);
            uint256[] memory left = _holdings();
            bool paid;
            for (uint256 j; j < ASSETS; ++j) {
                if (left[j] < held[j]) paid = true;
            }
            assertEq(paid, pays, name);
            vm.revertToState(before);
        }
    }

    function test_shares_are_made_only_by_minting_and_as_fees() external {
        for (uint256 i; i < table.length; ++i) {
            string memory name = table[i].name;
            uint256 before = vm.snapshotState();
            _ready(name);
            uint256 supply = vault.totalSupply();
            (bool ok,) = _try(_caller(table[i]), table[i].data);
            assertTrue(ok, name);
            // The fees of three days of a redemption are less than what it burns.
            bool made = _same(name, "mint") || _same(name, "accrueFees") || _same(name, "accept");
            assertEq(vault.totalSupply() > supply, made, name);
            assertEq(vault.totalSupply() < supply, _same(name, "redeem"), name);
            vm.revertToState(before);
        }
    }

    function test_a_pause_stops_rebalancing_and_nothing_else() external {
        for (uint256 i; i < table.length; ++i) {
            string memory name = table[i].name;
            bool stopped = _same(name, "rebalance") || _same(name, "rebalanceOpen") || _same(name, "openAuction");
            uint256 before = vm.snapshotState();
            _ready(name);
            vm.prank(owner);
            admin.setPaused(true);
            (bool ok, bytes memory reason) = _try(_caller(table[i]), table[i].data);
            assertEq(ok, !stopped, name);
            if (stopped) {
                assertEq(reason, abi.encodeWithSelector(IVaultEvents.RebalancingPaused.selector, type(uint40).max));
            }
            vm.revertToState(before);
        }
    }

    /* ------------------------------------------------- HELPERS ------------------------------------------------- */

    function _open(string memory name, bytes memory data) internal {
        table.push(Entry(name, data, new address[](0)));
    }

    function _only(string memory name, bytes memory data, address a) internal {
        address[] memory by = new address[](1);
        by[0] = a;
        table.push(Entry(name, data, by));
    }

    function _only(string memory name, bytes memory data, address a, address b) internal {
        address[] memory by = new address[](2);
        (by[0], by[1]) = (a, b);
        table.push(Entry(name, data, by));
    }

    function _only(string memory name, bytes memory data, address a, address b, address c) internal {
        address[] memory by = new address[](3);
        (by[0], by[1], by[2]) = (a, b, c);
        table.push(Entry(name, data, by));
    }

    /// @dev A fill needs an auction, of which there may be only one.
    function _ready(string memory name) internal {
        if (_same(name, "rebalanceOpen")) vault.openAuction();
    }

    function _caller(Entry memory e) internal view returns (address) {
        return e.by.length == 0 ? stranger : e.by[0];
    }

    function _try(address by, bytes memory data) internal returns (bool ok, bytes memory result) {
        vm.prank(by);
        (ok, result) = address(vault).call(data);
    }

    function _inTable(string memory name) internal view returns (bool) {
        for (uint256 i; i < table.length; ++i) {
            if (_same(table[i].name, name)) return true;
        }
        return false;
    }

    function _in(address[] memory list, address account) internal pure returns (bool) {
        for (uint256 i; i < list.length; ++i) {
            if (list[i] == account) return true;
        }
        return false;
    }

    function _same(string memory a, string memory b) internal pure returns (bool) {
        return keccak256(bytes(a)) == keccak256(bytes(b));
    }

    function _holdings() internal view returns (uint256[] memory held) {
        held = new uint256[](ASSETS);
        for (uint256 i; i < ASSETS; ++i) {
            held[i] = _balanceOf(i, address(vault));
        }
    }
}
