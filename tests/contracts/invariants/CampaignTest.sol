// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";

import {Campaign} from "./Campaign.sol";

/// @notice Runs a campaign: by chance, as an invariant test, and in a sequence that is always the same.
abstract contract CampaignTest is Test {
    Campaign private _campaign;

    /// @dev A new campaign, ready to go.
    function _start() internal virtual returns (Campaign);

    /// @dev What may be done in it. One that stands here twice is done twice as often.
    function _acts() internal pure virtual returns (bytes4[] memory);

    function setUp() external {
        _campaign = _start();
        targetSelector(FuzzSelector(address(_campaign), _acts()));
        targetContract(address(_campaign));
    }

    function _checkState() internal view {
        _campaign.checkState();
    }

    function afterInvariant() external view {
        _campaign.checkHistory();
    }

    /// @dev So many acts, each of which must come to an end.
    function _play(uint256 count) internal {
        bytes4[] memory acts = _acts();
        for (uint256 i; i < count; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(i)));
            (bool ok,) = address(_campaign).call(abi.encodeWithSelector(acts[seed % acts.length], seed));
            assertTrue(ok);
        }
        _campaign.checkState();
        _campaign.checkHistory();
    }
}
