"""From trades in floats to swaps in raw units, in an order that the executor can carry out.

The executor starts with what the vault sends and nothing else. A token of the basket may be spent before it has been
bought, as far as the vault's balance of it goes (working capital); any other token must have come in first. Where
trades wait for each other in a circle, part of one is done as soon as some of its input is there, so a pool may appear
twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from keeper.domain import Swap
from keeper.pools import BasePool, SwapError, Swapped

_LAPS = 48
"""Partial swaps after which a circle is given up."""
_ROUNDING = 10**6
"""What comes in and goes out of an asset is the same if it differs by less than this part, as a reciprocal."""
_SHY = (0, 10**13, 10**10, 10**7)
"""What the solver's floats may be too high by, in turn, as the reciprocal of a part."""


@dataclass(frozen=True)
class Trade:
    """So many raw units into a pool, to be put in order."""

    pool: str
    token_in: str
    token_out: str
    amount_in: int


@dataclass
class Ledger:
    """Swaps in order, exactly simulated, and where they leave everything.

    ``pools`` by name as the swaps have left them; ``balances`` the vault's before the first one, by token of the
    basket; ``change`` the net change of every token; ``sent`` what the vault must send out first: the largest shortfall
    of each token of the basket while the swaps run.
    """

    pools: dict[str, BasePool]
    balances: Mapping[str, int]
    swaps: list[Swap] = field(default_factory=list)
    change: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)

    def copy(self) -> Ledger:
        """One that can go its own way."""
        return Ledger(dict(self.pools), self.balances, list(self.swaps), dict(self.change), dict(self.sent))

    def here(self, token: str) -> int:
        """Raw units that can be spent now."""
        return self.balances.get(token, 0) + self.change.get(token, 0)

    def swap(self, trade: Trade, amount_in: int) -> bool:
        """Carry out so much of a trade; whether the pool paid anything."""
        pool = self.pools[trade.pool]
        outcome = _most(pool, trade, amount_in)
        if outcome is None:
            return False
        amount_in, (amount_out, after) = outcome
        # The vault keeps what the pool would take for nothing; of what only passes through nothing is left behind.
        if trade.token_in in self.balances and amount_in != self.change.get(trade.token_in, 0):
            least = pool.least_input(trade.token_in, trade.token_out, amount_out, amount_in)
            if least < amount_in:
                amount_in = least
                amount_out, after = pool.swap(trade.token_in, trade.token_out, amount_in)
        self.pools[trade.pool] = after
        self.swaps.append(
            Swap(
                pool=trade.pool,
                token_in=trade.token_in,
                token_out=trade.token_out,
                amount_in=amount_in,
                amount_out=amount_out,
            )
        )
        self.change[trade.token_in] = self.change.get(trade.token_in, 0) - amount_in
        self.change[trade.token_out] = self.change.get(trade.token_out, 0) + amount_out
        if trade.token_in in self.balances:
            self.sent[trade.token_in] = max(self.sent.get(trade.token_in, 0), -self.change[trade.token_in])
        return True


def carry_out(ledger: Ledger, trades: Sequence[Trade]) -> list[Trade]:
    """Order and simulate ``trades`` at the end of ``ledger``.

    Amounts are adjusted by rounding, and cut where less came in than was planned.

    Returns:
        The trades that were not carried out, or only in part, because what they spend never comes in.
    """
    return _Run(ledger, trades).run()


class _Run:
    def __init__(self, ledger: Ledger, trades: Sequence[Trade]) -> None:
        self.ledger = ledger
        self.trades = trades
        self.left = {place: trade.amount_in for place, trade in enumerate(trades)}

    def run(self) -> list[Trade]:
        laps = 0
        undone: list[Trade] = []
        while self.left:
            k = self.next_ready()
            if k is None:
                k = self.next_part()
                if k is None or laps == _LAPS:
                    break
                laps += self.ledger.here(self.trades[k].token_in) < self.left[k]
            trade = self.trades[k]
            amount = self.amount(k)
            swapped = amount > 0 and self.ledger.swap(trade, amount)
            if not swapped and amount > self.left[k]:
                swapped = self.ledger.swap(trade, self.left[k])
            if not swapped and amount > 0:
                undone.append(trade)
            if swapped and amount < self.left[k] and not self.ready(k):
                self.left[k] -= amount
            else:
                del self.left[k]
        undone += [self.trades[k] for k in self.left]
        self.flush()
        return undone

    def incoming(self, token: str) -> bool:
        return any(self.trades[k].token_out == token for k in self.left)

    def ready(self, k: int) -> bool:
        """Whether nothing more of what trade k spends is to come in. So the vault sends no more than it must."""
        return not self.incoming(self.trades[k].token_in)

    def amount(self, k: int) -> int:
        """How much trade k can spend now; as the last one, all that came in of a token that is not to be kept."""
        token, left = self.trades[k].token_in, self.left[k]
        passed, here = self.ledger.change.get(token, 0), self.ledger.here(token)
        last = self.ready(k) and not any(self.trades[j].token_in == token for j in self.left if j != k)
        if last and (token not in self.ledger.balances or abs(passed - left) * _ROUNDING <= left):
            return passed
        return min(left, here)

    def next_ready(self) -> int | None:
        """What spends the output of the swap before, if there is such a trade; else the first."""
        before = self.ledger.swaps[-1].token_out if self.ledger.swaps else ""
        return min(
            (k for k in self.left if self.ready(k)), key=lambda k: (self.trades[k].token_in != before, k), default=None
        )

    def next_part(self) -> int | None:
        """In a circle: the trade of which the largest part can be done now."""
        found = max(self.left, key=lambda k: min(1.0, self.ledger.here(self.trades[k].token_in) / self.left[k]))
        return found if self.ledger.here(self.trades[found].token_in) > 0 else None

    def flush(self) -> None:
        """Bring what is left of tokens that only pass through to the basket, along the ways that were planned."""
        steps = self.steps_to_basket()
        for token in sorted(steps, key=lambda token: -steps[token]):
            here = self.ledger.here(token)
            if token in self.ledger.balances or here <= 0:
                continue
            ways = [trade for trade in self.trades if trade.token_in == token and trade.token_out in steps]
            way = min(ways, key=lambda trade: steps[trade.token_out], default=None)
            if way is not None:
                self.ledger.swap(way, here)

    def steps_to_basket(self) -> dict[str, int]:
        """Swaps from each token to the basket, by the planned trades."""
        steps = dict.fromkeys(self.ledger.balances, 0)
        queue = deque(steps)
        while queue:
            token = queue.popleft()
            for trade in self.trades:
                if trade.token_out == token and trade.token_in not in steps:
                    steps[trade.token_in] = steps[token] + 1
                    queue.append(trade.token_in)
        return steps


def _most(pool: BasePool, trade: Trade, amount_in: int) -> tuple[int, Swapped[BasePool]] | None:
    """The swap of all of ``amount_in``, or of a hair less where that is just beyond what the pool takes."""
    for parts in _SHY:
        amount = amount_in - (amount_in // parts + 1 if parts else 0)
        if amount <= 0:
            return None
        try:
            return amount, pool.swap(trade.token_in, trade.token_out, amount)
        except SwapError:
            continue
    return None
