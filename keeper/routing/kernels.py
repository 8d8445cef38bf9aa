"""Numba kernels: what a pool does at given prices, and the damped Newton method on the dual.

Everything here is in *nominal dollars*: raw units times a fixed scale per token, so that prices are near one. A *curve*
is one pair of tokens of one pool, ``a`` and ``b``. At token prices ``nu`` (nominal dollars) a curve trades until its
marginal price, fee included, is the market's; what that earns is ``arb = nu_out * out - nu_in * in``, a convex function
of the prices whose gradient is the trade. For every curve the trade has a closed form, except for stable pools, where
it takes a few Newton steps in one variable.

Layout of ``params[curve]``:

=========  ==================================================================================================
CONSTANT   liquidity L, square root s of the price of a in b, part g of the input that is left after the fee
TICKS      s, g, then the first row and the number of rows in ``segments``, downwards and upwards
WEIGHTED   balances of a and b, weights of a and b, g, largest input as a part of the balance
STABLE     normalised balances of a and b, g of the input, part of the output that is paid, D, D / (A n),
           sum of the other balances, D**(n+1) / (n**n A n prod(others)), nominal dollars per normalised unit of a and b
=========  ==================================================================================================

A row of ``segments`` is a stretch without an initialised tick: where it starts and ends (square roots of the price),
its liquidity, and what all stretches before it take (before the fee) and pay.
"""

from math import inf, sqrt
from typing import NamedTuple

import numpy as np

from keeper.routing.goal import Goal
from keeper.routing.jit import Floats, Ints, kernel

CONSTANT, TICKS, WEIGHTED, STABLE = 0, 1, 2, 3
PARAMS = 10
SEGMENT = 5
MOST = 5
"""Where the parameters of a weighted curve have what may come in at once, as a part of the balance."""

LEAST_PRICE = 1e-12
"""Prices stay above this: only a token that nobody takes any more of could be worth less."""

_RIDGE = 1e-13
_LONGEST = 2.0
_FLAT = 0.5
_LEVEL = 0.01
"""A direction whose second derivative is less than this part of its first counts as flat."""
_ATTEMPTS = 30
_TOLERANCE = 1e-11
"""Imbalance at which the dual has converged, as a part of the basket's value."""
_GOOD_ENOUGH = 1e-8
"""Imbalance, as a part of the basket's value, above which the kinks are rounded off."""
_ROUGHLY = 1e-4
"""The same where the dual is smoothed: its prices need not be exact."""
_STEPS = 200
_FEW_STEPS = 20
"""Steps after which limits are taken to be too much for it as they are."""
_FIRST_MULTIPLIER = 0.1
_BLURS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10, 1e-12)
"""Barriers at the limits, in turn, as parts of the basket's value."""
_STABLE_STEPS = 60
_INSIDE_STEPS = 100
_BACK = 0.9
"""Part of a price or a multiplier that one step takes at most, where it must stay above zero."""
_FORTH = 10.0
"""And what it adds at most, as a multiple."""
_CLOSE = 1e3
_PATIENCE = 6


class Curves(NamedTuple):
    """Curves by place: ``kinds``, tokens ``a`` and ``b`` by place, and the arrays whose layout stands above."""

    kinds: Ints
    a: Ints
    b: Ints
    params: Floats
    segments: Floats


class Answers(NamedTuple):
    """What each curve does: its way (1: it takes a, -1: b, 0: nothing), nominal amounts, and what that earns."""

    ways: Ints
    amounts_in: Floats
    amounts_out: Floats
    earned: Floats


@kernel
def _constant(liquidity: float, s: float, kept: float, ratio: float) -> tuple[int, float, float, float]:
    if kept * s * s > ratio:
        end = sqrt(ratio / kept)
        return 1, liquidity * (1 / end - 1 / s) / kept, liquidity * (s - end), liquidity / (2 * kept * end)
    if kept * ratio > s * s:
        end = sqrt(kept * ratio)
        return -1, liquidity * (end - s) / kept, liquidity * (1 / s - 1 / end), liquidity * end / (2 * kept)
    return 0, 0.0, 0.0, 0.0


