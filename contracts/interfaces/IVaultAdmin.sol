// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {AuctionTerms, Fees, Limits} from "./IIndexVault.sol";

/// @title  IVaultChanges
/// @notice What the timelock can do. These are not functions of the vault: `submit` and `accept` take their calldata.
interface IVaultChanges {
    /// @notice Moves the targets linearly to `weights` over `duration`. `tokens` starts with the present basket in its
    ///         order; what follows is added, with target zero now. A token with weight zero can be pruned afterwards.
    function setTargets(address[] calldata tokens, uint256[] calldata weights, uint256 duration) external;

    /// @notice Takes a token whose feed or transfers died out of NAV. It can be neither sold nor bought, and is still
    ///         redeemed pro rata. The other targets are scaled up to fill its place.
    function quarantine(address token) external;

    /// @notice Where both oracles quote a token, they must agree within `MAX_ORACLE_GAP` when this is accepted.
    function setOracle(address oracle) external;

    /// @notice Names the one contract that routes run in.
    function setExecutor(address executor) external;

    /// @notice Names the keeper.
    function setKeeper(address keeper) external;

    /// @notice Names the guardian, who cannot revoke this.
    function setGuardian(address guardian) external;

    /// @notice Sets every fee and who gets the streaming one; what is due until now goes to the old recipient.
    function setFees(Fees calldata fees, address recipient) external;

    /// @notice Sets every limit and the terms of the auction, within the hard bounds of the code.
    function setLimits(Limits calldata limits, AuctionTerms calldata auction) external;

    /// @notice Sets how long the changes submitted from now on wait, seconds.
    function setTimelock(uint32 delay) external;
}

/// @title  IVaultAdmin
/// @notice The functions of a vault that change its settings.
interface IVaultAdmin {
    /// @notice Names curator and successor; lifts or confirms a pause.
    function owner() external view returns (address);

    /// @notice To whom the ownership was offered, zero if to nobody.
    function pendingOwner() external view returns (address);

    /// @notice Submits changes, tightens limits, stops a glide, prunes.
    function curator() external view returns (address);

    /// @notice Pauses, revokes, drops a keeper.
    function guardian() external view returns (address);

    /// @notice Until when rebalancing is paused; nothing else can be.
    function pausedUntil() external view returns (uint256);

    /// @notice Who gets the streaming fee.
    function feeRecipient() external view returns (address);

    /// @notice Seconds that every waiting change waits.
    function timelock() external view returns (uint256);

    /// @notice When a submitted change can be accepted; 0 if it is not submitted. `id` is the hash of its data.
    function executableAt(bytes32 id) external view returns (uint256);

    /// @notice Puts a change (calldata of a function of `IVaultChanges`) into the timelock. Curator or owner.
    function submit(bytes calldata data) external;

    /// @notice Carries out a change that has waited. Anyone, so that none can be held back for a better moment.
    function accept(bytes calldata data) external;

    /// @notice Throws out a submitted change. Curator, guardian or owner.
    function revoke(bytes calldata data) external;

    /// @notice Lowers caps at once; refuses anything looser. Curator or owner.
    function tighten(Limits calldata limits) external;

    /// @notice Freezes the targets where they are. Curator, guardian or owner.
    function stopGlide() external;

    /// @notice Removes an asset with target zero whose value is dust, or a quarantined one with no balance. Curator or
    ///         owner.
    function prune(address token) external;

    /// @notice Leaves the vault without a keeper. Curator, guardian or owner.
    function dropKeeper() external;

    /// @notice Pauses rebalancing for a fixed term. Guardian.
    function pause() external;

    /// @notice Pauses rebalancing for good, or lifts any pause. Owner.
    function setPaused(bool paused) external;

    /// @notice Names the curator. Owner.
    // A name in the ABI; no code of the interface reads it.
    // slither-disable-next-line shadowing-local
    function setCurator(address curator) external;

    /// @notice Offers the ownership; it moves when `to` accepts. Owner.
    function offerOwnership(address to) external;

    /// @notice Takes the ownership that was offered to the caller.
    function acceptOwnership() external;

    /* The names of the draft basket token standard (ERC-7621), where they fit. Its weights are basis points, which a
       gliding target is not, and its `rebalance` trusts the owner; neither is offered. */

    /// @notice How many tokens the basket has.
    function totalConstituents() external view returns (uint256 count);

    /// @notice Whether `token` is in the basket.
    function isConstituent(address token) external view returns (bool);

    /// @notice What the basket holds of `token`, raw units. Reverts if it is not in the basket, or inside a locked call.
    function getReserve(address token) external view returns (uint256 balance);

    /// @notice As `nav`.
    function totalBasketValue() external view returns (uint256 value);
}
