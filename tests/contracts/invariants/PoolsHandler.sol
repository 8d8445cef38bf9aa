// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

import {SwapExecutor} from "../../../contracts/SwapExecutor.sol";
import {IndexVault} from "../../../contracts/IndexVault.sol";
import {IBalancerVault} from "../../../contracts/interfaces/IBalancer.sol";
import {VaultConfig} from "../../../contracts/interfaces/IIndexVault.sol";
import {PoolKey, SwapParams} from "../../../contracts/interfaces/IUniswapV4.sol";
import {Order, OrderLib, Sell} from "../../../contracts/libraries/OrderLib.sol";
import {BalancerTest} from "../utils/BalancerTest.sol";
import {Program, Step} from "../utils/Program.sol";
import {TestToken} from "../utils/Tokens.sol";
import {UniswapTest} from "../utils/UniswapTest.sol";
import {V4Test} from "../utils/V4Test.sol";
import {Campaign, Puppet} from "./Campaign.sol";

string constant CALLBACK = "uniswapV3SwapCallback(int256,int256,bytes)";

/// @notice A venue of every kind that the keeper made: asked to swap, it tries whatever was prepared, takes as much as it
///         was told to, and gives what it was told to.
contract CrookedVenue {
    bytes[] internal _tricks;
    address internal _accomplice;
    address internal _sold;
    address internal _bought;
    uint256 internal _gives;
    uint256 internal _asks;

    function prepare(
        address accomplice,
        bytes[] memory tricks,
        address sold,
        address bought,
        uint256 gives,
        uint256 asks
    ) external {
        (_accomplice, _tricks, _sold, _bought, _gives, _asks) = (accomplice, tricks, sold, bought, gives, asks);
    }

    /* ----------------------------------------------------- V2 ----------------------------------------------------- */

    function getReserves() external view returns (uint112, uint112, uint32) {
        return (1e18, uint112(1 + _gives), 0);
    }

    function swap(uint256, uint256, address to, bytes calldata) external {
        _perform(to);
    }

    /* ----------------------------------------------------- V3 ----------------------------------------------------- */

    function swap(address to, bool, int256, uint160, bytes calldata data) external returns (int256, int256) {
        _perform(to);
        // Twice, if it can.
        bytes memory call = abi.encodeWithSignature(CALLBACK, int256(_asks), -int256(_gives), data);
        for (uint256 i; i < 2; ++i) {
            (bool ok,) = msg.sender.call(call);
            if (ok != (i == 0)) revert();
        }
        return (int256(_asks), -int256(_gives));
    }

    /* ----------------------------------------------------- V4 ----------------------------------------------------- */

    function unlock(bytes calldata data) external returns (bytes memory result) {
        result = SwapExecutor(payable(msg.sender)).unlockCallback(data);
        try SwapExecutor(payable(msg.sender)).unlockCallback(data) returns (bytes memory) {
            revert();
        } catch {}
    }

    function swap(PoolKey calldata, SwapParams calldata params, bytes calldata) external view returns (int256) {
        (int256 sold, int256 bought) = (-int256(_asks), int256(_gives));
        return params.zeroForOne
            ? (sold << 128) | int256(uint256(uint128(int128(bought))))
            : (bought << 128) | int256(uint256(uint128(int128(sold))));
    }

    function sync(address) external {}

    function settle() external payable returns (uint256) {
        return _asks;
    }

    function take(address, address to, uint256) external {
        _perform(to);
    }

    /* --------------------------------------------- BALANCER AND CURVE --------------------------------------------- */

    function swap(IBalancerVault.SingleSwap calldata, IBalancerVault.FundManagement calldata funds, uint256, uint256)
        external
        returns (uint256)
    {
        TestToken(_sold).transferFrom(msg.sender, address(this), _asks);
        _perform(funds.recipient);
        return _gives;
    }

    function exchange(int128, int128, uint256, uint256) external {
        TestToken(_sold).transferFrom(msg.sender, address(this), _asks);
        _perform(msg.sender);
    }

    function _perform(address to) internal {
        for (uint256 i; i < _tricks.length; ++i) {
            (bool ok,) = _accomplice.call(_tricks[i]);
            if (!ok) revert();
        }
        if (_gives != 0) TestToken(_bought).mint(to, _gives);
    }
}