@kernel
def _ticks(params: Floats, segments: Floats, ratio: float) -> tuple[int, float, float, float]:
    s, kept = params[0], params[1]
    if kept * s * s > ratio:
        first, rows, down = int(params[2]), int(params[3]), True
        end = sqrt(ratio / kept)
    elif kept * ratio > s * s:
        first, rows, down = int(params[4]), int(params[5]), False
        end = sqrt(kept * ratio)
    else:
        return 0, 0.0, 0.0, 0.0
    if rows == 0:
        return 0, 0.0, 0.0, 0.0
    # The first row whose end is not passed.
    low, high = 0, rows - 1
    while low < high:
        middle = (low + high) // 2
        bound = segments[first + middle, 1]
        if (end < bound) if down else (end > bound):
            low = middle + 1
        else:
            high = middle
    start, bound, liquidity, taken, paid = segments[first + low]
    clamped = (end < bound) if down else (end > bound)
    if clamped:
        end = bound
    if down:
        amount_in = (taken + liquidity * (1 / end - 1 / start)) / kept
        amount_out = paid + liquidity * (start - end)
        return 1, amount_in, amount_out, 0.0 if clamped else liquidity / (2 * kept * end)
    amount_in = (taken + liquidity * (end - start)) / kept
    amount_out = paid + liquidity * (1 / start - 1 / end)
    return -1, amount_in, amount_out, 0.0 if clamped else liquidity * end / (2 * kept)


@kernel
def _weighted_one_way(
    into: float, out_of: float, exponent: float, kept: float, most: float, ratio: float
) -> tuple[float, float, float]:
    """Amounts and curvature of selling; ``ratio`` is the price of what is sold in what is bought."""
    # The marginal price, out_of * exponent * kept * into**exponent / (into + kept x)**(exponent + 1), equals the ratio.
    filled = into * (out_of * exponent * kept / (into * ratio)) ** (1 / (exponent + 1))
    amount_in = (filled - into) / kept
    if amount_in > most * into:
        amount_in = most * into
        filled = into + kept * amount_in
        return amount_in, out_of * -np.expm1(-exponent * np.log(filled / into)), 0.0
    return amount_in, out_of * -np.expm1(-exponent * np.log(filled / into)), filled / ((exponent + 1) * kept)


@kernel
def _weighted(params: Floats, ratio: float) -> tuple[int, float, float, float]:
    of_a, of_b, weight_a, weight_b, kept, most = params[0], params[1], params[2], params[3], params[4], params[MOST]
    spot = of_b * weight_a / (of_a * weight_b)
    if kept * spot > ratio:
        amount_in, amount_out, curvature = _weighted_one_way(of_a, of_b, weight_a / weight_b, kept, most, ratio)
        return 1, amount_in, amount_out, curvature
    if kept * ratio > spot:
        amount_in, amount_out, curvature = _weighted_one_way(of_b, of_a, weight_b / weight_a, kept, most, 1 / ratio)
        return -1, amount_in, amount_out, curvature
    return 0, 0.0, 0.0, 0.0


@kernel
def stable_balance(params: Floats, x: float) -> tuple[float, float, float]:
    """The balance y that keeps D when the other one is x, its slope -dy/dx, and the slope's derivative.

    y is the positive root of y**2 + (x + others + D/(A n) - D) y = c / x.
    """
    invariant, share, others, product = params[4], params[5], params[6], params[7]
    c = product / x
    b = x + others + share - invariant
    root = sqrt(b * b + 4 * c)
    y = (root - b) / 2 if b < 0 else 2 * c / (root + b)
    top = y + c / x
    slope = top / root  # root == 2 y + b
    top_change = -slope - 2 * c / (x * x)
    bottom_change = 1 - 2 * slope
    return y, slope, (top_change * root - top * bottom_change) / (root * root)


