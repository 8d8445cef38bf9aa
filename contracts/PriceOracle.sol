// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SSTORE2} from "solady/utils/SSTORE2.sol";

import {IAggregator, IAggregatorProxy} from "./interfaces/IAggregator.sol";
import {IERC4626} from "./interfaces/IERC4626.sol";
import {AnchorConfig, FeedConfig, IPriceOracle, QuoteConfig, ShareConfig} from "./interfaces/IPriceOracle.sol";
import {IUniswapV3Pool} from "./interfaces/IUniswap.sol";

/// @title  PriceOracle
/// @notice Chainlink-compatible feeds behind positivity, age and bounds. Immutable: no owner, no setter. Only the
///         checkpoint of a share moves, slowly, by whoever calls.
///
/// SOURCES
/// A price is a feed's answer; times a quote feed's, where the first does not answer in USD; times assets per share,
/// where the token is an ERC-4626 share. Each answer has a heartbeat and bounds of its own.
///
/// AT ANY CALL DEPTH
/// A rebalance may be started inside somebody's callback, so what can be bent for the length of a transaction is no
/// source. Feeds cannot. A pool's mean cannot: it writes down the old tick before it takes on a new one. The rate of a
/// share can, by a donation, and is believed only in a corridor around a checkpoint that moves no faster than time. A
/// donor adds `maxAbove` at most, and `maxDriftPerDay` for as long as it goes on and nobody moves the checkpoint back.
///
/// ANCHOR
/// The mean price of a Uniswap V3 pool adds nothing to a price. It can only refuse one.
///
/// ROUNDING
/// Products down, to 1e-18 USD. The bounds of a corridor inwards.
contract PriceOracle is IPriceOracle {
    using FixedPointMathLib for uint256;

    uint256 public constant MAX_HEARTBEAT = 3 days;
    uint256 public constant MAX_GRACE = 1 days;
    uint256 public constant MAX_CORRIDOR = 0.1e18;
    uint256 public constant MAX_DRIFT_PER_DAY = 0.1e18;
    uint256 public constant MIN_WINDOW = 5 minutes;
    uint256 public constant MAX_WINDOW = 1 days;
    uint256 public constant MAX_DEVIATION = 0.2e18;

    uint256 internal constant WAD = 1e18;
    /// @dev ln 1.0001, which is one tick, times 1e36; ln 10, times 1e18.
    int256 internal constant LN_TICK = 99995000333308335333166680951131;
    int256 internal constant LN_10 = 2302585092994045684;

    /// @dev What a price is made of is the code of a data contract: one cold account costs less than a cold slot for
    ///      each of its words. For each token in the constructor's order it holds three words, packed, because every
    ///      read copies all of them,
    ///        offset of the token's `Extras`:96, zero for a plain feed | token:160
    ///        scale:64, which takes an answer to WAD | heartbeat:32 | feed:160
    ///        max:128 | min:128
    ///      and then the `Extras`. The configuration as it was given is another one, which only `feeds` reads.
    address internal immutable _book;
    address internal immutable _configs;
    uint256 internal immutable _entriesSize;
    uint256 internal constant ENTRY = 96;

    /// @dev Read in place, so a word for each field.
    struct Extras {
        /// The quote feed, packed as the first one. Zero: none.
        uint256 quote;
        uint256 quoteBounds;
        /// One whole share in raw units. Zero: not a share. `rateScale` takes raw assets to WAD.
        uint256 unit;
        uint256 rateScale;
        uint256 maxAbove;
        uint256 maxBelow;
        uint256 maxDriftPerDay;
        /// Zero: no anchor.
        address pool;
        uint256 window;
        uint256 maxDeviation;
        /// Whether the pool holds the share's asset and not the share.
        bool ofAsset;
        /// Offset of the entry of the pool's other token.
        uint256 other;
        /// `LN_TICK`, negative if the pool's ticks count the other way; log of the ratio of the tokens' units, WAD.
        int256 lnTick;
        int256 lnUnits;
    }

    struct Checkpoint {
        uint256 rate;
        uint256 movedAt;
    }

    address internal immutable _sequencer;
    uint256 internal immutable _grace;

    /// @inheritdoc IPriceOracle
    mapping(address token => Checkpoint) public checkpoints;

    /* ---------------------------------------------- CONSTRUCTOR ---------------------------------------------- */

    /// @param configs One per token.
    /// @param sequencer_ The uptime feed of the L2's sequencer. Zero for none.
    /// @param grace For how long after a start of the sequencer no price is given, seconds.
    constructor(FeedConfig[] memory configs, address sequencer_, uint256 grace) {
        if ((sequencer_ == address(0)) != (grace == 0) || grace > MAX_GRACE) revert BadSequencer(sequencer_, grace);
        (_sequencer, _grace) = (sequencer_, grace);

        _entriesSize = configs.length * ENTRY;
        bytes memory entries;
        bytes memory extras;
        for (uint256 i; i < configs.length; ++i) {
            FeedConfig memory c = configs[i];
            if (_indexOf(configs, c.token) != i) revert DuplicateFeed(c.token);
            bytes memory more = _packExtras(configs, c);
            uint256 offset = more.length == 0 ? 0 : configs.length * ENTRY + extras.length;
            (uint256 packed, uint256 bounds) = _pack(c.token, QuoteConfig(c.feed, c.heartbeat, c.minPrice, c.maxPrice));
            entries = bytes.concat(entries, abi.encode(offset << 160 | uint160(c.token), packed, bounds));
            extras = bytes.concat(extras, more);
        }
        _book = SSTORE2.write(bytes.concat(entries, extras));
        _configs = SSTORE2.write(abi.encode(configs));
    }

    function _pack(address token, QuoteConfig memory f) internal view returns (uint256 packed, uint256 bounds) {
        if (f.heartbeat == 0 || f.heartbeat > MAX_HEARTBEAT) revert BadHeartbeat(token, f.heartbeat, MAX_HEARTBEAT);
        if (f.minPrice >= f.maxPrice) revert BadBounds(token, f.minPrice, f.maxPrice);
        uint256 scale = 10 ** (18 - _decimals(token, f.feed));
        _checkAggregator(token, f, int256(scale));
        packed = scale << 192 | uint256(f.heartbeat) << 160 | uint160(f.feed);
        bounds = uint256(f.maxPrice) << 128 | f.minPrice;
    }

    /// @dev An aggregator that is stuck at its own bound must be refused, not believed.
    function _checkAggregator(address token, QuoteConfig memory f, int256 scale) internal view {
        address aggregator = f.feed;
        try IAggregatorProxy(f.feed).aggregator() returns (address a) {
            aggregator = a;
        } catch {}
        try IAggregatorProxy(aggregator).minAnswer() returns (int192 min) {
            int192 max = IAggregatorProxy(aggregator).maxAnswer();
            if (int256(uint256(f.minPrice)) <= min * scale || int256(uint256(f.maxPrice)) >= max * scale) {
                revert BoundsOutsideAggregator(token, f.minPrice, f.maxPrice, min * scale, max * scale);
            }
        } catch {}
    }

    /// @return Nothing for a plain feed.
    function _packExtras(FeedConfig[] memory configs, FeedConfig memory c) internal returns (bytes memory) {
        Extras memory x;
        if (c.quote.feed != address(0)) (x.quote, x.quoteBounds) = _pack(c.token, c.quote);
        if (c.share.maxAbove | c.share.maxBelow | c.share.maxDriftPerDay != 0) _setShare(x, c.token, c.share);
        if (c.anchor.pool != address(0)) _setAnchor(x, configs, c.token, c.anchor);
        return x.quote | x.unit | x.window == 0 ? bytes("") : abi.encode(x);
    }

    function _setShare(Extras memory x, address token, ShareConfig memory s) internal {
        if (
            s.maxAbove == 0 || s.maxAbove > MAX_CORRIDOR || s.maxBelow == 0 || s.maxBelow > MAX_CORRIDOR
                || s.maxDriftPerDay == 0 || s.maxDriftPerDay > MAX_DRIFT_PER_DAY
        ) revert BadShare(token, s.maxAbove, s.maxBelow, s.maxDriftPerDay);
        (x.maxAbove, x.maxBelow, x.maxDriftPerDay) = (s.maxAbove, s.maxBelow, s.maxDriftPerDay);
        x.unit = 10 ** _decimals(token, token);
        x.rateScale = 10 ** (18 - _decimals(token, IERC4626(token).asset()));
        uint256 rate = _rate(token, x);
        if (rate == 0 || rate > type(uint128).max) revert BadRate(token, rate);
        checkpoints[token] = Checkpoint(rate, block.timestamp);
        emit CheckpointMoved(token, 0, rate, rate);
    }

    function _setAnchor(Extras memory x, FeedConfig[] memory configs, address token, AnchorConfig memory a)
        internal
        view
    {
        (address base, address other) = (IUniswapV3Pool(a.pool).token0(), IUniswapV3Pool(a.pool).token1());
        x.ofAsset = x.unit != 0 && base != token && other != token;
        address wanted = x.ofAsset ? IERC4626(token).asset() : token;
        x.lnTick = base == wanted ? LN_TICK : -LN_TICK;
        if (base != wanted) (base, other) = (other, base);
        if (
            base != wanted || a.window < MIN_WINDOW || a.window > MAX_WINDOW || a.maxDeviation == 0
                || a.maxDeviation > MAX_DEVIATION
        ) revert BadAnchor(token, a.pool, a.window, a.maxDeviation);
        (x.pool, x.window, x.maxDeviation) = (a.pool, a.window, a.maxDeviation);
        x.lnUnits = (int256(_decimals(token, base)) - int256(_decimals(token, other))) * LN_10;
        x.other = _indexOf(configs, other) * ENTRY;
    }

    function _indexOf(FeedConfig[] memory configs, address token) internal pure returns (uint256) {
        for (uint256 i; i < configs.length; ++i) {
            if (configs[i].token == token) return i;
        }
        revert NoFeed(token);
    }

    /// @dev Decimals of a feed or a token behind the price of `token`.
    function _decimals(address token, address source) internal view returns (uint256 decimals) {
        decimals = IAggregator(source).decimals();
        if (decimals > 18) revert BadDecimals(token, source, decimals);
    }

    /* ------------------------------------------------- PRICES ------------------------------------------------- */

    /// @inheritdoc IPriceOracle
    function prices(address[] calldata tokens) external view returns (uint256[] memory quoted) {
        _checkSequencer();
        uint256 book = _open();
        quoted = new uint256[](tokens.length);
        uint256 entry = book;
        for (uint256 i;; ++i) {
            (i, entry) = _plainPrices(tokens, i, quoted, entry, book + _entriesSize);
            if (i == tokens.length) break;
            entry = _find(book, tokens[i], entry);
            (quoted[i],) = _quote(book, entry, true);
            entry += ENTRY;
        }
        // In memory an array looks as the ABI encodes it, but for the offset before it. There stands the end of the book,
        // which nobody reads any more. The compiler would copy each price, which is 1,100 gas for nine.
        assembly ("memory-safe") {
            mstore(sub(quoted, 0x20), 0x20)
            return(sub(quoted, 0x20), shl(5, add(mload(quoted), 2)))
        }
    }

    /// @dev Fills in prices from the `i`-th on, as long as the tokens follow the book, are plain and pass every guard of
    ///      `_answer`. Where it stops, the long way gives the price, or refuses it by name. In one piece of assembly,
    ///      because the ABI decoder, a call of a function and a branch for each guard cost five times what is left.
    function _plainPrices(address[] calldata tokens, uint256 i, uint256[] memory quoted, uint256 entry, uint256 end)
        internal
        view
        returns (uint256, uint256)
    {
        // Offsets into both arrays from here on: where to go on, and where the tokens or the book will end.
        unchecked {
            end = (i + ((end - entry) / ENTRY).min(tokens.length - i)) << 5;
            i <<= 5;
        }
        assembly ("memory-safe") {
            mstore(0x00, 0xfeaf968c) // latestRoundData()
            let reply := mload(0x40)
            for {} lt(i, end) {} {
                let token := mload(entry)
                if or(shr(160, token), xor(token, calldataload(add(tokens.offset, i)))) { break }
                let feed := mload(add(entry, 0x20))
                // The call comes first, arguments being evaluated from right to left, and takes the low bits of `feed`.
                if iszero(and(gt(returndatasize(), 0x9f), staticcall(gas(), feed, 0x1c, 0x04, reply, 0xa0))) {
                    break
                }
                let answer := mload(add(reply, 0x20))
                let price := mul(answer, shr(192, feed))
                let bounds := mload(add(entry, 0x40))
                // Unsigned, a negative answer is a large one, and the age of one from the future is a great age.
                let old := gt(sub(timestamp(), mload(add(reply, 0x60))), and(shr(160, feed), 0xffffffff))
                let out := or(iszero(gt(price, shr(128, shl(128, bounds)))), iszero(lt(price, shr(128, bounds))))
                if or(or(shr(190, answer), old), out) { break }
                i := add(i, 0x20)
                mstore(add(quoted, i), price)
                entry := add(entry, ENTRY)
            }
        }
        return (i >> 5, entry);
    }

    /// @inheritdoc IPriceOracle
    function latest(address token) external view returns (uint256 price, uint256 updatedAt) {
        _checkSequencer();
        uint256 book = _open();
        return _quote(book, _find(book, token, book), true);
    }

    /// @inheritdoc IPriceOracle
    function feeds() external view returns (FeedConfig[] memory) {
        return abi.decode(SSTORE2.read(_configs), (FeedConfig[]));
    }

    /// @inheritdoc IPriceOracle
    function sequencer() external view returns (address feed, uint256 grace) {
        return (_sequencer, _grace);
    }

    /// @inheritdoc IPriceOracle
    function checkpoint(address token) external {
        uint256 book = _open();
        uint256 offset = _word(_find(book, token, book)) >> 160;
        Extras memory x = _extras(book + offset);
        if (offset == 0 || x.unit == 0) revert NotAShare(token);

        Checkpoint memory c = checkpoints[token];
        uint256 reach = x.maxDriftPerDay * (block.timestamp - c.movedAt) / 1 days;
        uint256 least = c.rate - c.rate.mulWad(reach.min(x.maxBelow));
        uint256 most = c.rate + c.rate.mulWad(reach.min(x.maxAbove));
        uint256 rate = _rate(token, x);
        checkpoints[token] = Checkpoint(rate.clamp(least, most), block.timestamp);
        emit CheckpointMoved(token, c.rate, rate.clamp(least, most), rate);
    }

    /* ------------------------------------------------- SOURCES ------------------------------------------------- */

    /// @dev The price of the token whose entry is in memory at `entry`, and when the older of its feeds answered.
    function _quote(uint256 book, uint256 entry, bool anchored)
        internal
        view
        returns (uint256 price, uint256 updatedAt)
    {
        uint256 head = _word(entry);
        address token = address(uint160(head));
        (price, updatedAt) = _answer(token, entry + 0x20);
        // All that the other kinds of price cost a plain feed.
        if (head >> 160 == 0) return (price, updatedAt);

        Extras memory x = _extras(book + (head >> 160));
        if (x.quote != 0) {
            (uint256 quote, uint256 quotedAt) = _answer(token, book + (head >> 160));
            (price, updatedAt) = (_product(token, price, quote), updatedAt.min(quotedAt));
        }
        uint256 ofAsset = price;
        if (x.unit != 0) price = _product(token, price, _believedRate(token, x));
        if (anchored && x.window != 0) _checkAnchor(book, token, x, x.ofAsset ? ofAsset : price);
    }

    /// @dev One answer in WAD, behind every guard. The packed feed is in memory at `at`, its bounds after it.
    function _answer(address token, uint256 at) internal view returns (uint256 price, uint256 updatedAt) {
        uint256 packed = _word(at);
        bool ok;
        int256 answer;
        (ok, answer,, updatedAt) = _round(address(uint160(packed)));
        if (!ok) revert NoAnswer(token, address(uint160(packed)));
        if (answer <= 0) revert NotPositive(token, answer);
        uint256 heartbeat = uint32(packed >> 160);
        // An answer from the future is as little worth as an old one.
        if (updatedAt > block.timestamp || block.timestamp - updatedAt > heartbeat) {
            revert StalePrice(token, updatedAt, block.timestamp, heartbeat);
        }
        uint256 bounds = _word(at + 0x20);
        // Saturating, so that an answer beyond all measure is out of bounds as any other.
        price = uint256(answer).saturatingMul(packed >> 192);
        if (price <= uint128(bounds) || price >= bounds >> 128) {
            revert PriceOutOfBounds(token, price, uint128(bounds), bounds >> 128);
        }
    }

    /// @dev Refused if rounding leaves nothing of it, or if it is larger than any single answer may be.
    function _product(address token, uint256 a, uint256 b) internal pure returns (uint256 price) {
        price = a.fullMulDiv(b, WAD);
        if (price == 0 || price > type(uint128).max) revert PriceOutOfBounds(token, price, 0, 1 << 128);
    }

    /// @dev Assets per share, WAD, if inside the corridor.
    function _believedRate(address token, Extras memory x) internal view returns (uint256 rate) {
        uint256 middle = checkpoints[token].rate;
        (uint256 min, uint256 max) = (middle.mulWadUp(WAD - x.maxBelow), middle.mulWad(WAD + x.maxAbove));
        rate = _rate(token, x);
        if (rate < min || rate > max) revert RateOutOfCorridor(token, rate, min, max);
    }

    function _rate(address token, Extras memory x) internal view returns (uint256) {
        try IERC4626(token).convertToAssets(x.unit) returns (uint256 assets) {
            return assets.saturatingMul(x.rateScale);
        } catch {
            revert NoAnswer(token, token);
        }
    }

    /// @dev The pool's mean is geometric: its price at the mean tick, e^(mean tick x ln 1.0001). The error of that is
    ///      below 1e-15 of the price, and 1e-18 of the other token.
    function _checkAnchor(uint256 book, address token, Extras memory x, uint256 price) internal view {
        uint32[] memory secondsAgos = new uint32[](2);
        secondsAgos[0] = uint32(x.window);
        int256 ticks;
        // The mean needs the ticks, not the liquidity.
        // slither-disable-next-line unused-return
        try IUniswapV3Pool(x.pool).observe(secondsAgos) returns (int56[] memory cumulatives, uint160[] memory) {
            ticks = int256(cumulatives[1]) - cumulatives[0];
        } catch {
            revert AnchorWithoutHistory(token, x.pool, x.window);
        }
        int256 ratio = FixedPointMathLib.expWad(ticks * x.lnTick / int256(x.window * WAD) + x.lnUnits);
        // Without its own anchor: two tokens may be each other's.
        (uint256 other,) = _quote(book, book + x.other, false);
        uint256 anchor = uint256(ratio).min(type(uint128).max).fullMulDiv(other, WAD);
        if (price.dist(anchor) > anchor.fullMulDiv(x.maxDeviation, WAD)) {
            revert AnchorDeviates(token, price, anchor, x.maxDeviation);
        }
    }

    function _checkSequencer() internal view {
        if (_sequencer == address(0)) return;
        (bool ok, int256 answer, uint256 since,) = _round(_sequencer);
        if (!ok) revert NoAnswer(address(0), _sequencer);
        // An uptime feed that was never written says zero, as one that is up does.
        if (answer != 0 || since == 0) revert SequencerDown(answer, since);
        if (block.timestamp <= since + _grace) revert SequencerInGrace(since, block.timestamp, _grace);
    }

    /// @dev `latestRoundData`. In assembly, so that a reply that is too short can be refused by name.
    function _round(address feed) internal view returns (bool ok, int256 answer, uint256 startedAt, uint256 updatedAt) {
        bytes4 selector = IAggregator.latestRoundData.selector;
        assembly ("memory-safe") {
            let reply := mload(0x40)
            mstore(0x00, selector)
            ok := and(gt(returndatasize(), 0x9f), staticcall(gas(), feed, 0x00, 0x04, reply, 0xa0))
            answer := mload(add(reply, 0x20))
            startedAt := mload(add(reply, 0x40))
            updatedAt := mload(add(reply, 0x60))
        }
    }

    /* ------------------------------------------------- THE BOOK ------------------------------------------------- */

    /// @return book Where the book begins in memory.
    function _open() internal view returns (uint256 book) {
        bytes memory data = SSTORE2.read(_book);
        assembly ("memory-safe") {
            book := add(data, 0x20)
        }
    }

    /// @dev Looks from `entry` onwards first, where a token stands if the basket follows the book.
    function _find(uint256 book, address token, uint256 entry) internal view returns (uint256) {
        uint256 end = book + _entriesSize;
        for (uint256 seen; seen < _entriesSize; seen += ENTRY) {
            if (entry == end) entry = book;
            if (address(uint160(_word(entry))) == token) return entry;
            entry += ENTRY;
        }
        revert NoFeed(token);
    }

    function _word(uint256 at) internal pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(at)
        }
    }

    function _extras(uint256 at) internal pure returns (Extras memory x) {
        assembly ("memory-safe") {
            x := at
        }
    }
}
