// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice One swap of an executor program, as `ISwapExecutor` lays it out.
struct Step {
    uint8 kind;
    uint8 mode;
    uint8 to;
    address pool;
    uint8 tokenIn;
    uint8 tokenOut;
    uint24 fee;
    uint128 amount;
}

/// @notice Builds executor programs.
library Program {
    uint8 internal constant V2 = 0;
    uint8 internal constant V3 = 1;
    uint8 internal constant V4 = 2;
    uint8 internal constant BALANCER = 3;
    uint8 internal constant CURVE = 4;

    uint8 internal constant EXACT = 0;
    uint8 internal constant ALL_HERE = 1;
    uint8 internal constant PREFUNDED = 2;
    uint8 internal constant CHAINED = 3;

    uint8 internal constant TO_EXECUTOR = 0;
    uint8 internal constant TO_CALLER = 1;
    uint8 internal constant TO_NEXT_POOL = 2;

    function encode(address[] memory tokens, Step memory a) internal pure returns (bytes memory) {
        return abi.encodePacked(head(tokens), step(tokens, a));
    }

    function encode(address[] memory tokens, Step memory a, Step memory b) internal pure returns (bytes memory) {
        return abi.encodePacked(head(tokens), step(tokens, a), step(tokens, b));
    }

    function encode(address[] memory tokens, Step memory a, Step memory b, Step memory c)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodePacked(head(tokens), step(tokens, a), step(tokens, b), step(tokens, c));
    }

    /// @notice The table, all of it swept.
    function head(address[] memory tokens) internal pure returns (bytes memory data) {
        return head(tokens, tokens.length);
    }

    function head(address[] memory tokens, uint256 swept) internal pure returns (bytes memory data) {
        data = abi.encodePacked(uint8(tokens.length), uint8(swept));
        for (uint256 i; i < tokens.length; ++i) {
            data = abi.encodePacked(data, tokens[i]);
        }
    }

    /// @notice A step without the table. A place beyond the table counts as the higher address.
    function step(address[] memory tokens, Step memory s) internal pure returns (bytes memory data) {
        bool sellsToken0 =
            s.tokenIn < tokens.length && (s.tokenOut >= tokens.length || tokens[s.tokenIn] < tokens[s.tokenOut]);
        data = abi.encodePacked(s.kind | (sellsToken0 ? 8 : 0) | (s.mode << 4) | (s.to << 6), s.pool);
        if (s.kind == V2) data = abi.encodePacked(data, s.fee);
        if (s.mode == EXACT || s.mode == ALL_HERE || s.kind == V3) data = abi.encodePacked(data, s.tokenIn);
        if (s.mode == EXACT || s.mode == PREFUNDED) data = abi.encodePacked(data, s.amount);
    }

    /// @notice A step of V4, Balancer or Curve; `detail` without the bought token.
    function step(address[] memory tokens, Step memory s, bool sellsToken0, bytes memory detail)
        internal
        pure
        returns (bytes memory)
    {
        uint8 op = s.kind | (sellsToken0 ? 8 : 0) | (s.mode << 4) | (s.to << 6);
        bytes memory amount = s.mode == EXACT ? abi.encodePacked(s.amount) : bytes("");
        return abi.encodePacked(op, s.pool, tokens[s.tokenOut], detail, s.tokenIn, amount);
    }
}