@kernel
def _stable_one_way(
    params: Floats, x0: float, y0: float, kept: float, paid: float, wanted: float
) -> tuple[float, float, float]:
    """Normalised amounts of selling until the slope has fallen to ``wanted``, and the slope's derivative there."""
    low, high = x0, x0
    step = x0
    while True:
        high = x0 + step
        _, slope, _ = stable_balance(params, high)
        if slope <= wanted or step > 1e6 * x0:
            break
        low = high
        step *= 4
    x = (low + high) / 2
    y, slope, change = stable_balance(params, x)
    for _ in range(_STABLE_STEPS):
        if slope > wanted:
            low = x
        else:
            high = x
        following = x + (wanted - slope) / change
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - x) <= 1e-15 * x:
            break
        x = following
        y, slope, change = stable_balance(params, x)
    return (x - x0) / kept, (y0 - y) * paid, change


@kernel
def _stable(params: Floats, ratio: float) -> tuple[int, float, float, float]:
    of_a, of_b, kept, paid, unit_a, unit_b = params[0], params[1], params[2], params[3], params[8], params[9]
    through = kept * paid
    normalised = ratio * unit_a / unit_b
    level, slope, _ = stable_balance(params, of_a)
    if slope * through > normalised:
        x, y, change = _stable_one_way(params, of_a, level, kept, paid, normalised / through)
        # out'' = -paid * kept**2 * y'', in normalised units.
        curvature = -normalised / (paid * kept * kept * change)
        return 1, x * unit_a, y * unit_b, curvature * unit_a
    if normalised * through > slope:
        x, y, change = _stable_one_way(params, of_b, of_a, kept, paid, 1 / (normalised * through))
        curvature = -1 / (normalised * paid * kept * kept * change)
        return -1, x * unit_b, y * unit_a, curvature * unit_b
    return 0, 0.0, 0.0, 0.0


@kernel
def trade(kind: int, params: Floats, segments: Floats, ratio: float) -> tuple[int, float, float, float]:
    """What a curve trades at the price ``ratio`` of a in b.

    Returns:
        1 if it takes a, -1 if it takes b, 0 if it does nothing; the amounts in and out; and how much less it takes when
        the price of what it takes rises, per unit of its logarithm.
    """
    if kind == CONSTANT:
        return _constant(params[0], params[1], params[2], ratio)
    if kind == TICKS:
        return _ticks(params, segments, ratio)
    if kind == WEIGHTED:
        return _weighted(params, ratio)
    return _stable(params, ratio)


@kernel
def _inside(c: float, excess: float, low: float, high: float, curve: float, blur: float) -> tuple[float, float]:
    """Where c - curve (excess + psi) + blur / (psi - low) - blur / (high - psi) is zero, and its derivative by c.

    It is sought as a distance from the nearer end, so that what is close to one keeps all its digits.
    """
    width = high - low
    from_low = c / curve - excess < low + width / 2
    # Seen from the nearer end: the force there without barriers, and the distance that it leaves.
    force = c - curve * (excess + low) if from_low else curve * (excess + high) - c
    under, over = 0.0, min(width, max(force, 0.0) / curve + sqrt(blur / curve))
    away = min(over / 2, -blur / force) if force < 0 else over / 2
    bend = curve
    for _ in range(_INSIDE_STEPS):
        pull = force - curve * away + blur / away - blur / (width - away)
        bend = curve + blur / (away * away) + blur / (width - away) ** 2
        if pull > 0:
            under = away
        else:
            over = away
        following = away + pull / bend
        if not under < following < over:
            following = (under + over) / 2
        if abs(following - away) <= 1e-12 * min(away, width - away):
            break
        away = following
    return low + away if from_low else high - away, 1 / bend


