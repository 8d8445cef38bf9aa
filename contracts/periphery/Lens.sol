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

struct LensToken {
    address token;
    string symbol;
    uint8 decimals;
}

struct LensPrice {
    uint256 price;
    uint256 updatedAt;
    /// What the oracle reverted with, empty if it answered.
    bytes error;
}

struct LensOracle {
    address oracle;
    /// One for each of the tokens.
    LensPrice[] prices;
}

struct LensVault {
    address[] assets;
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
    LensVault[] vaults;
    /// Those of the vaults' baskets, in the order in which they come, then the others that were asked for.
    LensToken[] tokens;
    /// One for each oracle that a vault has.
    LensOracle[] oracles;
    /// By venue, each ABI-encoded as the venue's fragment does.
    bytes[][] pools;
}

/// @title  Lens
/// @notice Everything that the decisions of keepers need, in one `eth_call` that deploys nothing: the constructor reverts
///         with the ABI-encoded view. Code that is returned may not pass 24,576 bytes; revert data may. What vaults share
///         is read once: each token, each oracle's price of it, and each pool.
/// @dev    A pool is admitted by who made it, or by its code, and not by its address alone.
contract Lens is UniswapV2Fragment, UniswapV3Fragment, UniswapV4Fragment, BalancerFragment, CurveFragment {
    error UnknownVenue(uint256 kind);

    /// @param vaults The vaults to read; may be none, for the pools alone.
    /// @param weth What ether is wrapped into; it is read too.
    /// @param extras Tokens that routes may pass through, beyond the baskets.
    /// @param venues Where to look for pools of all these tokens.
    /// @param tickWords How many bitmap words (256 tick spacings each) to read on either side of the current one.
    constructor(
        IIndexVault[] memory vaults,
        address weth,
        address[] memory extras,
        Venue[] memory venues,
        uint256 tickWords
    ) {
        LensView memory v;
        v.blockNumber = block.number;
        v.timestamp = block.timestamp;
        v.vaults = new LensVault[](vaults.length);
        address[] memory tokens;
        for (uint256 i; i < vaults.length; ++i) {
            v.vaults[i] = _vault(vaults[i]);
            tokens = _join(tokens, v.vaults[i].assets);
        }
        tokens = _join(tokens, extras);
        address[] memory last = new address[](1);
        last[0] = weth;
        tokens = _join(tokens, last);
        v.tokens = new LensToken[](tokens.length);
        for (uint256 i; i < tokens.length; ++i) {
            v.tokens[i] = LensToken(tokens[i], MetadataReaderLib.readSymbol(tokens[i]), ERC20(tokens[i]).decimals());
        }
        v.oracles = _oracles(v.vaults, tokens);
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
        v.assets = vault.assets();
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

    /// @dev Each oracle once, however many vaults have it.
    function _oracles(LensVault[] memory vaults, address[] memory tokens)
        internal
        view
        returns (LensOracle[] memory oracles)
    {
        oracles = new LensOracle[](vaults.length);
        uint256 count;
        for (uint256 i; i < vaults.length; ++i) {
            address oracle = vaults[i].oracle;
            uint256 known;
            while (known < count && oracles[known].oracle != oracle) ++known;
            if (known == count) oracles[count++] = LensOracle(oracle, _prices(IPriceOracle(oracle), tokens));
        }
        assembly ("memory-safe") {
            mstore(oracles, count)
        }
    }

    function _prices(IPriceOracle oracle, address[] memory tokens) internal view returns (LensPrice[] memory prices) {
        prices = new LensPrice[](tokens.length);
        for (uint256 i; i < tokens.length; ++i) {
            try oracle.latest(tokens[i]) returns (uint256 price, uint256 updatedAt) {
                (prices[i].price, prices[i].updatedAt) = (price, updatedAt);
            } catch (bytes memory reason) {
                prices[i].error = reason;
            }
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

    /// @dev The tokens of `first`, which are distinct, then each of `second` that was not listed before.
    function _join(address[] memory first, address[] memory second) internal pure returns (address[] memory tokens) {
        tokens = new address[](first.length + second.length);
        uint256 count;
        for (uint256 i; i < tokens.length; ++i) {
            address token = i < first.length ? first[i] : second[i - first.length];
            uint256 known;
            while (known < count && tokens[known] != token) ++known;
            if (known == count) tokens[count++] = token;
        }
        assembly ("memory-safe") {
            mstore(tokens, count)
        }
    }
}
