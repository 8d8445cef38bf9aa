"""What is wanted of the net trades."""

from __future__ import annotations

from typing import NamedTuple

from keeper.routing.jit import Floats


def slope(penalty: Floats, distance: Floats) -> Floats:
    """Q d, the slope of d Q d / 2, for distances d, shape (n,). ``penalty`` is Q: (1, n) if diagonal, else (n, n)."""
    return penalty[0] * distance if len(penalty) == 1 else penalty @ distance


class Goal(NamedTuple):
    """What is wanted of the net trades, in nominal dollars by place in the market's tokens; shape (n,) each.

    ``gain`` is what a nominal dollar more is worth; ``excess`` is value less target value; ``low`` and ``high`` bound
    the trade; ``penalty`` is Q, as one row (1, n) if it is diagonal, else (n, n). ``rows @ psi <= bounds`` are further
    limits; shapes (m, n) and (m,). ``nav`` is the basket's value.
    """

    nav: float
    gain: Floats
    excess: Floats
    low: Floats
    high: Floats
    penalty: Floats
    rows: Floats
    bounds: Floats

    def after(self, done: Floats) -> Goal:
        """What is left to want when net trades ``done`` have been made."""
        return self._replace(
            excess=self.excess + done,
            low=self.low - done,
            high=self.high - done,
            bounds=self.bounds - self.rows @ done,
        )

    def wanting(self, more: float) -> Goal:
        """The same where a dollar is worth ``more`` dollars more, of whatever it is: so less of an asset is no gain."""
        return self._replace(gain=self.gain + more)

    def priced(self, nu: Floats, multipliers: Floats) -> Goal:
        """What is left to gain where a trade costs ``nu``, and the multipliers what it takes of the limits."""
        return self._replace(gain=self.gain - nu - multipliers @ self.rows)

    def worth(self, psi: Floats) -> float:
        """The objective of net trades ``psi``, gas aside."""
        distance = self.excess + psi
        return float(self.gain @ psi - distance @ slope(self.penalty, distance) / 2)