@kernel
def _all_inside(c: Floats, goal: Goal, blur: float, psi: Floats, slope: Floats) -> None:
    """As `_inside` for all at once, where distances add up by a matrix; ``slope`` becomes the derivative by c."""
    excess, low, high, penalty = goal.excess, goal.low, goal.high, goal.penalty
    free = np.flatnonzero(low < high)
    count = len(free)
    if count == 0:
        psi[:] = low
        return
    under, over = np.empty(count), np.empty(count)
    for j in range(count):
        i = free[j]
        width = high[i] - low[i]
        under[j] = psi[i] - low[i] if low[i] < psi[i] < high[i] else min(width / 2, 1.0)
        over[j] = width - under[j]
    psi[:] = low
    for j in range(count):
        psi[free[j]] = low[free[j]] + under[j]
    block, right = np.empty((count, count)), np.empty(count)
    for _ in range(_INSIDE_STEPS):
        pull = c - penalty @ (excess + psi)
        for j in range(count):
            right[j] = pull[free[j]] + blur / under[j] - blur / over[j]
            for k in range(count):
                block[j, k] = penalty[free[j], free[k]]
            block[j, j] += blur / (under[j] * under[j]) + blur / (over[j] * over[j])
        step = np.linalg.solve(block, right)
        rise = float(step @ right)
        part, small = 1.0, True
        for j in range(count):
            small = small and abs(step[j]) <= 1e-10 * min(under[j], over[j])
            if step[j] < 0:
                part = min(part, 0.9 * under[j] / -step[j])
            elif step[j] > 0:
                part = min(part, 0.9 * over[j] / step[j])
        if small or not rise > 0:
            break
        # What is sought is concave: where its slope along the step has turned, the step was too long.
        for _ in range(_ATTEMPTS):
            along = 0.0
            for j in range(count):
                psi[free[j]] = low[free[j]] + under[j] + part * step[j]
            pull = c - penalty @ (excess + psi)
            for j in range(count):
                near, far = under[j] + part * step[j], over[j] - part * step[j]
                along += step[j] * (pull[free[j]] + blur / near - blur / far)
            if along >= -_FLAT * rise:
                break
            part /= 2
        for j in range(count):
            under[j] += part * step[j]
            over[j] -= part * step[j]
    inverse = np.linalg.inv(block)
    for j in range(count):
        for k in range(count):
            slope[free[j], free[k]] = inverse[j, k]


@kernel
def _newton_step(gradient: Floats, penalty: Floats, free: Ints) -> Floats:
    """By how much the ``free`` variables, by place, change to where their part of the gradient is zero."""
    count = len(free)
    block = np.empty((count, count))
    right = np.empty(count)
    for i in range(count):
        right[i] = gradient[free[i]]
        for j in range(count):
            block[i, j] = penalty[free[i], free[j]]
    step: Floats = np.linalg.solve(block, right)
    return step


@kernel
def _from_face_to_face(c: Floats, goal: Goal, psi: Floats) -> None:
    """The maximiser of `respond`, ``psi`` inside the box being the first guess, where the penalty is nearly singular.

    The primal active-set method: to the maximiser on the face of the box that ``psi`` is on, or as far as the first
    bound in the way, which then holds; at the maximiser the bound is let go that costs most. It never gets worse, and
    with more and more bounds it needs more steps than Newton's method with projection, which may get stuck.
    """
    n = len(c)
    excess, low, high, penalty = goal.excess, goal.low, goal.high, goal.penalty
    held = np.empty(n, dtype=np.bool_)
    for i in range(n):
        held[i] = psi[i] <= low[i] or psi[i] >= high[i]
    free = np.empty(n, dtype=np.int64)
    for _ in range(20 * n + 50):
        gradient = c - penalty @ (excess + psi)
        count = 0
        for i in range(n):
            if not held[i]:
                free[count] = i
                count += 1
        step = _newton_step(gradient, penalty, free[:count])
        part = 1.0
        blocking = -1
        for i in range(count):
            k = free[i]
            bound = high[k] if step[i] > 0 else low[k]
            if step[i] != 0 and (bound - psi[k]) / step[i] < part:
                part = max((bound - psi[k]) / step[i], 0.0)
                blocking = k
        for i in range(count):
            psi[free[i]] += part * step[i]
        if blocking >= 0:
            psi[blocking] = (
                low[blocking] if psi[blocking] - low[blocking] < high[blocking] - psi[blocking] else high[blocking]
            )
            held[blocking] = True
            continue
        gradient = c - penalty @ (excess + psi)
        most, costly = 1e-13, -1
        for i in range(n):
            inwards = gradient[i] if psi[i] <= low[i] else -gradient[i]
            if held[i] and low[i] < high[i] and inwards > most:
                most, costly = inwards, i
        if costly < 0:
            return
        held[costly] = False


