"""From trades in floats to swaps in raw units, in an order that the executor can carry out.

The executor starts with what the vault sends and nothing else. A token of the basket may be spent before it has been
bought, as far as the vault's balance of it goes (working capital); any other token must have come in first. Where
trades wait for each other in a circle, part of one is done as soon as some of its input is there, so a pool may appear
twice.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from operator import attrgetter

from keeper.domain import Swap
from keeper.pools import BasePool, SwapError, Swapped

_ROUNDING = 10**6
"""Amounts are the same if they differ by less than this part, as a reciprocal."""
_ENOUGH = 0.1
"""An asset of which so much stays, as a part of what is spent of it, can be spent in any order."""
_SHY = (0, 10**13, 10**10, 10**7)
"""What the solver's floats may be too high by, in turn, as the reciprocal of a part."""


@dataclass(frozen=True)
class Trade:
    """So many raw units into a pool, to be put in order; ``usd`` is about what they are worth.

    In a circle, what ``closes`` it waits for all other trades of its token.
    """

    pool: str
    token_in: str
    token_out: str
    amount_in: int
    usd: float
    closes: bool = False


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

    @property
    def stranded(self) -> frozenset[str]:
        """The tokens that should only pass through and of which more than rounding is left."""
        came = Counter[str]()
        for swap in self.swaps:
            came[swap.token_out] += swap.amount_out
        return frozenset(
            token for token in came if token not in self.balances and self.change[token] * _ROUNDING > came[token]
        )

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


_FREE: Mapping[str, int] = {}


def carry_out(
    ledger: Ledger, trades: Sequence[Trade], most_parts: int, fixed: Mapping[str, int] = _FREE
) -> list[Trade]:
    """Order and simulate ``trades`` at the end of ``ledger``, circles in no more than ``most_parts`` partial swaps.

    Amounts are adjusted by rounding, and cut where less came in than was planned. ``fixed`` are net changes of assets,
    raw units: the last trade that spends one of them spends what is left to it.

    Returns:
        The trades that were not carried out, or only in part, because what they spend never comes in.
    """
    return _Run(ledger, trades, fixed).run(most_parts)


def last_exits(ledger: Ledger, trades: Sequence[Trade], fixed: Mapping[str, int] = _FREE) -> Mapping[str, int]:
    """By token the place of the trade that leads on what is left of it in the end, as `carry_out` does it."""
    return _Run(ledger, trades, fixed).last


