"""A keeper left alone for a long time, with a node that fails now and then and prices that move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chaos.arena import BAND, Arena, Verdict
from keeper.chain import bindings
from keeper.devnet.faults import Delay, Drop, Garbage, NoReceipt, RateLimited, ServerError, StaleHead
from keeper.units import WAD

FAULT_RATE = 0.05
FAULTS = (Delay(0.02), Drop(), RateLimited(), ServerError(), Garbage(), StaleHead(3))
_PROGRESS = 250
_CALM = 6
"""Blocks between two moves of the market, on average."""


@dataclass(frozen=True, slots=True)
class Soak:
    """What a soak came to.

    ``waits`` is, for each batch, the blocks from the first at which an asset was outside its band to that of the batch.
    ``silent`` counts blocks with an asset outside its band for which the keeper gave no reason. ``fault_rate`` is the
    part of its calls that went wrong. ``memory`` is the resident size after a fifth of the time and at the end, kB.
    """

    blocks: int
    drifts: int
    waits: list[int]
    silent: int
    restarts: int
    fault_rate: float
    memory: tuple[int, int]
    verdict: Verdict


def soak(arena: Arena, blocks: int, progress: Callable[[int], None] = lambda _: None) -> Soak:
    """Lets a keeper live for so many blocks, 5% of its calls going wrong."""
    (node,) = arena.proxies(1)
    for fault in FAULTS:
        node.set("*", fault, probability=FAULT_RATE / len(FAULTS))
    node.set("*", NoReceipt(), probability=FAULT_RATE)
    life, _ = arena.revive()
    drifts, silent, restarts = 0, 0, 0
    outside_since: int | None = None
    waits: list[int] = []
    seen = 0
    early = life.memory
    for number in range(blocks):
        if arena.random.random() < 1 / _CALM:
            arena.move()
        head = arena.mine()
        heard = life.hear_of(head)
        if not life.alive():
            restarts += 1
            life, _ = arena.revive()
        for batch in arena.stage.batches()[seen:]:
            seen += 1
            if outside_since is not None:
                waits.append(batch["block"] - outside_since)
            outside_since = None
        if _is_outside(arena, head):
            silent += not heard or not life.said[-1][2]
            if outside_since is None:
                drifts += 1
                outside_since = head
        else:
            outside_since = None
        if (number + 1) % _PROGRESS == 0:
            progress(number + 1)
        if number == blocks // 5:
            early = life.memory
    late = life.memory
    life.kill()
    rate = node.faults.total() / len(node.log)
    node.clear()
    return Soak(blocks, drifts, waits, silent, restarts, rate, (early, late), arena.finish())


def _is_outside(arena: Arena, block: int) -> bool:
    """Whether any asset is outside the band of the policy, by the vault's own weights."""
    vault = arena.stage.deployment.vault
    weights, targets = (
        bindings.view(arena.devnet.endpoint, "IndexVault", vault, view, block=hex(block))
        for view in ("weights", "targets")
    )
    return any(abs(weight - target) > BAND * WAD for weight, target in zip(weights, targets, strict=True))