@kernel
def respond(c: Floats, goal: Goal, blur: float, psi: Floats, slope: Floats) -> float:
    """The most of c.psi - (excess + psi) Q (excess + psi) / 2 between the goal's bounds.

    ``psi`` is the first guess and becomes the maximiser; ``slope`` becomes its derivative by c. With ``blur`` above 0
    the maximiser is that with a barrier of blur * log(psi - low) + blur * log(high - psi), and so smooth in c.
    """
    n = len(c)
    excess, low, high, penalty = goal.excess, goal.low, goal.high, goal.penalty
    slope[:] = 0.0
    total = 0.0
    if penalty.shape[0] == 1:
        for i in range(n):
            best = -excess[i] + c[i] / penalty[0, i]
            if blur > 0 and low[i] < high[i]:
                psi[i], slope[i, i] = _inside(c[i], excess[i], low[i], high[i], penalty[0, i], blur)
            elif best <= low[i]:
                psi[i] = low[i]
            elif best >= high[i]:
                psi[i] = high[i]
            else:
                psi[i] = best
                slope[i, i] = 1 / penalty[0, i]
            distance = excess[i] + psi[i]
            total += c[i] * psi[i] - penalty[0, i] * distance * distance / 2
        return total
    if blur > 0:
        _all_inside(c, goal, blur, psi, slope)
        return float(c @ psi - (excess + psi) @ (penalty @ (excess + psi)) / 2)
    # Projected Newton: on the variables that are not held at a bound the maximiser is a linear system.
    for i in range(n):
        psi[i] = min(max(psi[i], low[i]), high[i])
    free = np.empty(n, dtype=np.int64)
    settled = False
    for _ in range(20):
        gradient = c - penalty @ (excess + psi)
        count = 0
        size = 0.0
        for i in range(n):
            if (psi[i] <= low[i] and gradient[i] <= 0) or (psi[i] >= high[i] and gradient[i] >= 0):
                continue
            free[count] = i
            count += 1
            size = max(size, abs(gradient[i]))
        value = float(c @ psi - (excess + psi) @ (penalty @ (excess + psi)) / 2)
        if count == 0 or size <= 1e-13:
            settled = True
            break
        step = _newton_step(gradient, penalty, free[:count])
        part = 1.0
        improved = False
        while part > 0.1:
            trial = psi.copy()
            for i in range(count):
                k = free[i]
                trial[k] = min(max(psi[k] + part * step[i], low[k]), high[k])
            reached = c @ trial - (excess + trial) @ (penalty @ (excess + trial)) / 2
            if reached > value:
                psi[:] = trial
                improved = True
                break
            part /= 2
        if not improved:
            break
    if not settled:
        _from_face_to_face(c, goal, psi)
    count = 0
    for i in range(n):
        if low[i] < psi[i] < high[i]:
            free[count] = i
            count += 1
    if count:
        block = np.empty((count, count))
        for i in range(count):
            for j in range(count):
                block[i, j] = penalty[free[i], free[j]]
        inverse = np.linalg.inv(block)
        for i in range(count):
            for j in range(count):
                slope[free[i], free[j]] = inverse[i, j]
    return float(c @ psi - (excess + psi) @ (penalty @ (excess + psi)) / 2)


