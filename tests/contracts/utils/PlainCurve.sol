// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @notice A plain StableSwap pool of coins of 18 decimals, as short as it gets: no package carries a real one. Its swap
///         has the real ones' signature, pulls from its caller and says nothing; prices follow the same invariant, but
///         are not theirs to the wei.
contract PlainCurve {
    using SafeTransferLib for address;

    uint256 public constant fee = 4e6;
    uint256 public constant admin_fee = 5e9; // forge-lint: disable-line(screaming-snake-case-const): the real ones' name
    uint256 public constant A = 200;

    address[] public coins;
    uint256[] public balances;

    constructor(address[] memory coins_) {
        coins = coins_;
        balances = new uint256[](coins_.length);
    }

    /// @notice Books what has been sent here.
    function sync() external {
        for (uint256 i; i < coins.length; ++i) {
            balances[i] = coins[i].balanceOf(address(this));
        }
    }

    function exchange(int128 i, int128 j, uint256 dx, uint256 minDy) external {
        uint256 dy = get_dy(i, j, dx);
        require(dy >= minDy, "Exchange resulted in fewer coins than expected");
        balances[uint128(i)] += dx;
        balances[uint128(j)] -= dy;
        coins[uint128(i)].safeTransferFrom(msg.sender, address(this), dx);
        coins[uint128(j)].safeTransfer(msg.sender, dy);
    }

    // forge-lint: disable-next-line(mixed-case-function): the name that the real ones have
    function get_dy(int128 i, int128 j, uint256 dx) public view returns (uint256 dy) {
        uint256 d = _invariant();
        dy = balances[uint128(j)] - _balanceAt(uint128(i), uint128(j), balances[uint128(i)] + dx, d) - 1;
        dy -= dy * fee / 1e10;
    }

    /// @dev D in A n sum(x) + D = A n D + D^(n+1) / (n^n prod(x)), by Newton's method.
    function _invariant() private view returns (uint256 d) {
        uint256 n = balances.length;
        uint256 sum;
        for (uint256 k; k < n; ++k) {
            sum += balances[k];
        }
        d = sum;
        for (uint256 round; round < 255; ++round) {
            uint256 p = d;
            for (uint256 k; k < n; ++k) {
                p = p * d / (balances[k] * n);
            }
            uint256 before = d;
            d = (A * n * sum + p * n) * d / ((A * n - 1) * d + (n + 1) * p);
            if (before == d || before == d + 1 || d == before + 1) break;
        }
    }

    /// @dev The balance of coin j that keeps D when that of coin i is x, by Newton's method.
    function _balanceAt(uint256 i, uint256 j, uint256 x, uint256 d) private view returns (uint256 y) {
        uint256 n = balances.length;
        uint256 c = d;
        uint256 sum;
        for (uint256 k; k < n; ++k) {
            if (k == j) continue;
            uint256 balance = k == i ? x : balances[k];
            sum += balance;
            c = c * d / (balance * n);
        }
        c = c * d / (A * n * n);
        uint256 b = sum + d / (A * n);
        y = d;
        for (uint256 round; round < 255; ++round) {
            uint256 before = y;
            y = (y * y + c) / (2 * y + b - d);
            if (before == y || before == y + 1 || y == before + 1) break;
        }
    }
}
