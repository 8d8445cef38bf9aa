"""From a decision to the vault's order: which steps the executor runs, and where each amount goes.

A token moves as seldom as it can: from the vault straight into the first pair, from pool to pair, from the last pool
to the vault. The layout of a program is that of `contracts/interfaces/ISwapExecutor.sol`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from itertools import zip_longest
from types import MappingProxyType
from typing import Final

from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak

from keeper.chain.venues import BALANCER_VAULT
from keeper.domain.decision import Decision, Swap
from keeper.domain.snapshot import Snapshot
from keeper.pools import (
    BalancerStablePool,
    BalancerWeightedPool,
    CurveStableSwapPool,
    Pool,
    UniswapV2Pool,
    UniswapV3Pool,
    UniswapV4Pool,
)
from keeper.pools.base import PIPS
from keeper.submit.order import ZERO_ADDRESS, Order, OrderBuy, OrderSell, address_bytes, pack

_KINDS: Final = {
    "uniswap_v2": 0,
    "uniswap_v3": 1,
    "uniswap_v4": 2,
    "balancer_weighted": 3,
    "balancer_stable": 3,
    "curve_stableswap": 4,
}
_NATIVE: Final = 0x8000
"""Of the tick spacing of a V4 step: WETH stands for ether in the pool's key."""

_POOL_KEY: Final = ("address", "address", "uint24", "int24", "address")

_MAX_PROTOCOL_FEE: Final = 1000
"""Millionths; `ProtocolFeeLibrary` takes no more."""


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
        return self.mode in (Amount.EXACT, Amount.ALL_HERE) or (self.mode is Amount.CHAINED and not self._is_pair)

    @property
    def pays_exactly(self) -> bool:
        """Whether the pool takes the step's amount and no less, or the program fails."""
        return isinstance(self.pool, UniswapV2Pool | UniswapV3Pool)

    @property
    def passing(self) -> list[str]:
        """The tokens that pass through the executor."""
        return [self.token_in] * self.spends_here + [self.token_out] * (self.recipient is Recipient.EXECUTOR)

    def encode(self, tokens: Sequence[str]) -> bytes:
        """The step's bytes; `tokens` is the program's token table."""
        op = _KINDS[self.pool.kind] | self._sells_token0 << 3 | self.mode << 4 | self.recipient << 6
        return b"".join(
            (
                pack(op, 1),
                address_bytes(self._target),
                self._detail,
                pack(tokens.index(self.token_in), 1) if self.spends_here else b"",
                pack(self.amount, 16) if self.mode in (Amount.EXACT, Amount.PREFUNDED) else b"",
            )
        )

    @property
    def _is_pair(self) -> bool:
        return isinstance(self.pool, UniswapV2Pool)

    @property
    def _sells_token0(self) -> bool:
        # In a V4 pool of ether WETH comes first, whatever its address.
        if isinstance(self.pool, UniswapV4Pool):
            return self.token_in == self.pool.token0
        return int(self.token_in, 16) < int(self.token_out, 16)

    @property
    def _target(self) -> str:
        """The contract that the executor calls."""
        if isinstance(self.pool, BalancerWeightedPool | BalancerStablePool):
            return BALANCER_VAULT
        return self.pool.address

    @property
    def _detail(self) -> bytes:
        """What only this kind of pool is told."""
        bought = address_bytes(self.token_out)
        match self.pool:
            case UniswapV2Pool() as pool:
                return pack(pool.fee_pips, 3)
            case UniswapV4Pool() as pool:
                native, fee = v4_key(pool.id, pool.token0, pool.token1, pool.fee_pips, pool.tick_spacing)
                return bought + pack(fee, 3) + pack(pool.tick_spacing | _NATIVE * native, 2)
            case BalancerWeightedPool() | BalancerStablePool() as pool:
                return bought + bytes.fromhex(pool.id.removeprefix("0x"))
            case CurveStableSwapPool() as pool:
                return bought + pack(pool.tokens.index(self.token_in) << 4 | pool.tokens.index(self.token_out), 1)
            case _:
                return b""