@kernel
def dual(
    nu: Floats,
    multipliers: Floats,
    curves: Curves,
    on: Ints,
    goal: Goal,
    toll: Floats,
    softness: float,
    blur: float,
    psi: Floats,
    slope: Floats,
    gradient: Floats,
    hessian: Floats,
    second_order: bool,
) -> float:
    """The dual function at token prices ``nu`` and constraint multipliers, with its gradient and Hessian by both.

    With ``softness`` above 0 a curve that costs ``toll`` to use contributes softplus(arb - toll), which is smooth and
    at most softness * ln 2 more than max(0, arb - toll); with 0 it contributes arb. With ``blur`` above 0 it is the
    dual of the problem with a logarithmic barrier at every bound and limit, in value without the barriers' own.
    """
    n, m = len(nu), len(multipliers)
    rows, bounds = goal.rows, goal.bounds
    c = goal.gain - nu
    for k in range(m):
        for i in range(n):
            c[i] -= multipliers[k] * rows[k, i]
    total = respond(c, goal, blur, psi, slope)
    gradient[:] = 0.0
    for i in range(n):
        gradient[i] = -psi[i] + blur * (1 - 1 / nu[i])
    for k in range(m):
        total += multipliers[k] * bounds[k]
        gradient[n + k] = bounds[k]
        for i in range(n):
            gradient[n + k] -= rows[k, i] * psi[i]
        if blur > 0:
            gradient[n + k] -= blur / multipliers[k]
    if second_order:
        hessian[:] = 0.0
        hessian[:n, :n] = slope
        if m:
            mixed = rows @ slope
            hessian[n:, :n] = mixed
            hessian[:n, n:] = mixed.T
            hessian[n:, n:] = mixed @ rows.T
            for k in range(m):
                hessian[n + k, n + k] += blur / (multipliers[k] * multipliers[k]) if blur > 0 else 0.0
        for i in range(n):
            hessian[i, i] += blur / (nu[i] * nu[i])
    kinds, a, b, params, segments = curves
    for e in range(len(kinds)):
        if not on[e]:
            continue
        i, j = a[e], b[e]
        way, amount_in, amount_out, curvature = trade(kinds[e], params[e], segments, nu[i] / nu[j])
        if way == 0:
            continue
        if way < 0:
            i, j = j, i
        arb = nu[j] * amount_out - nu[i] * amount_in
        weight = 1.0
        if softness > 0:
            over = (arb - toll[e]) / softness
            if over < -40:
                continue
            weight = 1 / (1 + np.exp(-over))
            total += softness * (over if over > 40 else np.log1p(np.exp(over)))
            if second_order:
                bend = weight * (1 - weight) / softness
                hessian[i, i] += bend * amount_in * amount_in
                hessian[i, j] -= bend * amount_in * amount_out
                hessian[j, i] -= bend * amount_in * amount_out
                hessian[j, j] += bend * amount_out * amount_out
        else:
            total += arb
        gradient[i] -= weight * amount_in
        gradient[j] += weight * amount_out
        if second_order and curvature > 0:
            # Of degree one in the prices, so the block is rank one: curvature * nu_i * (1/nu_i, -1/nu_j) squared.
            curvature *= weight
            hessian[i, i] += curvature / nu[i]
            hessian[i, j] -= curvature / nu[j]
            hessian[j, i] -= curvature / nu[j]
            hessian[j, j] += curvature * nu[i] / (nu[j] * nu[j])
    return total


