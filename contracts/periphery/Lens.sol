// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "solady/tokens/ERC20.sol";
import {MetadataReaderLib} from "solady/utils/MetadataReaderLib.sol";

import {AuctionTerms, IIndexVault, Limits} from "../interfaces/IIndexVault.sol";
import {IVaultAdmin} from "../interfaces/IVaultAdmin.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";
import {Book} from "../libraries/Book.sol";
import {BalancerFragment} from "./lens/BalancerFragment.sol";
import {CurveFragment} from "./lens/CurveFragment.sol";
import {UniswapV2Fragment} from "./lens/UniswapV2Fragment.sol";
import {UniswapV3Fragment} from "./lens/UniswapV3Fragment.sol";
import {UniswapV4Fragment} from "./lens/UniswapV4Fragment.sol";

/// @notice Where to look for pools: the number of a fragment, and what it is told, ABI-encoded.
struct Venue {
    uint8 kind;
    bytes terms;
}

struct LensAsset {
    address token;
    string symbol;
    uint8 decimals;
    uint256 price;
    uint256 priceUpdatedAt;
    /// What the oracle reverted with, empty if it answered.
    bytes priceError;
}

struct LensVault {
    uint256 nonce;
    uint256 totalSupply;
    uint256 epoch;
    uint256 settledAt;
    bool paused;
    address keeper;
    address owner;
    address oracle;
    address executor;
    uint256[] balances;
    uint256[] targets;
    bool[] quarantined;
    Limits limits;
    uint256 lossHeadroom;
    uint256 turnoverHeadroom;
    uint256 openNonce;
    uint256 calmAt;
    uint256 auctionOpenedAt;
    AuctionTerms auction;
}

struct LensView {
    uint256 blockNumber;
    uint256 timestamp;
    LensVault vault;
    LensAsset[] tokens;
    /// By venue, each ABI-encoded as the venue's fragment does.
    bytes[][] pools;
}

/// @title  Lens
/// @notice Everything a keeper's decision needs, in one `eth_call` that deploys nothing: the constructor reverts with
///         the ABI-encoded view. Code that is returned may not pass 24,576 bytes; revert data may.
/// @dev    A pool is admitted by who made it, or by its code, and not by its address alone.
contract Lens is UniswapV2Fragment, UniswapV3Fragment, UniswapV4Fragment, BalancerFragment, CurveFragment {
    error UnknownVenue(uint256 kind);

    /// @param vault The vault to read; its basket comes first among the tokens.
    /// @param weth What ether is wrapped into; it is read too.
    /// @param extras Tokens that routes may pass through, beyond the basket.
    /// @param venues Where to look for pools of these tokens.
    /// @param tickWords How many bitmap words (256 tick spacings each) to read on either side of the current one.
    constructor(IIndexVault vault, address weth, address[] memory extras, Venue[] memory venues, uint256 tickWords) {
        LensView memory v;
        v.blockNumber = block.number;
        v.timestamp = block.timestamp;
        address[] memory basket = vault.assets();
        v.vault = _vault(vault);
        address[] memory tokens = _join(basket, extras, weth);
        v.tokens = new LensAsset[](tokens.length);
        for (uint256 i; i < tokens.length; ++i) {
            v.tokens[i] = _asset(tokens[i], IPriceOracle(v.vault.oracle));
        }
        v.pools = new bytes[][](venues.length);
        for (uint256 i; i < venues.length; ++i) {
            v.pools[i] = _pools(venues[i], tokens, weth, tickWords);
        }

        bytes memory data = abi.encode(v);
        assembly ("memory-safe") {
            revert(add(data, 0x20), mload(data))
        }
    }

    function _vault(IIndexVault vault) internal view returns (LensVault memory v) {
        v.nonce = vault.nonce();
        v.totalSupply = ERC20(address(vault)).totalSupply();
        v.epoch = vault.basketEpoch();
        v.settledAt = vault.settledAt();
        v.paused = block.timestamp < IVaultAdmin(address(vault)).pausedUntil();
        v.owner = IVaultAdmin(address(vault)).owner();
        Book memory book = vault.book();
        (v.keeper, v.oracle, v.executor, v.limits) = (book.keeper, book.oracle, book.executor, book.limits);
        (v.quarantined, v.auction) = (book.quarantined, book.auction);
        v.balances = vault.balances();
        v.targets = vault.targets();
        (v.lossHeadroom, v.turnoverHeadroom) = vault.headroom();
        (v.openNonce, v.calmAt, v.auctionOpenedAt) = (vault.openNonce(), vault.calmAt(), vault.auctionOpenedAt());
    }

    function _asset(address token, IPriceOracle oracle) internal view returns (LensAsset memory a) {
        a.token = token;
        a.symbol = MetadataReaderLib.readSymbol(token);
        a.decimals = ERC20(token).decimals();
        try oracle.latest(token) returns (uint256 price, uint256 updatedAt) {
            (a.price, a.priceUpdatedAt) = (price, updatedAt);
        } catch (bytes memory reason) {
            a.priceError = reason;
        }
    }

    function _pools(Venue memory venue, address[] memory tokens, address weth, uint256 tickWords)
        internal
        returns (bytes[] memory)
    {
        if (venue.kind == 0) return _readUniswapV2(venue.terms, tokens);
        if (venue.kind == 1) return _readUniswapV3(venue.terms, tokens, tickWords);
        if (venue.kind == 2) return _readUniswapV4(venue.terms, tokens, weth, tickWords);
        if (venue.kind == 3) return _readBalancer(venue.terms, tokens);
        if (venue.kind == 4) return _readCurve(venue.terms, tokens);
        revert UnknownVenue(venue.kind);
    }

    /// @dev The basket, then each extra and `last`, if it is not in it and was not listed before.
    function _join(address[] memory basket, address[] memory extras, address last)
        internal
        pure
        returns (address[] memory tokens)
    {
        tokens = new address[](basket.length + extras.length + 1);
        uint256 count;
        for (uint256 i; i < tokens.length; ++i) {
            address token = i < basket.length ? basket[i] : i + 1 < tokens.length ? extras[i - basket.length] : last;
            bool known;
            for (uint256 j; j < count; ++j) {
                if (tokens[j] == token) known = true;
            }
            if (!known) tokens[count++] = token;
        }
        assembly ("memory-safe") {
            mstore(tokens, count)
        }
    }
}
