// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {LibTransient} from "solady/utils/LibTransient.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {IIndexVault} from "../interfaces/IIndexVault.sol";

/// @notice What a fill pays the vault.
struct Payment {
    address token;
    uint256 amount;
}

/// @title  AuctionFiller
/// @notice Fills open auctions from its own inventory, without any pool. The vault sends what it sells straight here;
///         the order's route is one step that names this contract as a Uniswap V2 pair which is paid already, and when
///         the vault's executor asks that pair to swap, the vault is paid.
/// @dev    What it gets and gives is in the order and the payments, to the wei: a fill that does not fit the auction
///         any more reverts as a whole. Its owner trusts the vault that a fill names, and nobody else.
contract AuctionFiller {
    using LibTransient for LibTransient.TBytes;
    using SafeTransferLib for address;

    /// @notice The caller is not the owner.
    error NotOwner(address caller);
    /// @notice A swap was asked for by another than the executor of the fill under way; `expected` is zero if none is.
    error UnexpectedSwap(address caller, address expected);
    /// @notice The order's route never came here, so that the vault was not paid.
    error NeverAsked();

    /// @dev Where the payments of the fill under way are; any place but the low ones, which are the compiler's.
    bytes32 internal constant PAYMENTS = keccak256("ballast.AuctionFiller.payments");

    /// @notice Who fills and withdraws.
    address public immutable owner;

    /// @dev The fill under way: who may ask for the payments, and who gets them. Zero outside a fill.
    address internal transient _executor;
    address internal transient _vault;

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        _;
    }

    constructor(address owner_) {
        // Its deployer names whoever it likes; with nobody, nothing is lost but the contract.
        // slither-disable-next-line missing-zero-check
        owner = owner_;
    }

    /// @notice Fills the vault's running auction.
    /// @param order As `rebalanceOpen` takes it. Its sells name this contract as `to`; its route swaps the first of them
    ///        here, in amount mode 2.
    /// @param payments What the vault is paid, raw units, out of what lies here by then.
    function fill(IIndexVault vault, bytes calldata order, Payment[] calldata payments) external onlyOwner {
        (_executor, _vault) = (vault.book().executor, address(vault));
        LibTransient.tBytes(PAYMENTS).set(abi.encode(payments));
        vault.rebalanceOpen(order);
        if (_executor != address(0)) revert NeverAsked();
    }

    /// @notice Sends inventory away.
    function withdraw(address token, address to, uint256 amount) external onlyOwner {
        token.safeTransfer(to, amount);
    }

    /// @notice An empty pair, so that the executor expects nothing for what it takes for paid in.
    function getReserves() external pure returns (uint112 reserve0, uint112 reserve1, uint32 blockTimestampLast) {
        return (0, 0, 0);
    }

    /// @notice Pays the vault what the fill under way owes it, once. Only for its executor, in mid-route.
    /// @dev    Neither the amounts nor the recipient that the route names count.
    function swap(uint256, uint256, address, bytes calldata) external {
        if (msg.sender != _executor) revert UnexpectedSwap(msg.sender, _executor);
        address vault = _vault;
        Payment[] memory payments = abi.decode(LibTransient.tBytes(PAYMENTS).get(), (Payment[]));
        // Cleared before anything is called: a token that calls back finds no fill under way.
        (_executor, _vault) = (address(0), address(0));
        for (uint256 i; i < payments.length; ++i) {
            payments[i].token.safeTransfer(vault, payments[i].amount);
        }
    }
}