@kernel
def minimise(
    nu: Floats,
    multipliers: Floats,
    curves: Curves,
    on: Ints,
    goal: Goal,
    toll: Floats,
    softness: float,
    blur: float,
    psi: Floats,
    pinned: bool,
    tolerance: float,
    floor: float,
    most_steps: int,
) -> tuple[float, int, float]:
    """Damped Newton on the dual; ``nu``, ``multipliers`` and ``psi`` are the first guess and become the minimiser.

    If ``pinned``, the prices stay as they are. It stops where the dual is below ``floor``.

    Returns:
        The dual's value, the steps taken, and the largest imbalance between what is wanted and what the pools do.
    """
    n, m = len(nu), len(multipliers)
    size = n + m
    gradient = np.empty(size)
    hessian = np.empty((size, size))
    slope = np.empty((n, n))
    value = dual(nu, multipliers, curves, on, goal, toll, softness, blur, psi, slope, gradient, hessian, True)
    imbalance, least, since = inf, inf, 0
    for steps in range(most_steps):
        if value < floor:
            return value, steps, inf
        free = np.empty(size, dtype=np.int64)
        count = 0
        for i in range(size):
            if i < n:
                held = pinned or (nu[i] <= LEAST_PRICE and gradient[i] > 0)
            else:
                held = multipliers[i - n] <= 0 and gradient[i] > 0
            if not held:
                free[count] = i
                count += 1
        if count == 0:
            return value, steps, 0.0
        imbalance = 0.0
        for i in range(count):
            imbalance = max(imbalance, abs(gradient[free[i]]))
        if imbalance < least / 2:
            least, since = imbalance, 0
        else:
            since += 1
        # Close by, where it falls no more, it is the rounding of pools far deeper than the basket.
        if imbalance <= tolerance or (since >= _PATIENCE and imbalance <= _CLOSE * tolerance):
            return value, steps, imbalance
        # In logarithms of the prices: a token that trades at a tenth or at ten times is scaled like any other.
        block = np.empty((count, count))
        right = np.empty(count)
        largest = 0.0
        for i in range(count):
            fi = free[i]
            scale_i = nu[fi] if fi < n else 1.0
            right[i] = -gradient[fi] * scale_i
            for j in range(count):
                fj = free[j]
                scale_j = nu[fj] if fj < n else 1.0
                block[i, j] = hessian[fi, fj] * scale_i * scale_j
            largest = max(largest, block[i, i])
        for i in range(count):
            # Where the dual is flat in one direction, that one takes a short step and does not hold up the rest.
            flat = _LEVEL * abs(right[i])
            if block[i, i] < flat and blur == 0:
                block[i, i] += abs(right[i]) / _LONGEST
            block[i, i] += _RIDGE * (block[i, i] + 1e-4 * largest) + 1e-9 * _RIDGE * imbalance
        step = np.linalg.solve(block, right)
        downhill = 0.0
        longest = 0.0
        for i in range(count):
            downhill -= step[i] * right[i]
            if free[i] < n:
                longest = max(longest, abs(step[i]))
            else:
                longest = max(longest, abs(step[i]) / (1 + multipliers[free[i] - n]))
        if not downhill < 0:
            return value, steps, imbalance
        # The dual is convex: where its slope along the step turns, the step is too long. Unlike its value, which
        # rounding blurs near the minimum, the slope tells to the end.
        old_nu, old_multipliers, old_psi = nu.copy(), multipliers.copy(), psi.copy()
        short, long = 0.0, min(1.0, _LONGEST / longest) if longest > 0 else 1.0
        if blur > 0:
            # Barriers are mild along straight lines, and the prices and multipliers have to stay above zero.
            long = 1.0
            for i in range(count):
                ahead = step[i] if free[i] < n else step[i] / multipliers[free[i] - n]
                if ahead < -_BACK:
                    long = min(long, -_BACK / ahead)
                elif ahead > _FORTH:
                    long = min(long, _FORTH / ahead)
        at_short, at_long = downhill, 0.0
        part = long
        for attempt in range(_ATTEMPTS):
            for i in range(count):
                fi = free[i]
                if fi < n and blur > 0:
                    nu[fi] = old_nu[fi] * (1 + part * step[i])
                elif fi < n:
                    nu[fi] = max(old_nu[fi] * np.exp(part * step[i]), LEAST_PRICE)
                else:
                    multipliers[fi - n] = max(old_multipliers[fi - n] + part * step[i], 0.0)
            psi[:] = old_psi
            dual(nu, multipliers, curves, on, goal, toll, softness, blur, psi, slope, gradient, hessian, False)
            along = 0.0
            for i in range(count):
                fi = free[i]
                if fi < n:
                    along += gradient[fi] * (old_nu[fi] if blur > 0 else nu[fi]) * step[i]
                elif multipliers[fi - n] > 0:
                    along += gradient[fi] * step[i]
            if along <= -_FLAT * downhill and (along >= _FLAT * downhill or attempt == 0):
                break
            if along > 0:
                long, at_long = part, along
            else:
                short, at_short = part, along
            part = short + (long - short) * at_short / (at_short - at_long)
            margin = 0.1 * (long - short)
            part = min(max(part, short + margin), long - margin)
        value = dual(nu, multipliers, curves, on, goal, toll, softness, blur, psi, slope, gradient, hessian, True)
    return value, most_steps, imbalance


