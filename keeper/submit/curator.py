"""What the curator hands to a vault's timelock to move its targets: calldata, for whoever holds that key to send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keeper.chain.bindings import interface, view
from keeper.chain.lens import Reading
from keeper.chain.rpc import Endpoint
from keeper.domain.errors import InputError
from keeper.policy.targets import MAX_GLIDE, least_glide


@dataclass(frozen=True, slots=True)
class TargetChange:
    """A change of targets. Weights are WAD in index order, times are in seconds."""

    vault: str
    tokens: tuple[str, ...]
    symbols: tuple[str, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    least_duration: int
    """The shortest glide that the vault accepts, wherever a glide under way has got to by then."""
    duration: int
    timelock: int
    """From `submit` to the earliest `accept`."""
    data: bytes
    """Of `setTargets`: what the timelock is given."""

    @property
    def submit(self) -> bytes:
        """Calldata for the vault, by its curator or owner."""
        return interface("VaultAdmin").encode("submit", self.data)

    @property
    def accept(self) -> bytes:
        """Calldata for the vault, by anyone, once the timelock is over."""
        return interface("VaultAdmin").encode("accept", self.data)


def target_change(
    endpoint: Endpoint, reading: Reading, weights: Sequence[int], duration: int | None = None
) -> TargetChange:
    """The change of the vault's targets to ``weights`` (WAD in index order, sum one).

    ``duration`` of the glide is in seconds; the least that the vault takes if None.

    Raises:
        InputError: the vault would refuse it: shorter or longer than it takes, or a weight for a quarantined token.
    """
    vault = reading.vault
    tokens = tuple(facts.token.address for facts in reading.basket)
    for facts, quarantined, weight in zip(reading.basket, vault.quarantined, weights, strict=True):
        if quarantined and weight:
            raise InputError(f"{facts.token.symbol} is quarantined: its target must be 0")
    block = reading.tag
    # Under way, the distance from here to there is convex in time: it is longest at one of the ends.
    ends = view(endpoint, "IndexVault", vault.address, "book", block=block)[11]
    least = least_glide(weights, vault.targets, ends)
    chosen = least if duration is None else duration
    if not least <= chosen <= MAX_GLIDE:
        raise InputError(f"the vault takes a glide of {least} to {MAX_GLIDE} s to these targets, not of {chosen} s")
    return TargetChange(
        vault=vault.address,
        tokens=tokens,
        symbols=tuple(facts.token.symbol for facts in reading.basket),
        before=vault.targets,
        after=tuple(weights),
        least_duration=least,
        duration=chosen,
        timelock=view(endpoint, "VaultAdmin", vault.address, "timelock", block=block),
        data=interface("IVaultChanges").encode("setTargets", tokens, tuple(weights), chosen),
    )