class _Run:
    """One go at some trades.

    Where trades wait for each other in a circle, each token keeps one trade for last, which leads towards the basket:
    then what turns in the circle gets stuck nowhere before everything in it is done (as in an Eulerian circuit, where
    the last exits form a tree towards the root).
    """

    def __init__(self, ledger: Ledger, trades: Sequence[Trade], fixed: Mapping[str, int]) -> None:
        self.ledger = ledger
        self.trades = trades
        self.fixed = {token: ledger.change.get(token, 0) + change for token, change in fixed.items()}
        self.left = {place: trade.amount_in for place, trade in enumerate(trades)}
        self.coming = Counter(trade.token_out for trade in trades)
        self.leaving: dict[str, list[int]] = {}
        for place, trade in enumerate(trades):
            self.leaving.setdefault(trade.token_in, []).append(place)
        self.ready = {place for place, trade in enumerate(trades) if not self.coming[trade.token_in]}
        self.last = self.last_exits()

    def run(self, most_parts: int) -> list[Trade]:
        parts = 0
        undone: list[Trade] = []
        while self.left:
            k = self.next_ready()
            if k is None:
                k = self.next_part(whole=parts == most_parts)
                if k is None:
                    break
                parts += self.ledger.here(self.trades[k].token_in) < self.left[k]
            trade = self.trades[k]
            amount = self.amount(k)
            swapped = amount > 0 and self.ledger.swap(trade, amount)
            if not swapped and amount > self.left[k]:
                swapped = self.ledger.swap(trade, self.left[k])
            if not swapped and amount > 0:
                undone.append(trade)
            self.left[k] -= amount
            if not swapped or k in self.ready or self.left[k] * _ROUNDING <= trade.amount_in:
                self.finish(k)
        undone += [self.trades[k] for k in self.left]
        self.flush()
        return undone

    def finish(self, k: int) -> None:
        del self.left[k]
        self.ready.discard(k)
        trade = self.trades[k]
        self.leaving[trade.token_in].remove(k)
        self.coming[trade.token_out] -= 1
        if not self.coming[trade.token_out]:
            self.ready.update(self.leaving.get(trade.token_out, ()))

    def amount(self, k: int) -> int:
        """How much trade k can spend now; as the last one, all that came in of a token that is not to be kept."""
        token, left = self.trades[k].token_in, self.left[k]
        passed, here = self.ledger.change.get(token, 0), self.ledger.here(token)
        last = k in self.ready and self.leaving[token] == [k]
        if last and token in self.fixed:
            return min(passed - self.fixed[token], here)
        if last and (token not in self.ledger.balances or abs(passed - left) * _ROUNDING <= left):
            return passed
        return min(left, here)

    def next_ready(self) -> int | None:
        """A trade of whose input nothing more is to come in, so that the vault sends no more than it must.

        Of these what spends the output of the swap before, if there is such a trade; else the first. A token's last
        exit comes last here too.
        """
        before = self.ledger.swaps[-1].token_out if self.ledger.swaps else ""

        def turn(k: int) -> tuple[bool, bool, int]:
            token = self.trades[k].token_in
            return token != before, k == self.last.get(token), k

        return min(self.ready, key=turn, default=None)

    def next_part(self, *, whole: bool) -> int | None:
        """In a circle: a trade of the token of which most can move on now, its last exit only after all others.

        So what is there goes round in the circle, and a large amount does not wait behind a small one. If ``whole``,
        only of trades that can be done at once.
        """
        found, most = None, 0.0
        for token, places in self.leaving.items():
            here = self.ledger.here(token) if places else 0
            if here <= 0:
                continue
            doable = [k for k in places if self.left[k] <= here] if whole else places
            k = max(doable, key=lambda k: (k != self.last.get(token), self.worth(k)), default=None)
            if k is None:
                continue
            movable = min(sum(map(self.worth, doable)), self.worth(k) * here / self.left[k])
            if movable > most:
                found, most = k, movable
        return found

    def worth(self, k: int) -> float:
        """Dollars that trade k still is to spend."""
        trade = self.trades[k]
        return trade.usd * self.left[k] / trade.amount_in

    def last_exits(self) -> dict[str, int]:
        """By token the trade that is to be its last: what closes a circle, or leads to an asset of which some stays."""
        out: dict[str, list[Trade]] = {}
        into: dict[str, list[int]] = {}
        for place, trade in enumerate(self.trades):
            out.setdefault(trade.token_in, []).append(trade)
            into.setdefault(trade.token_out, []).append(place)

        def stays(token: str) -> float:
            """What is left of an asset after all trades, as a part of what is spent of it."""
            spent, spent_usd = (sum(map(attrgetter(name), out.get(token, ()))) for name in ("amount_in", "usd"))
            came_usd = sum(self.trades[place].usd for place in into.get(token, ()))
            return self.ledger.here(token) / spent + came_usd / spent_usd - 1 if spent else inf

        stay = {token: stays(token) for token in self.ledger.balances}
        enough = min(_ENOUGH, max(stay.values(), default=0.0))
        roots = [token for token in stay if stay[token] >= enough]
        closing = {trade.token_in: place for place, trade in enumerate(self.trades) if trade.closes}
        last, rooted = dict(closing), set(closing)
        # What is lost in a circle comes off what the last exits bring: if possible not off what is to be exact.
        for ends in ([token for token in roots if token not in self.fixed], roots, closing):
            reached = deque(token for token in ends if token in closing or token not in rooted)
            rooted.update(reached)
            while reached:
                for place in into.get(reached.popleft(), ()):
                    token = self.trades[place].token_in
                    if token not in rooted:
                        rooted.add(token)
                        last[token] = place
                        reached.append(token)
        return last

    def flush(self) -> None:
        """Bring what is left of tokens that only pass through to the basket, along the ways that were planned."""
        steps = self.steps_to_basket()
        for token in sorted(steps, key=lambda token: -steps[token]):
            here = self.ledger.here(token)
            if token in self.ledger.balances or here <= 0:
                continue
            ways = [trade for trade in self.trades if trade.token_in == token and trade.token_out in steps]
            # A pool at the end of its liquidity takes nothing more; another one does.
            any(self.ledger.swap(way, here) for way in sorted(ways, key=lambda trade: steps[trade.token_out]))

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
