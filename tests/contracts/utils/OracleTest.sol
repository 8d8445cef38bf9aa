// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";

import {PriceOracle} from "../../../contracts/PriceOracle.sol";
import {FeedConfig, IPriceOracle} from "../../../contracts/interfaces/IPriceOracle.sol";

/// @notice Oracles of one price, and both doors to it.
abstract contract OracleTest is Test {
    uint256 internal constant WAD = 1e18;
    uint32 internal constant HEARTBEAT = 1 hours;

    function setUp() public virtual {
        vm.warp(1_750_000_000);
    }

    function _oracle(FeedConfig memory a) internal returns (IPriceOracle) {
        return new PriceOracle(_configs(a), address(0), 0);
    }

    function _oracle(FeedConfig memory a, FeedConfig memory b) internal returns (IPriceOracle) {
        return new PriceOracle(_configs(a, b), address(0), 0);
    }

    function _configs(FeedConfig memory a) internal pure returns (FeedConfig[] memory configs) {
        configs = new FeedConfig[](1);
        configs[0] = a;
    }

    function _configs(FeedConfig memory a, FeedConfig memory b) internal pure returns (FeedConfig[] memory configs) {
        configs = new FeedConfig[](2);
        (configs[0], configs[1]) = (a, b);
    }

    /// @notice Both doors let the same price out.
    function _price(IPriceOracle oracle, address token) internal view returns (uint256 price) {
        (price,) = oracle.latest(token);
        assertEq(oracle.prices(_tokens(token))[0], price);
    }

    /// @notice Both doors refuse, for the same reason.
    function _refused(IPriceOracle oracle, address token, bytes memory reason) internal {
        vm.expectRevert(reason);
        oracle.latest(token);
        vm.expectRevert(reason);
        oracle.prices(_tokens(token));
    }

    function _stale(address token, uint256 updatedAt, uint256 heartbeat) internal view returns (bytes memory) {
        return abi.encodeWithSelector(IPriceOracle.StalePrice.selector, token, updatedAt, block.timestamp, heartbeat);
    }

    function _outOfBounds(address token, uint256 price, uint256 min, uint256 max) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IPriceOracle.PriceOutOfBounds.selector, token, price, min, max);
    }

    function _unfit(FeedConfig[] memory configs, bytes memory reason) internal {
        vm.expectRevert(reason);
        new PriceOracle(configs, address(0), 0);
    }

    function _unfit(FeedConfig memory config, bytes memory reason) internal {
        _unfit(_configs(config), reason);
    }

    function _tokens(address x) internal pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = x;
    }
}
