// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "solady/tokens/ERC20.sol";
import {MetadataReaderLib} from "solady/utils/MetadataReaderLib.sol";

import {AuctionTerms, IIndexVault, Limits} from "../interfaces/IIndexVault.sol";
import {IVaultAdmin} from "../interfaces/IVaultAdmin.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";
import {Book} from "../libraries/Book.sol";
import {IUniswapV2Factory, IUniswapV2Pair, IUniswapV3Factory, IUniswapV3Pool} from "../interfaces/IUniswap.sol";

/// @notice Where to look for pools. Kind 0 is Uniswap V2 (one fee), 1 is Uniswap V3 (every fee tier to ask for).
struct Venue {
    uint8 kind;
    address factory;
    uint24[] fees;
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

struct LensTick {
    int24 index;
    int128 liquidityNet;
}

struct LensPool {
    uint8 kind;
    address pool;
    address token0;
    address token1;
    uint24 fee;
    int24 tickSpacing;
    uint256 reserve0;
    uint256 reserve1;
    uint160 sqrtPriceX96;
    uint128 liquidity;
    int24 tick;
    /// Every initialised tick from `tickLower` to `tickUpper` is listed.
    int24 tickLower;
    int24 tickUpper;
    LensTick[] ticks;
}

struct LensView {
    uint256 blockNumber;
    uint256 timestamp;
    LensVault vault;
    LensAsset[] tokens;
    LensPool[] pools;
}

/// @title  Lens
/// @notice Everything a keeper's decision needs, in one `eth_call` that deploys nothing: the constructor reverts with
///         the ABI-encoded view. Code that is returned may not pass 24,576 bytes; revert data may.
/// @dev    Pools are found through their factories, so a pool is admitted by who made it and not by its address.
contract Lens {
    uint8 internal constant KIND_UNISWAP_V2 = 0;
    int24 internal constant MIN_TICK = -887272;
    int24 internal constant MAX_TICK = 887272;

    /// @param vault The vault to read; its basket comes first among the tokens.
    /// @param extras Tokens that routes may pass through, beyond the basket.
    /// @param venues Where to look for pools between any two tokens.
    /// @param tickWords How many bitmap words (256 tick spacings each) to read on either side of the current one.
    constructor(IIndexVault vault, address[] memory extras, Venue[] memory venues, uint256 tickWords) {
        LensView memory v;
        v.blockNumber = block.number;
        v.timestamp = block.timestamp;
        address[] memory basket = vault.assets();
        v.vault = _vault(vault);
        address[] memory tokens = _join(basket, extras);
        v.tokens = new LensAsset[](tokens.length);
        for (uint256 i; i < tokens.length; ++i) {
            v.tokens[i] = _asset(tokens[i], IPriceOracle(v.vault.oracle));
        }
        v.pools = _pools(tokens, venues, tickWords);

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

    function _pools(address[] memory tokens, Venue[] memory venues, uint256 tickWords)
        internal
        view
        returns (LensPool[] memory pools)
    {
        uint256 most;
        for (uint256 k; k < venues.length; ++k) {
            most += venues[k].fees.length * tokens.length * tokens.length / 2;
        }
        pools = new LensPool[](most);
        uint256 found;
        for (uint256 k; k < venues.length; ++k) {
            for (uint256 i; i < tokens.length; ++i) {
                for (uint256 j = i + 1; j < tokens.length; ++j) {
                    (address a, address b) = tokens[i] < tokens[j] ? (tokens[i], tokens[j]) : (tokens[j], tokens[i]);
                    for (uint256 f; f < venues[k].fees.length; ++f) {
                        LensPool memory p = _pool(venues[k], a, b, venues[k].fees[f], tickWords);
                        if (p.pool != address(0)) pools[found++] = p;
                    }
                }
            }
        }
        assembly ("memory-safe") {
            mstore(pools, found)
        }
    }

    /// @return p Its `pool` is zero where there is none, or an empty one.
    function _pool(Venue memory venue, address token0, address token1, uint24 fee, uint256 tickWords)
        internal
        view
        returns (LensPool memory p)
    {
        (p.kind, p.token0, p.token1, p.fee) = (venue.kind, token0, token1, fee);
        if (venue.kind == KIND_UNISWAP_V2) {
            address pair = IUniswapV2Factory(venue.factory).getPair(token0, token1);
            if (pair == address(0)) return p;
            (p.reserve0, p.reserve1,) = IUniswapV2Pair(pair).getReserves();
            if (p.reserve0 != 0 && p.reserve1 != 0) p.pool = pair;
        } else {
            IUniswapV3Pool pool = IUniswapV3Pool(IUniswapV3Factory(venue.factory).getPool(token0, token1, fee));
            if (address(pool) == address(0)) return p;
            (p.sqrtPriceX96, p.tick,,,,,) = pool.slot0();
            if (p.sqrtPriceX96 == 0) return p;
            p.pool = address(pool);
            p.liquidity = pool.liquidity();
            p.tickSpacing = pool.tickSpacing();
            _readTicks(p, pool, tickWords);
        }
    }

    function _readTicks(LensPool memory p, IUniswapV3Pool pool, uint256 tickWords) internal view {
        int256 spacing = p.tickSpacing;
        int256 current = _floorDiv(_floorDiv(p.tick, spacing), 256);
        int256 first = _max(current - int256(tickWords), _floorDiv(_floorDiv(MIN_TICK, spacing), 256));
        int256 last = _min(current + int256(tickWords), _floorDiv(MAX_TICK / spacing, 256));
        p.tickLower = int24(_max(first * 256 * spacing, MIN_TICK));
        p.tickUpper = int24(_min((last * 256 + 255) * spacing, MAX_TICK));

        // Twice over the words: once to count, once to fill. Warm reads cost a hundredth of growing memory arrays.
        uint256 count;
        for (int256 w = first; w <= last; ++w) {
            uint256 word = pool.tickBitmap(int16(w));
            for (; word != 0; word &= word - 1) {
                ++count;
            }
        }
        p.ticks = new LensTick[](count);
        uint256 filled;
        for (int256 w = first; w <= last; ++w) {
            uint256 word = pool.tickBitmap(int16(w));
            for (uint256 bit; word >> bit != 0; ++bit) {
                if ((word >> bit) & 1 == 0) continue;
                int24 tick = int24((w * 256 + int256(bit)) * spacing);
                (, int128 net,,,,,,) = pool.ticks(tick);
                p.ticks[filled++] = LensTick(tick, net);
            }
        }
    }

    /// @dev The basket, then each extra that is not in it and was not listed before.
    function _join(address[] memory basket, address[] memory extras) internal pure returns (address[] memory tokens) {
        tokens = new address[](basket.length + extras.length);
        uint256 count;
        for (uint256 i; i < tokens.length; ++i) {
            address token = i < basket.length ? basket[i] : extras[i - basket.length];
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

    function _floorDiv(int256 a, int256 b) internal pure returns (int256 q) {
        q = a / b;
        if (a % b != 0 && a < 0) --q;
    }

    function _max(int256 a, int256 b) internal pure returns (int256) {
        return a > b ? a : b;
    }

    function _min(int256 a, int256 b) internal pure returns (int256) {
        return a < b ? a : b;
    }
}
