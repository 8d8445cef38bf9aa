"""Kills without end: at every transition of the journal in turn, and at random instants."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from chaos.arena import Arena, Verdict
from chaos.life import POINTS, Fate

_PROGRESS = 50
_LIFE = 6
"""Blocks that a life may take to come to its point; after that it is killed where it stands."""


@dataclass(frozen=True, slots=True)
class Massacre:
    """What many kills came to. ``recovery`` is, for each but the last, the blocks until the next life's first tick
    was over, or that life had come to its own point."""

    kills: int
    at_points: dict[tuple[str, str], int]
    recovery: list[int]
    verdict: Verdict


def massacre(arena: Arena, kills: int, progress: Callable[[int], None] = lambda _: None) -> Massacre:
    """Kills a keeper so many times, two out of three at a point and the rest at a random instant."""
    reached = dict.fromkeys(POINTS, 0)
    recovery: list[int] = []
    order = list(POINTS)
    arena.random.shuffle(order)
    number = 0
    killed_at: int | None = None
    while number < kills:
        point = None if number % 3 == 2 else min(order, key=lambda p: reached[p])
        open_now = number > 0 and any(intent.closed_at is None for intent in arena.intents())
        if not open_now:
            arena.move()
        life, _ = arena.revive(Fate(point=point))
        if killed_at is not None:  # blocks of the market's own count too
            recovery.append(arena.head - killed_at)
        for block in range(_LIFE):
            if not life.alive():
                break
            if point is None and block == arena.random.randrange(1, _LIFE):
                arena.mine()
                time.sleep(arena.random.uniform(0, 0.15))
                break
            mined = arena.mine()
            if life.hear_of(mined) and life.said[-1][1] == "hold":
                break  # this life has nothing more to do
            if point is not None and point[0] == "unmined" and _is_mined(arena):
                arena.reorganise(1)
        if not life.alive() and life.process.exitcode == -signal.SIGKILL and point is not None:
            reached[point] += 1
        elif point is not None:  # it never came there: the next in line has its turn first
            order.append(order.pop(order.index(point)))
        life.kill()
        killed_at = arena.head
        if life.process.exitcode == -signal.SIGKILL:
            number += 1
            if number % _PROGRESS == 0:
                progress(number)
    return Massacre(number, reached, recovery, arena.finish())


def _is_mined(arena: Arena) -> bool:
    return any(intent.state == "mined" for intent in arena.intents())
