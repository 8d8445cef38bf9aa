"""What the executor is told of a plan's swaps: how each finds out its amount, and where its output goes.

A token moves as seldom as it can: from the vault straight into the first pair, from pool to pair, from the last pool
to the vault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from keeper.domain import Swap
from keeper.pools import BasePool, Pool, SwapError, UniswapV2Pool, UniswapV3Pool


class Amount(IntEnum):
    """How a step finds out how much to swap."""

    EXACT = 0
    ALL_HERE = 1
    PREFUNDED = 2
    CHAINED = 3


class Recipient(IntEnum):
    """Where a step's output goes."""

    EXECUTOR = 0
    CALLER = 1
    NEXT_POOL = 2


@dataclass(frozen=True, slots=True)
class Step:
    """One swap of a program. `amount` counts only in the modes `EXACT` and `PREFUNDED`."""

    pool: Pool
    token_in: str
    token_out: str
    mode: Amount
    amount: int
    recipient: Recipient

    @property
    def spends_here(self) -> bool:
        """Whether the executor pays the pool, out of what it holds."""
        return self.mode in (Amount.EXACT, Amount.ALL_HERE) or (self.mode is Amount.CHAINED and not self.is_pair)

    @property
    def pays_exactly(self) -> bool:
        """Whether the pool takes the step's amount and no less, or the program fails."""
        return isinstance(self.pool, UniswapV2Pool | UniswapV3Pool)

    @property
    def passing(self) -> list[str]:
        """The tokens that pass through the executor."""
        return [self.token_in] * self.spends_here + [self.token_out] * (self.recipient is Recipient.EXECUTOR)

    @property
    def is_pair(self) -> bool:
        """Whether the pool has to be paid before it is called."""
        return isinstance(self.pool, UniswapV2Pool)


def plan_steps(
    swaps: Sequence[Swap], pools: Mapping[str, Pool], sells: Mapping[str, int]
) -> tuple[list[Step], dict[str, str]]:
    """The steps of `swaps`, and to which pair the vault sends a sold token that need not pass the executor.

    `sells` maps a token to the raw units that the vault sends out before the first step.
    """
    for token in sells.keys() - {swap.token_in for swap in swaps}:
        raise ValueError(f"{token} is sold, but no swap spends it")
    chained = {k for k in range(1, len(swaps)) if _can_chain(swaps[k - 1], swaps[k])}
    pushed = {k for k in range(len(swaps)) if _can_push(swaps, pools, sells, k)}
    recipients = {swaps[k].token_in: pools[swaps[k].pool].address for k in pushed}

    held = {token: amount for token, amount in sells.items() if token not in recipients}
    yielded: set[str] = set()
    steps = []
    for k, swap in enumerate(swaps):
        if k in pushed:
            mode = Amount.PREFUNDED
        elif k in chained:
            mode = Amount.CHAINED
        else:
            here = held.get(swap.token_in, 0)
            if here < swap.amount_in:
                raise ValueError(f"swap {k} spends {swap.amount_in} of {swap.token_in}, but only {here} is there")
            # Where swaps before have yielded it and it is all there is, whatever that turns out to be: one that pays a
            # wei more then leaves no rest behind. What the vault sent is known, and a number costs less than to ask.
            everything = here == swap.amount_in and swap.token_in in yielded
            mode = Amount.ALL_HERE if everything else Amount.EXACT
            held[swap.token_in] = here - swap.amount_in

        if k + 1 in chained:
            recipient = (
                Recipient.NEXT_POOL if isinstance(pools[swaps[k + 1].pool], UniswapV2Pool) else Recipient.EXECUTOR
            )
        elif any(swaps[j].token_in == swap.token_out and j not in chained for j in range(k + 1, len(swaps))):
            recipient = Recipient.EXECUTOR
            held[swap.token_out] = held.get(swap.token_out, 0) + swap.amount_out
            yielded.add(swap.token_out)
        else:
            recipient = Recipient.CALLER
        steps.append(Step(pools[swap.pool], swap.token_in, swap.token_out, mode, swap.amount_in, recipient))
    return steps, recipients


def _can_chain(before: Swap, swap: Swap) -> bool:
    """Whether a swap takes just what the one before it yields, and need not be told how much. No pair pays itself."""
    return before.token_out == swap.token_in and before.amount_out == swap.amount_in and before.pool != swap.pool


def _can_push(swaps: Sequence[Swap], pools: Mapping[str, Pool], sells: Mapping[str, int], k: int) -> bool:
    """Whether the vault can pay straight into the pair of step k: all that it sells, and none of it moves elsewhere.

    Then no earlier step uses the pair either, which would take the payment for its own: it would spend or yield the
    same token.
    """
    swap = swaps[k]
    return (
        isinstance(pools[swap.pool], UniswapV2Pool)
        and sells.get(swap.token_in) == swap.amount_in
        and all(swap.token_in not in (other.token_in, other.token_out) for other in (*swaps[:k], *swaps[k + 1 :]))
    )


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a program: the swaps as they went, what the vault got back (raw units by token), the pools after."""

    swaps: tuple[Swap, ...]
    back: dict[str, int]
    pools: dict[str, BasePool]


def run_steps(
    steps: Sequence[Step], recipients: Mapping[str, str], pools: Mapping[str, BasePool], sells: Mapping[str, int]
) -> Ran:
    """What the executor does with these steps on pools that may have moved since they were planned.

    ``recipients`` and ``sells`` are those that `plan_steps` gave and was given; ``pools`` are as they stand, by name.
    What no step takes goes back to the vault.

    Raises:
        SwapError: the contract would revert: a step spends what is not there, or a pool does not take it.
    """
    standing = dict(pools)
    held = {token: amount for token, amount in sells.items() if token not in recipients}
    back: dict[str, int] = {}
    swaps = []
    paid = 0
    for step in steps:
        if step.mode is Amount.CHAINED:
            amount = paid
        elif step.mode is Amount.ALL_HERE:
            amount = held.get(step.token_in, 0)
        else:
            amount = step.amount
        if step.spends_here:
            here = held.get(step.token_in, 0)
            if here < amount:
                raise SwapError(f"pool {step.pool.name}: a swap spends {amount}, but only {here} is there")
            held[step.token_in] = here - amount
        name = step.pool.name
        paid, standing[name] = standing[name].swap(step.token_in, step.token_out, amount)
        swaps.append(
            Swap(pool=name, token_in=step.token_in, token_out=step.token_out, amount_in=amount, amount_out=paid)
        )
        if step.recipient is Recipient.EXECUTOR:
            held[step.token_out] = held.get(step.token_out, 0) + paid
        elif step.recipient is Recipient.CALLER:
            back[step.token_out] = back.get(step.token_out, 0) + paid
    for token, left in held.items():
        if left:
            back[token] = back.get(token, 0) + left
    return Ran(tuple(swaps), back, standing)
