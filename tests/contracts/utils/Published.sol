// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";

import {IWETH} from "../../../contracts/interfaces/ITokens.sol";
import {TestToken} from "./Tokens.sol";

/// @notice Contracts from the bytecode that their makers published, first of them WETH9.
abstract contract Published is Test {
    string internal constant WETH9 = "node_modules/canonical-weth/build/contracts/WETH9.json";

    address internal weth9;

    function _deployWeth9() internal {
        weth9 = _create(_bytecode(WETH9));
    }

    function _bytecode(string memory path) internal view returns (bytes memory) {
        return vm.parseJsonBytes(vm.readFile(path), ".bytecode");
    }

    function _create(bytes memory code) internal returns (address made) {
        assembly ("memory-safe") {
            made := create(0, add(code, 0x20), mload(code))
        }
        require(made != address(0), "not created");
    }

    /// @notice Makes tokens out of nothing; WETH out of ether that is made out of nothing.
    function _fund(address token, address to, uint256 amount) internal {
        if (token != weth9) return TestToken(token).mint(to, amount);
        vm.deal(address(this), address(this).balance + amount);
        IWETH(weth9).deposit{value: amount}();
        TestToken(weth9).transfer(to, amount);
    }
}
