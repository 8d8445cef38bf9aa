"""From a decision to the vault's order, with the executor's program in bytes.

The layout of a program is that of `contracts/interfaces/ISwapExecutor.sol`; its steps are those of `keeper.routing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import zip_longest
from types import MappingProxyType
from typing import Final

from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak

from keeper.chain.venues import BALANCER_VAULT
from keeper.domain.decision import Decision
from keeper.domain.snapshot import Snapshot
from keeper.pools import (
    BalancerStablePool,
    BalancerWeightedPool,
    CurveStableSwapPool,
    UniswapV2Pool,
    UniswapV4Pool,
)
from keeper.pools.base import PIPS
from keeper.routing.steps import Amount, Recipient, Step, plan_steps
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
            *(_encode_step(step, tokens) for step in steps),
        )
    )


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


def _encode_step(step: Step, tokens: Sequence[str]) -> bytes:
    """The step's bytes; `tokens` is the program's token table."""
    op = _KINDS[step.pool.kind] | _sells_token0(step) << 3 | step.mode << 4 | step.recipient << 6
    return b"".join(
        (
            pack(op, 1),
            address_bytes(_target(step)),
            _detail(step),
            pack(tokens.index(step.token_in), 1) if step.spends_here else b"",
            pack(step.amount, 16) if step.mode in (Amount.EXACT, Amount.PREFUNDED) else b"",
        )
    )


def _sells_token0(step: Step) -> bool:
    # In a V4 pool of ether WETH comes first, whatever its address.
    if isinstance(step.pool, UniswapV4Pool):
        return step.token_in == step.pool.token0
    return int(step.token_in, 16) < int(step.token_out, 16)


def _target(step: Step) -> str:
    """The contract that the executor calls."""
    if isinstance(step.pool, BalancerWeightedPool | BalancerStablePool):
        return BALANCER_VAULT
    return step.pool.address


def _detail(step: Step) -> bytes:
    """What only this kind of pool is told."""
    bought = address_bytes(step.token_out)
    match step.pool:
        case UniswapV2Pool() as pool:
            return pack(pool.fee_pips, 3)
        case UniswapV4Pool() as pool:
            native, fee = v4_key(pool.id, pool.token0, pool.token1, pool.fee_pips, pool.tick_spacing)
            return bought + pack(fee, 3) + pack(pool.tick_spacing | _NATIVE * native, 2)
        case BalancerWeightedPool() | BalancerStablePool() as pool:
            return bought + bytes.fromhex(pool.id.removeprefix("0x"))
        case CurveStableSwapPool() as pool:
            return bought + pack(pool.tokens.index(step.token_in) << 4 | pool.tokens.index(step.token_out), 1)
        case _:
            return b""
