// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ReentrancyGuardTransient} from "solady/utils/ReentrancyGuardTransient.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {IBalancerVault} from "./interfaces/IBalancer.sol";
import {ICurvePool} from "./interfaces/ICurve.sol";
import {ISwapExecutor} from "./interfaces/ISwapExecutor.sol";
import {IAllowance, IWETH} from "./interfaces/ITokens.sol";
import {IPoolManager, PoolKey, SwapParams} from "./interfaces/IUniswapV4.sol";

/// @title  SwapExecutor
/// @notice Runs packed swap programs against pools, without routers. It never takes tokens from anyone and leaves no
///         allowance behind: it spends only what it was sent, and sends what is left to the caller.
contract SwapExecutor is ISwapExecutor, ReentrancyGuardTransient {
    using SafeTransferLib for address;

    // The fields of an op, each where it stands in the first word of a step.
    uint256 internal constant KIND = 0x07 << 248;
    uint256 internal constant KIND_UNISWAP_V2 = 0x00 << 248;
    uint256 internal constant KIND_UNISWAP_V3 = 0x01 << 248;
    uint256 internal constant KIND_UNISWAP_V4 = 0x02 << 248;
    uint256 internal constant KIND_BALANCER_V2 = 0x03 << 248;
    uint256 internal constant KIND_CURVE = 0x04 << 248;

    uint256 internal constant SELLS_TOKEN0 = 0x08 << 248;

    uint256 internal constant AMOUNT = 0x30 << 248;
    uint256 internal constant AMOUNT_ALL_HERE = 0x10 << 248;
    uint256 internal constant AMOUNT_PREFUNDED = 0x20 << 248;
    uint256 internal constant AMOUNT_CHAINED = 0x30 << 248;

    uint256 internal constant RECIPIENT = 0xc0 << 248;
    uint256 internal constant TO_EXECUTOR = 0x00 << 248;
    uint256 internal constant TO_CALLER = 0x40 << 248;
    uint256 internal constant TO_NEXT_POOL = 0x80 << 248;

    /// @dev Where the table of tokens begins.
    uint256 internal constant TABLE = 2;

    uint256 internal constant PIPS = 1e6;

    /// @dev The outermost limits that a V3 pool takes: a swap stops only when it is done or the pool is empty.
    uint256 internal constant LOWEST_PRICE = 4295128740;
    uint256 internal constant HIGHEST_PRICE = 1461446703485210103287273052203988822378723970341;

    /// @dev Of the tick spacing of a V4 step: WETH stands for ether in the pool's key.
    uint256 internal constant NATIVE = 0x8000;

    /// @dev What ether is wrapped into, and the only one to send any outside a V4 swap.
    IWETH internal immutable _weth;

    /// @dev The one callback of a PoolManager that is welcome now, as `_unlocking` makes it. Zero outside a V4 swap.
    bytes32 internal transient _expected;

    /// @dev The PoolManager that is paying out ether now. Zero otherwise.
    address internal transient _payer;

    constructor(address weth) {
        _weth = IWETH(weth);
    }

    /// @inheritdoc ISwapExecutor
    function execute(bytes calldata program) external nonReentrant {
        uint256 head = _word(program, 0);
        (uint256 count, uint256 swept) = (head >> 248, uint8(head >> 240));
        uint256 at = TABLE + 20 * count;
        if (program.length < at) revert TruncatedProgram(at, program.length);
        if (swept > count) revert TokenOutOfRange(1, swept, count);

        uint256 paid;
        while (at < program.length) {
            head = _word(program, at);
            (address token, uint256 amount, address to, uint256 next) = _read(program, at, head, count, paid);
            if (head & KIND == KIND_UNISWAP_V2) paid = _swapV2(head, token, amount, to);
            else if (head & KIND == KIND_UNISWAP_V3) paid = _swapV3(head, token, amount, to);
            else paid = _swapNamed(program, at, token, amount, to);
            at = next;
        }

        for (uint256 i; i < swept; ++i) {
            address token = _token(program, i);
            uint256 left = token.balanceOf(address(this));
            if (left != 0) token.safeTransfer(msg.sender, left);
        }
    }

    /// @notice Pays a V3 pool in the middle of its swap: `uniswapV3SwapCallback(int256,int256,bytes)`, or whatever a fork
    ///         calls it. The pool gets what the step says, of its token and once, or the program fails.
    /// @dev    The fallback, because to decode the arguments of a function costs 400 gas for each pool.
    fallback() external {
        uint256 asked;
        address token;
        assembly ("memory-safe") {
            // Of the two deltas, what the pool is owed is the one above zero.
            asked := calldataload(0x04)
            if iszero(sgt(asked, 0)) { asked := calldataload(0x24) }
            let key := or(shl(96, caller()), shr(96, asked))
            let due := tload(key)
            // Cleared on use: a pool is paid once.
            tstore(key, 0)
            if iszero(or(xor(shl(160, due), shl(160, asked)), shr(128, asked))) { token := shr(96, due) }
        }
        if (token == address(0)) revert UnexpectedCallback(msg.sender);
        token.safeTransfer(msg.sender, asked);
    }

    /// @notice Swaps in a V4 pool, pays for it and collects, while its PoolManager is unlocked.
    /// @param data What it was unlocked with.
    /// @return What was collected, ABI-encoded.
    function unlockCallback(bytes calldata data) external returns (bytes memory) {
        if (_expected != _unlocking(msg.sender, keccak256(data))) revert UnexpectedCallback(msg.sender);
        // Cleared on use: one unlocking, one swap.
        _expected = 0;
        (PoolKey memory key, bool sellsToken0, uint256 most, address to) =
            abi.decode(data, (PoolKey, bool, uint256, address));
        SwapParams memory params =
            SwapParams(sellsToken0, -int256(most), uint160(sellsToken0 ? LOWEST_PRICE : HIGHEST_PRICE));
        int256 deltas = IPoolManager(msg.sender).swap(key, params, "");

        // Two deltas in one word, each what the manager owes this contract: token0's in the upper half.
        (int256 sold, int256 bought) = (deltas >> 128, int128(deltas));
        if (!sellsToken0) (sold, bought) = (bought, sold);
        uint256 asked = uint256(-sold);
        if (asked > most) revert CallbackTooGreedy(msg.sender, asked, most);
        (address currencyIn, address currencyOut) =
            sellsToken0 ? (key.currency0, key.currency1) : (key.currency1, key.currency0);
        _settle(currencyIn, asked);
        return abi.encode(_take(currencyOut, uint256(bought), to));
    }

    receive() external payable {
        if (msg.sender != address(_weth) && msg.sender != _payer) revert UnexpectedEther(msg.sender);
    }

    /* ------------------------------------------------- SWAPPING ------------------------------------------------- */

    // V2 and V3 pools are called in assembly, because what the compiler makes of the same calls costs 1,600 gas more in
    // each V2 step and 1,700 in each V3 step. `head` is the first word of the step.

    /// @dev Asks for as much as the reserves give after the fee. The formula overflows only where the pair would hold more
    ///      than it can book, and refuse.
    function _swapV2(uint256 head, address token, uint256 amount, address to) internal returns (uint256 out) {
        if (token != address(0)) token.safeTransfer(_pool(head), amount);
        assembly ("memory-safe") {
            let pair := shr(96, shl(8, head))
            mstore(0x00, 0x0902f1ac) // getReserves()
            if iszero(and(gt(returndatasize(), 0x3f), staticcall(gas(), pair, 0x1c, 0x04, 0x00, 0x40))) {
                revert(0x00, 0x00)
            }
            // Which of two words is the sold token's, and which the other's.
            let sold := shl(5, iszero(shr(255, shl(4, head))))
            let bought := xor(sold, 0x20)
            let afterFee := mul(amount, sub(PIPS, shr(232, shl(168, head))))
            out := div(mul(afterFee, mload(bought)), add(mul(mload(sold), PIPS), afterFee))

            let m := mload(0x40)
            mstore(m, 0x022c0d9f) // swap(uint256,uint256,address,bytes)
            mstore(add(add(m, 0x20), sold), 0)
            mstore(add(add(m, 0x20), bought), out)
            mstore(add(m, 0x60), to)
            mstore(add(m, 0x80), 0x80)
            mstore(add(m, 0xa0), 0)
            if iszero(call(gas(), pair, 0, add(m, 0x1c), 0xa4, 0x00, 0x00)) {
                returndatacopy(m, 0x00, returndatasize())
                revert(m, returndatasize())
            }
        }
    }

    /// @dev What the callback may pay lies in transient storage while the pool swaps: at pool:160 | amount:96, the upper half
    ///      of the amount, stands token:160 | amount:96, the lower. Nothing that the pool hands back need be believed, which
    ///      saves 300 gas against data behind a hash.
    function _swapV3(uint256 head, address token, uint256 amount, address to) internal returns (uint256 out) {
        assembly ("memory-safe") {
            let pool := shr(96, shl(8, head))
            let sellsToken0 := shr(255, shl(4, head))
            let key := or(shl(96, pool), shr(96, amount))
            tstore(key, or(shl(96, token), shr(160, shl(160, amount))))

            let m := mload(0x40)
            mstore(m, 0x128acb08) // swap(address,bool,int256,uint160,bytes)
            mstore(add(m, 0x20), to)
            mstore(add(m, 0x40), sellsToken0)
            mstore(add(m, 0x60), amount)
            mstore(add(m, 0x80), HIGHEST_PRICE)
            if sellsToken0 { mstore(add(m, 0x80), LOWEST_PRICE) }
            mstore(add(m, 0xa0), 0xa0)
            mstore(add(m, 0xc0), 0)
            if iszero(and(gt(returndatasize(), 0x3f), call(gas(), pool, 0, add(m, 0x1c), 0xc4, 0x00, 0x40))) {
                returndatacopy(m, 0x00, returndatasize())
                revert(m, returndatasize())
            }
            // Of the pool's two deltas the negative one is what it has paid out: that of token1 if token0 is sold.
            out := sub(0, mload(shl(5, sellsToken0)))
            // A pool that never called back must not be able to later.
            tstore(key, 0)
        }
    }

    /// @dev A swap of a kind whose step names the bought token too, 21 bytes into it, and then what tells the pool.
    function _swapNamed(bytes calldata program, uint256 at, address token, uint256 amount, address to)
        internal
        returns (uint256 out)
    {
        uint256 head = _word(program, at);
        address pool = _pool(head);
        unchecked {
            address bought = address(uint160(_word(program, at + 21) >> 96));
            uint256 detail = _word(program, at + 41);
            uint256 kind = head & KIND;
            if (kind == KIND_UNISWAP_V4) {
                return _swapV4(pool, _key(head & SELLS_TOKEN0 != 0, token, bought, detail), head, amount, to);
            }
            if (kind == KIND_BALANCER_V2) return _swapBalancer(pool, bytes32(detail), token, bought, amount, to);
            return _swapCurve(pool, detail >> 248, token, bought, amount, to);
        }
    }

    function _swapV4(address manager, PoolKey memory key, uint256 head, uint256 amount, address to)
        internal
        returns (uint256 out)
    {
        bytes memory data = abi.encode(key, head & SELLS_TOKEN0 != 0, amount, to);
        // Transient, which costs next to nothing, in a loop or out of it; and nothing reads it between.
        // slither-disable-start costly-loop,reentrancy-benign
        _expected = _unlocking(manager, keccak256(data));
        out = abi.decode(IPoolManager(manager).unlock(data), (uint256));
        // A manager that never called back must not be able to later.
        _expected = 0;
        // slither-disable-end costly-loop,reentrancy-benign
    }

    function _swapBalancer(address vault, bytes32 id, address token, address bought, uint256 amount, address to)
        internal
        returns (uint256 out)
    {
        token.safeApprove(vault, amount);
        out = IBalancerVault(vault)
            .swap(
                IBalancerVault.SingleSwap(id, IBalancerVault.SwapKind.GIVEN_IN, token, bought, amount, ""),
                IBalancerVault.FundManagement(address(this), false, to, false),
                0,
                type(uint256).max
            );
        _revoke(token, vault);
    }

    /// @dev Not every Curve pool says what it paid, and few take a recipient.
    function _swapCurve(address pool, uint256 coins, address token, address bought, uint256 amount, address to)
        internal
        returns (uint256 out)
    {
        uint256 held = bought.balanceOf(address(this));
        token.safeApprove(pool, amount);
        ICurvePool(pool).exchange(int128(uint128(coins >> 4)), int128(uint128(coins & 0x0f)), amount, 0);
        _revoke(token, pool);
        out = bought.balanceOf(address(this)) - held;
        if (to != address(this)) bought.safeTransfer(to, out);
    }

    /// @dev To ask first costs less than to write the zero, and log it, where the pool has taken all of it.
    function _revoke(address token, address spender) internal {
        if (IAllowance(token).allowance(address(this), spender) != 0) token.safeApprove(spender, 0);
    }

    /// @dev Pays the PoolManager that calls. What it counts is the rise of its balance since `sync`; of ether, the value,
    ///      but only if nobody has synced another currency before. If it counted less, it does not let itself be locked.
    // The caller is no arbitrary one: only the manager of the step passes `_expected`.
    // slither-disable-start arbitrary-send-eth,unused-return
    function _settle(address currency, uint256 amount) internal {
        IPoolManager(msg.sender).sync(currency);
        if (currency == address(0)) {
            _weth.withdraw(amount);
            IPoolManager(msg.sender).settle{value: amount}();
        } else {
            currency.safeTransfer(msg.sender, amount);
            IPoolManager(msg.sender).settle();
        }
    }

    // slither-disable-end arbitrary-send-eth,unused-return

    /// @dev Collects from the PoolManager that calls. Ether is wrapped: all there is, whatever the manager says it was.
    function _take(address currency, uint256 amount, address to) internal returns (uint256) {
        if (currency != address(0)) {
            IPoolManager(msg.sender).take(currency, to, amount);
            return amount;
        }
        _payer = msg.sender;
        // Who pays in the meantime is looked up by `receive`, which is the purpose.
        // slither-disable-next-line reentrancy-benign
        IPoolManager(msg.sender).take(currency, address(this), amount);
        _payer = address(0);
        amount = address(this).balance;
        _weth.deposit{value: amount}();
        if (to != address(this)) address(_weth).safeTransfer(to, amount);
        return amount;
    }

    /// @dev The key of a V4 pool without hooks, from the fee and tick spacing of the step.
    function _key(bool sellsToken0, address token, address bought, uint256 detail)
        internal
        view
        returns (PoolKey memory key)
    {
        (key.currency0, key.currency1) = sellsToken0 ? (token, bought) : (bought, token);
        key.fee = uint24(detail >> 232);
        uint256 spacing = uint16(detail >> 216);
        key.tickSpacing = int24(uint24(spacing & ~NATIVE));
        // Ether sorts before every token.
        if (spacing & NATIVE != 0 && key.currency0 == address(_weth)) key.currency0 = address(0);
    }

    /// @dev What the callback of an unlocked PoolManager is known by: who calls, and with what.
    function _unlocking(address manager, bytes32 dataHash) internal pure returns (bytes32) {
        return keccak256(abi.encode(manager, dataHash));
    }

    /* ------------------------------------------------- READING ------------------------------------------------- */

    /// @dev In one function: each that it called would cost 40 gas a step.
    /// @param  paid What the step before paid out.
    /// @return token What the pool is paid with from here; zero if it is paid already.
    /// @return amount How much is swapped.
    /// @return to Who gets what comes out.
    /// @return next Where the next step begins.
    // slither-disable-next-line cyclomatic-complexity
    function _read(bytes calldata program, uint256 at, uint256 head, uint256 count, uint256 paid)
        internal
        view
        returns (address token, uint256 amount, address to, uint256 next)
    {
        uint256 mode = head & AMOUNT;
        // Offsets stay within a few bytes of the program.
        unchecked {
            next = at + 24;
            if (head & KIND != KIND_UNISWAP_V2) {
                if (mode == AMOUNT_PREFUNDED) revert UnknownOp(at, head >> 248);
                next = at + 21;
                if (head & KIND > KIND_UNISWAP_V3) {
                    if (head & KIND > KIND_CURVE) revert UnknownOp(at, head >> 248);
                    // The bought token, and what tells the pool.
                    next += head & KIND == KIND_UNISWAP_V4 ? 25 : head & KIND == KIND_BALANCER_V2 ? 52 : 21;
                }
            }
            if (mode < AMOUNT_PREFUNDED || head & KIND != KIND_UNISWAP_V2) {
                uint256 index = _word(program, next++) >> 248;
                if (index >= count) revert TokenOutOfRange(at, index, count);
                token = _token(program, index);
            }
            if (mode == AMOUNT_CHAINED) {
                amount = paid;
            } else if (mode == AMOUNT_ALL_HERE) {
                amount = token.balanceOf(address(this));
            } else {
                amount = _word(program, next) >> 128;
                next += 16;
            }
            if (program.length < next) revert TruncatedProgram(at, program.length);
            // No pool has more, and less than zero a V3 pool would take for the amount to pay out.
            if (amount == 0 || amount > type(uint128).max) revert NothingToSwap(at);

            uint256 recipient = head & RECIPIENT;
            if (recipient == TO_CALLER) return (token, amount, msg.sender, next);
            if (recipient == TO_EXECUTOR) return (token, amount, address(this), next);
            if (recipient != TO_NEXT_POOL) revert UnknownOp(at, head >> 248);
            // If there is less than a step behind this one, that will be refused when its turn comes.
            if (next == program.length) revert TruncatedProgram(next, program.length);
            to = _pool(_word(program, next));
        }
    }

    function _token(bytes calldata program, uint256 index) internal pure returns (address token) {
        assembly ("memory-safe") {
            token := shr(96, calldataload(add(program.offset, add(TABLE, mul(20, index)))))
        }
    }

    function _pool(uint256 head) internal pure returns (address pool) {
        assembly ("memory-safe") {
            pool := shr(96, shl(8, head))
        }
    }

    /// @dev The 32 bytes at `at`, whatever lies there if the program is shorter.
    function _word(bytes calldata program, uint256 at) internal pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := calldataload(add(program.offset, at))
        }
    }

    /// @dev One lock on every chain.
    function _useTransientReentrancyGuardOnlyOnMainnet() internal pure override returns (bool) {
        return false;
    }
}