@kernel
def trades(nu: Floats, curves: Curves, answers: Answers) -> None:
    """Writes what every curve does at prices ``nu``."""
    kinds, a, b, params, segments = curves
    ways, amounts_in, amounts_out, earned = answers
    for e in range(len(kinds)):
        i, j = a[e], b[e]
        way, amount_in, amount_out, _ = trade(kinds[e], params[e], segments, nu[i] / nu[j])
        if way < 0:
            i, j = j, i
        ways[e], amounts_in[e], amounts_out[e] = way, amount_in, amount_out
        earned[e] = nu[j] * amount_out - nu[i] * amount_in


@kernel
def _leave_alone(nu: Floats, multipliers: Floats, touched: Ints, goal: Goal, psi: Floats) -> None:
    """Change the prices of tokens that are not ``touched`` just so far that no change of them is wanted."""
    n = len(nu)
    for i in range(n):
        if touched[i]:
            continue
        psi[i] = 0.0
    for i in range(n):
        if touched[i]:
            continue
        worth = goal.gain[i]
        for k in range(len(multipliers)):
            worth -= multipliers[k] * goal.rows[k, i]
        if goal.penalty.shape[0] == 1:
            worth -= goal.penalty[0, i] * goal.excess[i]
        else:
            for j in range(n):
                worth -= goal.penalty[i, j] * (goal.excess[j] + psi[j])
        if (goal.low[i] < 0 and nu[i] > worth) or (goal.high[i] > 0 and nu[i] < worth):
            nu[i] = max(worth, LEAST_PRICE)


@kernel
def solve(
    nu: Floats,
    multipliers: Floats,
    curves: Curves,
    on: Ints,
    goal: Goal,
    toll: Floats,
    softness: float,
    psi: Floats,
    pinned: bool,
    floor: float,
    answers: Answers,
) -> tuple[float, int, float]:
    """The least of the dual over the curves that are ``on``, as `minimise`, and all `trades` at its prices.

    Newton's method as it is, and where it gets stuck between kinks, barriers that round them off less and less. If
    ``pinned``, only the multipliers are sought. What no curve trades does not change, at a price that fits.

    Returns:
        The value at the prices found, the steps taken, and the imbalance; infinite if the value is below ``floor``.
    """
    n, limited, nav = len(nu), len(multipliers) > 0, goal.nav
    touched = np.zeros(n, dtype=np.int64)
    for e in range(len(on)):
        if on[e]:
            touched[curves.a[e]] = touched[curves.b[e]] = 1
    least, most = goal.low.copy(), goal.high.copy()
    apart = 0
    for i in range(n):
        if not touched[i] and not pinned and goal.low[i] < goal.high[i]:
            least[i] = most[i] = 0.0
            apart += 1
    still = Goal(nav, goal.gain, goal.excess, least, most, goal.penalty, goal.rows, goal.bounds)
    value, steps, imbalance = minimise(
        nu, multipliers, curves, on, still, toll, softness, 0.0, psi, pinned, _TOLERANCE * nav, floor,
        _FEW_STEPS if limited else _STEPS,
    )  # fmt: skip
    if imbalance > (_GOOD_ENOUGH if softness == 0 else _ROUGHLY) * nav and not value < floor:
        multipliers[:] = _FIRST_MULTIPLIER
        if not pinned:
            nu[:] = 1.0
        for blur in _BLURS:
            _, more, imbalance = minimise(
                nu, multipliers, curves, on, still, toll, softness, blur * nav, psi, pinned,
                max(_TOLERANCE, blur / 10) * nav, -inf, _STEPS,
            )  # fmt: skip
            steps += more
            value, _, _ = minimise(nu, multipliers, curves, on, still, toll, softness, 0.0, psi, pinned, 0.0, -inf, 0)
            if value < floor:
                imbalance = inf
                break
    if apart:
        _leave_alone(nu, multipliers, touched, goal, psi)
        value, _, _ = minimise(nu, multipliers, curves, on, goal, toll, softness, 0.0, psi, pinned, 0.0, -inf, 0)
    trades(nu, curves, answers)
    return value, steps, imbalance
