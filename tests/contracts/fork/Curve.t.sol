// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {SwapExecutor} from "../../../contracts/SwapExecutor.sol";
import {CurveFragment, CurvePool, CurveState} from "../../../contracts/periphery/lens/CurveFragment.sol";
import {Program, Step} from "../utils/Program.sol";

interface ICurveQuote {
    // forge-lint: disable-next-line(mixed-case-function): the pools' own name
    function get_dy(int128 i, int128 j, uint256 dx) external view returns (uint256);
}

contract CurveLens is CurveFragment {
    function read(address pool, address[] calldata tokens) external view returns (CurveState memory) {
        CurvePool[] memory pools = new CurvePool[](1);
        pools[0] = CurvePool(pool, pool.codehash);
        return abi.decode(_readCurve(abi.encode(pools), tokens)[0], (CurveState));
    }
}

/// @notice The pools that no package carries, where they are: on the chain at MAINNET_RPC_URL.
contract CurveForkTest is Test {
    using SafeTransferLib for address;

    address internal constant DAI = 0x6B175474E89094C44Da98b954EedeAC495271d0F;
    address internal constant USDC = 0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48;
    address internal constant USDT = 0xdAC17F958D2ee523a2206206994597C13D831ec7;
    address internal constant CRVUSD = 0xf939E0A03FB07F59A73314E73794Be0E57ac1b4E;
    address internal constant WETH = 0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2;
    /// Of 2020: its swap says nothing.
    address internal constant THREE_POOL = 0xbEbc44782C7dB0a1A60Cb6fe97d0b483032FF1C7;
    /// Of 2023: its swap returns what it paid.
    address internal constant CRVUSD_USDC = 0x4DEcE678ceceb27446b35C672dC7d61F30bAD69E;

    function setUp() external {
        string memory url = vm.envOr("MAINNET_RPC_URL", string(""));
        vm.skip(bytes(url).length == 0, "needs MAINNET_RPC_URL, a real Ethereum node");
        vm.createSelectFork(url);
    }

    function test_the_pool_of_2020_is_read_and_swapped_through() external {
        address[] memory coins = new address[](3);
        (coins[0], coins[1], coins[2]) = (DAI, USDC, USDT);
        _readAndSwap(THREE_POOL, coins, 1);
        _readAndSwap(THREE_POOL, coins, 2);
    }

    function test_the_pool_of_2023_is_read_and_swapped_through() external {
        address[] memory coins = new address[](2);
        (coins[0], coins[1]) = (USDC, CRVUSD);
        _readAndSwap(CRVUSD_USDC, coins, 0);
    }

    function _readAndSwap(address pool, address[] memory coins, uint8 i) private {
        CurveState memory p = new CurveLens().read(pool, coins);
        assertEq(p.coins, coins);
        assertGt(p.amplification, p.amplificationPrecision);
        for (uint256 k; k < coins.length; ++k) {
            assertGt(p.balances[k] * p.rates[k], 1e18 * 1e18);
        }
        _swap(pool, coins, i, uint8((i + 1) % coins.length), 1000 * 1e36 / p.rates[i]);
    }

    function _swap(address pool, address[] memory coins, uint8 i, uint8 j, uint256 amount) private {
        SwapExecutor executor = new SwapExecutor(WETH);
        deal(coins[i], address(executor), amount);
        uint256 quote = ICurveQuote(pool).get_dy(int128(uint128(i)), int128(uint128(j)), amount);
        uint256 before = coins[j].balanceOf(address(this));
        Step memory step = Step(Program.CURVE, Program.ALL_HERE, Program.TO_CALLER, pool, i, j, 0, 0);
        bytes memory data = Program.step(coins, step, false, abi.encodePacked((i << 4) | j));
        executor.execute(abi.encodePacked(Program.head(coins), data));
        // Quotes of the oldest pools round once more than their swaps.
        assertApproxEqAbs(coins[j].balanceOf(address(this)) - before, quote, 1);
        assertEq(coins[i].balanceOf(address(executor)), 0);
    }
}