def build_order(snapshot: Snapshot, decision: Decision, *, basket: Sequence[str], epoch: int, deadline: int) -> Order:
    """The order that carries out `decision`. `deadline` is a timestamp in seconds.

    `basket` lists the vault's tokens in index order; a snapshot leaves out those that may not be traded.

    Raises ValueError if the decision's swaps spend what they do not have: such a plan is a bug.
    """
    index = {token: place for place, token in enumerate(basket)}
    sells = {sell.token: sell.amount for sell in decision.sells}
    steps, recipients = plan_steps(decision.swaps, {pool.name: pool for pool in snapshot.pools}, sells)
    return Order(
        nonce=snapshot.vault.nonce + 1,
        deadline=deadline,
        epoch=epoch,
        sells=tuple(
            OrderSell(index=index[token], amount=sells[token], to=recipients.get(token, ZERO_ADDRESS))
            for token in sorted(sells, key=index.__getitem__)
        ),
        buys=tuple(
            OrderBuy(index=index[buy.token], min_amount=buy.min_amount)
            for buy in sorted(decision.buys, key=lambda buy: index[buy.token])
        ),
        route=encode_program(steps, {token: amount for token, amount in sells.items() if token not in recipients}),
    )


def encode_program(steps: Sequence[Step], sent: Mapping[str, int] = MappingProxyType({})) -> bytes:
    """The executor's program: the table of the tokens that pass through it, then the steps.

    `sent` maps a token to the raw units that the executor is sent before. Those of which something may be left are
    swept: they come first in the table.
    """
    passing = dict.fromkeys((*(token for step in steps for token in step.passing), *sent))
    tokens = sorted(passing, key=lambda token: not _may_be_left(token, steps, sent))
    swept = sum(_may_be_left(token, steps, sent) for token in tokens)
    return b"".join(
        (
            pack(len(tokens), 1),
            pack(swept, 1),
            *(address_bytes(token) for token in tokens),
            *(step.encode(tokens) for step in steps),
        )
    )


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


@lru_cache(maxsize=1024)
def v4_key(pool_id: str, token0: str, token1: str, fee_pips: int, tick_spacing: int) -> tuple[bool, int]:
    """Whether the key of a V4 pool without hooks has ether in the place of token0, and the key's fee in millionths.

    A snapshot lists WETH for ether and the whole fee; what hashes to the pool's id is the liquidity providers' part.
    Formula of the whole: `ProtocolFeeLibrary.calculateSwapFee`.

    Raises ValueError if no such key has this id.
    """
    wanted = bytes.fromhex(pool_id.removeprefix("0x"))
    for protocol_fee in range(min(fee_pips, _MAX_PROTOCOL_FEE) + 1):
        # Rounding gives up to two fees of the liquidity providers the same whole; this is the greater.
        nearest = (fee_pips - protocol_fee) * PIPS // (PIPS - protocol_fee)
        for fee in (nearest, nearest - 1):
            if protocol_fee + fee - protocol_fee * fee // PIPS != fee_pips:
                continue
            for native in (False, True):
                key = (ZERO_ADDRESS if native else token0, token1, fee, tick_spacing, ZERO_ADDRESS)
                if keccak(abi_encode(_POOL_KEY, key)) == wanted:
                    return native, fee
    raise ValueError(f"{pool_id} is no V4 pool of {token0} and {token1} without hooks at {fee_pips} millionths")


def _may_be_left(token: str, steps: Sequence[Step], sent: Mapping[str, int]) -> bool:
    """Whether some of a token can stay in the executor after the last step, wherever the pools' prices went meanwhile.

    Not if steps that pay exactly their amount, or fail, spend just what was sent of it and what the step before yields.
    """
    spending = [step for step in steps if step.spends_here and step.token_in == token]
    kept = any(
        step.recipient is Recipient.EXECUTOR and (after is None or after.mode is not Amount.CHAINED)
        for step, after in zip_longest(steps, steps[1:])
        if step.token_out == token
    )
    exact = sum(step.amount for step in spending if step.mode is Amount.EXACT)
    return kept or exact != sent.get(token, 0) or not all(step.pays_exactly for step in spending)


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