/// @notice The same stolen key with the real executor: the keeper of two vaults sends them through published pools of
///         Uniswap V2, V3 and V4 and of Balancer that it moves before and after, and through a venue of its own, of any
///         kind, that nests, re-enters and overcharges.
/// @dev    Of Curve there is no published bytecode to be had here: only the crooked one takes part.
contract PoolsHandler is Campaign, UniswapTest, V4Test, BalancerTest {
    using FixedPointMathLib for uint256;

    uint256 public sandwiched;
    uint256 public garbled;
    uint256 public swept;
    /// Batches by the kind of the last step of a route that was meant to pass.
    mapping(uint8 kind => uint256) public tradedOn;
    mapping(uint8 kind => uint256) public crookedOn;

    SwapExecutor internal _executor;
    Puppet internal _keeper = new Puppet();
    CrookedVenue internal _crookedVenue = new CrookedVenue();
    uint256[] internal _startPrices;
    mapping(address token => bool) internal _littered;
    address internal _pairDaiLink;
    address internal _poolDaiWeth;
    address internal _poolWethLink;
    bytes32 internal _weightedId;
    uint8 internal _lastKind;

    function setUp() public override {
        super.setUp();
        _deployWeth9();
        _deployUniswap();
        _deployV4();
        _deployBalancer();
        _executor = new SwapExecutor(weth9);
        keeper = address(_keeper);
        VaultConfig memory c = _offTarget(DAI, LINK);
        c.executor = address(_executor);
        (c.limits.maxSlippage, c.limits.maxBatchLoss, c.limits.lossBudget) = (0.03e18, 0.0004e18, 0.001e18);
        (c.limits.turnoverBudget, c.limits.window) = (2e18, 10 days);
        _startPrices = prices;
        _vaults = [_deploy(c), _deploy(c)];
        _watch(_vaults[0]);
        _watch(_vaults[1]);
        _pairDaiLink = _pair(tokens[DAI], _raw(DAI, 20e24), tokens[LINK], _raw(LINK, 20e24));
        _poolDaiWeth = _pool(tokens[DAI], _raw(DAI, 20e24), tokens[WETH], _raw(WETH, 20e24), 500);
        _poolWethLink = _pool(tokens[WETH], _raw(WETH, 20e24), tokens[LINK], _raw(LINK, 20e24), 3000);
        _openNamed();
        _people = [holder, stranger, feeRecipient, DEAD, address(_keeper)];
        _spenders = [
            address(_executor),
            _pairDaiLink,
            _poolDaiWeth,
            _poolWethLink,
            v4Manager,
            balancerVault,
            address(_crookedVenue),
            address(_vaults[0])
        ];
    }

    /// @dev A V4 pool of each two of the three tokens, and a Balancer pool of all three, a part of each by weight.
    function _openNamed() internal {
        address[] memory three = new address[](3);
        (three[0], three[1], three[2]) = (tokens[DAI], tokens[WETH], tokens[LINK]);
        uint256[] memory amounts = new uint256[](3);
        (amounts[0], amounts[1], amounts[2]) = (_raw(DAI, 20e24), _raw(WETH, 20e24), _raw(LINK, 20e24));
        for (uint256 i; i < 3; ++i) {
            uint256 j = (i + 1) % 3;
            _openV4(three[i], amounts[i], three[j], amounts[j], 500, 10);
        }
        for (uint256 i = 1; i < 3; ++i) {
            for (uint256 j = i; j > 0 && three[j] < three[j - 1]; --j) {
                (three[j], three[j - 1]) = (three[j - 1], three[j]);
                (amounts[j], amounts[j - 1]) = (amounts[j - 1], amounts[j]);
            }
        }
        uint256[] memory weights = new uint256[](3);
        (weights[0], weights[1], weights[2]) = (WAD / 3, WAD / 3, WAD - 2 * (WAD / 3));
        _weightedId = _weighted(three, amounts, weights, 0.001e18);
    }

    /* ------------------------------------------------ THE KEEPER ------------------------------------------------ */

    /// @notice A batch through one published pool or two, which the keeper may move before and after.
    function trade(uint256 seed) external {
        IndexVault v = _pick(seed);
        (uint256 from, uint256 to, uint256 amount) = _errand(v, seed);
        if (amount == 0) return;
        (bytes memory route, bytes memory there, bytes memory back) = _routes(seed, from, to);
        uint256 push = _draw(seed, 3) % 3 == 0 ? 1 + _raw(from, _draw(seed, 4) % 400_000e18) : 0;
        uint256 got = push == 0 ? 0 : _swap(there, from, to, push);
        if (_run(v, from, amount, address(0), route)) {
            ++tradedOn[_lastKind];
            if (push != 0) ++sandwiched;
        }
        if (got != 0) _swap(back, to, from, got);
    }

    /// @notice The sale goes into the pair itself, to be swapped there.
    function prefund(uint256 seed) external {
        IndexVault v = _pick(seed);
        (uint256 from, uint256 to, uint256 amount) = _errand(v, seed);
        if (amount == 0 || from == WETH || to == WETH) return;
        Step memory step = _step(0, from, to, Program.TO_CALLER, from, to);
        (step.mode, step.amount) = (Program.PREFUNDED, uint128(amount));
        _run(v, from, amount, _pairDaiLink, Program.encode(tokens, step));
    }

    /// @notice A batch through the keeper's own pool, at a price that the vault may just about accept.
    function crook(uint256 seed) external {
        IndexVault v = _pick(seed);
        (uint256 from, uint256 to, uint256 amount) = _errand(v, seed);
        if (amount == 0) return;
        bytes[] memory tricks = new bytes[](_draw(seed, 3) % 4);
        for (uint256 i; i < tricks.length; ++i) {
            tricks[i] = _trick(v, _draw(seed, 10 + i));
        }
        uint8 kind = uint8(_draw(seed, 4) % 5);
        (uint256 most,) = v.headroom();
        most = _min(_value(from, amount), v.nav().mulWad(_min(most, _limitsOf[v].maxBatchLoss)));
        if (_draw(seed, 5) % 2 == 0) most = most * (_draw(seed, 5) % 1000) / 1000;
        uint256 gives = _raw(to, _value(from, amount) - most) + 1;
        // A V3 pool is paid the whole amount or fails; one of another kind may also take less.
        uint256 asks = _draw(seed, 6) % 6 == 0 ? amount + 1 : amount;
        if (_draw(seed, 6) % 3 == 1) asks = amount - _draw(seed, 7) % amount / 2;
        _crookedVenue.prepare(address(this), tricks, tokens[from], tokens[to], gives, asks);
        Step memory step =
            Step(kind, Program.ALL_HERE, Program.TO_CALLER, address(_crookedVenue), uint8(from), uint8(to), 3000, 0);
        if (_run(v, from, amount, address(0), abi.encodePacked(Program.head(tokens), _bytes(step)))) {
            ++crookedOn[kind];
        }
    }

    /// @notice A program of which some bytes are anything.
    function garble(uint256 seed) external {
        IndexVault v = _pick(seed);
        (uint256 from, uint256 to, uint256 amount) = _errand(v, seed);
        if (amount == 0) return;
        uint8 kind = uint8(_draw(seed, 2) % 4);
        bytes memory step = kind < Program.V4
            ? Program.step(tokens, _step(0, from, to, Program.TO_CALLER, from, to))
            : _bytes(_named(kind, from, to));
        for (uint256 i; i < 1 + _draw(seed, 3) % 2; ++i) {
            // Seldom the address: nobody answers at a made-up one.
            uint256 at = _draw(seed, 20 + i) % step.length;
            uint256 byte_ = _draw(seed, 30 + i) % (_draw(seed, 50 + i) % 4 == 0 ? 256 : ASSETS);
            if (at == 0 || at > 20 || _draw(seed, 40 + i) % 8 == 0) step[at] = bytes1(uint8(byte_));
        }
        if (_run(v, from, amount, address(0), abi.encodePacked(Program.head(tokens), step))) ++garbled;
    }

    /* ------------------------------------------------ INSIDE A POOL ------------------------------------------------ */

    /// @notice Sends another vault through the executor that is busy.
    function nest(IndexVault v) external {
        if (_attempt(v, _keeper, false, _order(v, DAI, 1e18, address(0), Program.head(tokens)))) {
            _break("nested through a locked executor");
        }
    }

    /// @notice Tries to use the executor that is busy, and a vault that is.
    function intrude(IndexVault v) external {
        Puppet thief = new Puppet();
        if (
            thief.perform(address(_executor), abi.encodeCall(_executor.execute, (Program.head(tokens))))
                || thief.perform(address(_executor), abi.encodeWithSignature(CALLBACK, int256(1), int256(-1), ""))
                || thief.perform(address(v), abi.encodeCall(v.accrueFees, ()))
                || thief.perform(address(v), abi.encodeCall(v.nav, ()))
        ) _break("a door stood open in the middle of a batch");
    }

    /// @notice Leaves something in the executor, in the middle of its work or between.
    function litter(uint256 seed) external {
        address token = tokens[_draw(seed, 1) % ASSETS];
        TestToken(token).mint(address(_executor), _draw(seed, 2) % 1e18);
        _littered[token] = true;
    }

    /* -------------------------------------------------- OTHERS -------------------------------------------------- */

    function wait(uint256 seed) external {
        _wait(_draw(seed, 1) % 12 hours);
    }

    /// @notice Moves a price by less than the pools charge, or a little more.
    function movePrice(uint256 seed) external {
        uint256 i = _draw(seed, 1) % ASSETS;
        uint256 grain = 10 ** (18 - feeds[i].decimals());
        _setPrice(i, _startPrices[i] * (985 + _draw(seed, 2) % 31) / 1000 / grain * grain);
    }

    /// @notice Makes work for the keeper: of one asset there is more than there was, of another less.
    function shift(uint256 seed) external {
        IndexVault v = _pick(seed);
        uint256[3] memory traded = [DAI, WETH, LINK];
        uint256 up = traded[_draw(seed, 1) % 3];
        uint256 down = traded[(_draw(seed, 1) + 1 + _draw(seed, 2) % 2) % 3];
        uint256 value = _draw(seed, 3) % 60_000e18;
        TestToken(tokens[up]).mint(address(v), _raw(up, value));
        TestToken(tokens[down]).burn(address(v), _min(_raw(down, value), _held(v, down) / 2));
    }

    function comeOrGo(uint256 seed) external {
        vault = _pick(seed);
        uint256 shares = vault.balanceOf(holder) / 10;
        if (_draw(seed, 1) % 2 == 0) _mint(holder, shares);
        else _redeem(holder, shares);
    }

    /* -------------------------------------------------- HELPERS -------------------------------------------------- */

    /// @dev Carries out a batch, and looks at what it left behind.
    function _run(IndexVault v, uint256 from, uint256 amount, address to, bytes memory route)
        internal
        returns (bool ok)
    {
        uint256 readyAt = v.settledAt() + _limitsOf[v].cooldown;
        if (block.timestamp < readyAt) _wait(readyAt - block.timestamp);
        IndexVault other = v == _vaults[0] ? _vaults[1] : _vaults[0];
        bytes32 theirs = _fingerprint(other);
        ok = _attempt(v, _keeper, false, _order(v, from, amount, to, route));
        if (theirs != _fingerprint(other)) _break("a batch touched another vault");
        if (!ok) return false;
        _checkSwept(route);
        for (uint256 i; i < ASSETS; ++i) {
            for (uint256 j; j < _spenders.length; ++j) {
                if (TestToken(tokens[i]).allowance(address(_executor), _spenders[j]) != 0) {
                    _break("the executor left an allowance");
                }
            }
        }
    }

    /// @dev A route begins with its table: how many tokens, how many of them are swept, and the tokens.
    function _checkSwept(bytes memory route) internal {
        for (uint256 i; i < uint8(route[1]); ++i) {
            address listed;
            assembly ("memory-safe") {
                listed := shr(96, mload(add(add(route, 0x22), mul(20, i))))
            }
            if (TestToken(listed).balanceOf(address(_executor)) != 0) _break("the executor kept something");
            if (_littered[listed]) ++swept;
            _littered[listed] = false;
        }
    }

    function _order(IndexVault v, uint256 from, uint256 amount, address to, bytes memory route)
        internal
        view
        returns (bytes memory)
    {
        Order memory order;
        (order.nonce, order.deadline) = (v.nonce() + 1, block.timestamp);
        order.sells = new Sell[](1);
        order.sells[0] = Sell(from, amount, to);
        return OrderLib.encode(order, route);
    }

    function _trick(IndexVault v, uint256 seed) internal view returns (bytes memory) {
        uint256 choice = seed % 3;
        if (choice == 0) return abi.encodeCall(this.nest, (v == _vaults[0] ? _vaults[1] : _vaults[0]));
        if (choice == 1) return abi.encodeCall(this.intrude, (v));
        return abi.encodeCall(this.litter, (seed));
    }

    /// @dev The dearest and the cheapest of the three tokens that have pools, and some of what must move between them.
    function _errand(IndexVault v, uint256 seed) internal view returns (uint256 from, uint256 to, uint256 amount) {
        uint256[3] memory traded = [DAI, WETH, LINK];
        uint256[] memory targets = v.targets();
        int256 most = type(int256).min;
        int256 least = type(int256).max;
        uint256 nav = v.nav();
        for (uint256 i; i < 3; ++i) {
            int256 excess = int256(_value(traded[i], _held(v, traded[i]))) - int256(nav.mulWad(targets[traded[i]]));
            if (excess > most) (most, from) = (excess, traded[i]);
            if (excess < least) (least, to) = (excess, traded[i]);
        }
        if (most <= 0 || least >= 0) return (from, to, 0);
        uint256 value = _min(uint256(most), uint256(-least));
        if (_draw(seed, 8) % 2 == 0) value = value * (_draw(seed, 9) % 100) / 100;
        // Beyond this, the fee of a pool is more than a batch may lose.
        amount = _raw(from, _min(value, 100_000e18));
    }

    function _table(uint256 seed, uint256 from, uint256 to) internal view returns (address[] memory) {
        if (seed % 2 == 0) return tokens;
        address[] memory two = new address[](2);
        (two[0], two[1]) = (tokens[from], tokens[to]);
        return two;
    }

    /// @dev A step through the real pool of the two, under the places that `_table` gives them.
    function _step(uint256 seed, uint256 a, uint256 b, uint8 to, uint256 placeA, uint256 placeB)
        internal
        view
        returns (Step memory)
    {
        if (seed % 2 == 1) (placeA, placeB) = (0, 1);
        uint256 third = DAI + WETH + LINK - a - b;
        address pool = third == WETH ? _pairDaiLink : third == LINK ? _poolDaiWeth : _poolWethLink;
        uint8 kind = third == WETH ? Program.V2 : Program.V3;
        return Step(kind, Program.ALL_HERE, to, pool, uint8(placeA), uint8(placeB), 3000, 0);
    }

    /// @dev A route from one token to another, and what moves its last pool there and back. Its kind is `_lastKind`.
    function _routes(uint256 seed, uint256 from, uint256 to)
        internal
        returns (bytes memory route, bytes memory there, bytes memory back)
    {
        uint256 choice = _draw(seed, 2) % 6;
        if (choice > 3) {
            _lastKind = choice == 4 ? Program.V4 : Program.BALANCER;
            there = abi.encodePacked(Program.head(tokens), _bytes(_named(_lastKind, from, to)));
            back = abi.encodePacked(Program.head(tokens), _bytes(_named(_lastKind, to, from)));
            return (there, there, back);
        }
        Step memory step = _step(0, from, to, Program.TO_CALLER, from, to);
        there = Program.encode(tokens, step);
        back = Program.encode(tokens, _step(0, to, from, Program.TO_CALLER, to, from));
        route = Program.encode(_table(seed, from, to), _step(seed, from, to, Program.TO_CALLER, from, to));
        if (choice > 1) {
            uint256 middle = DAI + WETH + LINK - from - to;
            step = _step(0, middle, to, Program.TO_CALLER, middle, to);
            route = Program.encode(tokens, _step(0, from, middle, Program.TO_EXECUTOR, from, middle), step);
        }
        _lastKind = step.kind;
    }

    /// @dev A step through the V4 pool of the two, or the Balancer pool.
    function _named(uint8 kind, uint256 from, uint256 to) internal view returns (Step memory) {
        address pool = kind == Program.V4 ? v4Manager : balancerVault;
        return Step(kind, Program.ALL_HERE, Program.TO_CALLER, pool, uint8(from), uint8(to), 0, 0);
    }

    /// @dev A step of any kind, under the places of `tokens`.
    function _bytes(Step memory step) internal view returns (bytes memory) {
        if (step.kind < Program.V4) return Program.step(tokens, step);
        bytes memory detail = abi.encodePacked(uint8(0x01));
        if (step.kind == Program.V4) detail = abi.encodePacked(uint24(500), uint16(10));
        if (step.kind == Program.BALANCER) detail = abi.encodePacked(_weightedId);
        return Program.step(tokens, step, tokens[step.tokenIn] < tokens[step.tokenOut], detail);
    }

    /// @dev The keeper swaps for itself.
    function _swap(bytes memory route, uint256 from, uint256 to, uint256 amount) internal returns (uint256) {
        uint256 before = _balanceOf(to, address(_keeper));
        TestToken(tokens[from]).mint(address(_executor), amount);
        _keeper.perform(address(_executor), abi.encodeCall(_executor.execute, (route)));
        return _balanceOf(to, address(_keeper)) - before;
    }

    function _fingerprint(IndexVault v) internal view returns (bytes32) {
        return keccak256(abi.encode(v.balances(), v.nonce(), v.totalSupply()));
    }

    function _pick(uint256 seed) internal view returns (IndexVault) {
        return _vaults[_draw(seed, 0) % 2];
    }
}
