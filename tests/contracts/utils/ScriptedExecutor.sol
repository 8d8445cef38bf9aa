// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ISwapExecutor} from "../../../contracts/interfaces/ISwapExecutor.sol";
import {ITransferHook} from "./Tokens.sol";

struct Call {
    address target;
    bytes data;
}

/// @notice The executor that a keeper would choose if it could: its route is a list of arbitrary calls. The vault must
///         be safe with it, and a test can bring about any outcome to the wei.
contract ScriptedExecutor is ISwapExecutor {
    function execute(bytes calldata route) external {
        if (route.length == 0) return;
        Call[] memory calls = abi.decode(route, (Call[]));
        for (uint256 i; i < calls.length; ++i) {
            (bool ok, bytes memory result) = calls[i].target.call(calls[i].data);
            if (!ok) {
                assembly ("memory-safe") {
                    revert(add(result, 0x20), mload(result))
                }
            }
        }
    }
}

/// @notice Makes one prepared call when it is called, swallows the outcome and remembers it.
contract Intruder is ITransferHook {
    address public target;
    bytes public data;
    bool public ran;
    bool public succeeded;
    bytes public result;

    function prepare(address target_, bytes calldata data_) external {
        (target, data, ran) = (target_, data_, false);
    }

    function onTransfer() external {
        if (ran || target == address(0)) return;
        ran = true;
        (succeeded, result) = target.call(data);
    }

    /// @notice Anything, in this contract's name.
    function perform(address to, bytes calldata what) external {
        (bool ok,) = to.call(what);
        require(ok);
    }
}
