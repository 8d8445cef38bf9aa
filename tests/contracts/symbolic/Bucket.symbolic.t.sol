// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Bucket} from "../../../contracts/libraries/Bucket.sol";

/// @notice What is proven of the leaky bucket, and with it of the budgets over any closed span.
/// @dev    Run by halmos (`make prove`), not by forge. Fractions are proven up to 1,000% of NAV, times up to 30 years.
contract BucketSymbolic {
    uint256 internal constant FRACTIONS = 10e18;
    uint256 internal constant TIMES = 1e9;

    function check_no_level_rises_by_waiting(uint256 level, uint256 capacity, uint256 elapsed, uint256 window)
        external
        pure
    {
        assert(_drained(level, capacity, elapsed, window) <= level);
    }

    function check_the_drain_is_rounded_down(uint256 level, uint256 capacity, uint256 elapsed, uint256 window)
        external
        pure
    {
        uint256 left = _drained(level, capacity, elapsed, window);
        assert(left * window + capacity * elapsed >= level * window);
    }

    function check_a_wait_drains_at_most_the_capacity(uint256 level, uint256 capacity, uint256 elapsed, uint256 window)
        external
        pure
    {
        assert(_drained(level, capacity, elapsed, window) + capacity >= level);
    }

    function check_a_window_drains_a_full_bucket(uint256 level, uint256 capacity, uint256 elapsed, uint256 window)
        external
        pure
    {
        if (level > capacity || elapsed < window) return;
        assert(_drained(level, capacity, elapsed, window) == 0);
    }

    function check_who_waits_longer_finds_no_less_room(
        uint256 level,
        uint256 capacity,
        uint256 elapsed,
        uint256 more,
        uint256 window
    ) external pure {
        if (more < elapsed) return;
        assert(_drained(level, capacity, more, window) <= _drained(level, capacity, elapsed, window));
    }

    function check_waiting_in_two_parts_drains_no_more(
        uint256 level,
        uint256 capacity,
        uint256 first,
        uint256 second,
        uint256 window
    ) external pure {
        if (first + second > window) return;
        uint256 left = _drained(_drained(level, capacity, first, window), capacity, second, window);
        assert(left >= _drained(level, capacity, first + second, window));
    }

    /// @dev The theorem for a span of three batches that begins with any level; longer ones repeat the step.
    function check_a_span_takes_at_most_its_share(
        uint256 level,
        uint256[3] memory pours,
        uint256[2] memory waits,
        uint256 capacity,
        uint256 window
    ) external pure {
        for (uint256 i; i < 3; ++i) {
            if (i != 0) level = _drained(level, capacity, waits[i - 1], window);
            if (pours[i] > FRACTIONS || level + pours[i] > capacity) return;
            level += pours[i];
        }
        uint256 taken = pours[0] + pours[1] + pours[2];
        assert(taken * window <= capacity * (window + waits[0] + waits[1]));
    }

    function _drained(uint256 level, uint256 capacity, uint256 elapsed, uint256 window)
        internal
        pure
        returns (uint256)
    {
        // A path that reverts proves nothing and refutes nothing.
        if (level > FRACTIONS || capacity > FRACTIONS || elapsed > TIMES || window == 0 || window > TIMES) revert();
        return Bucket.drained(level, capacity, elapsed, window);
    }
}
