"""Whatever the weights, a vault accepts them, and no cap is broken."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keeper.policy.targets import capped, to_wads

sizes = arrays(np.float64, st.integers(1, 32), elements=st.floats(1e-6, 1e6))


@given(sizes)
def test_weights_sum_to_one_to_the_wei(found):
    wads = to_wads(found)
    assert sum(wads) == 10**18
    assert min(wads) >= 0
    assert np.allclose(
        np.array(wads) / 1e18, found / found.sum(), atol=2e-8
    )  # nine places, and the largest has the rounding of all


@given(sizes, st.floats(0.01, 1))
def test_no_weight_is_above_the_cap_and_the_order_is_kept(found, most):
    weights = found / found.sum()
    assume(most * len(weights) >= 1 + 1e-9)
    out = capped(weights, most)
    assert abs(out.sum() - 1) < 1e-9
    assert (out <= most * (1 + 1e-9)).all()
    assert (out >= weights.clip(max=most) - 1e-12).all()  # nobody below the cap loses by it
    order = np.argsort(weights)
    assert (np.diff(out[order]) >= -1e-12).all()
    below = out < most * (1 - 1e-9)
    ratios = out[below] / weights[below]
    assert np.allclose(ratios, ratios[:1], rtol=1e-6)  # what is not capped keeps its proportions
