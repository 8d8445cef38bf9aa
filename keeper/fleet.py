"""Several vaults in one process, which ask only once for what they have in common.

Each vault has a loop of its own in a thread of its own, so that none waits for another one's batch. Those of one
`chain` section share its connections and the head of the chain; those that also trade through the same venues are
read together; those of one signer have one lease between them, and take turns. Before it commits to a batch, a vault
looks in the journal whether another one's is on its way through the pools that it wants, and then waits for that.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from keeper.chain.endpoints import ChainEndpoints, Endpoints
from keeper.chain.lens import Lens
from keeper.chain.shared import share
from keeper.config import Config
from keeper.domain.errors import InputError
from keeper.loop import Keeper, Outcome, serve
from keeper.ops.watch import Watch
from keeper.submit.journal import Leases
from keeper.submit.keys import AnySigner
from keeper.submit.signer import Signer
from keeper.submit.unlock import unlock

Crew = tuple[Keeper, Signer | None]
"""A keeper, and who signs for it; nobody: it runs dry."""

_HEAD_PART = 4
"""A head is as good as new for this part of the time after which a loop asks again."""


def muster(configs: Sequence[Config]) -> list[Keeper]:
    """The keepers of these configurations, which share what they can; asks no node.

    Raises `InputError` if one of them does not fit its deployment, or two are of the same vault.
    """
    keepers = [Keeper.assemble(config) for config in configs]
    vaults = [(keeper.deployment.chain_id, keeper.deployment.vault) for keeper in keepers]
    twice = next((vault for vault in vaults if vaults.count(vault) > 1), None)
    if twice is not None:
        raise InputError(f"the vault {twice[1]} on chain {twice[0]} has two configurations: leave one out")
    if len(keepers) == 1:
        return keepers
    by_chain: dict[ChainEndpoints, list[Keeper]] = {}
    for keeper in keepers:
        by_chain.setdefault(keeper.config.chain, []).append(keeper)
    endpoints = {chain: _connect(chain, those) for chain, those in by_chain.items()}
    lenses = {keeper.lens: lens for those in by_chain.values() for keeper, lens in _read_together(those)}
    addresses = Counter(address for _, address in vaults)
    return [
        replace(
            keeper,
            endpoint=endpoints[keeper.config.chain],
            lens=lenses[keeper.lens],
            # Contracts are often deployed to the same address on several chains.
            name=f"{chain_id}:{address}" if addresses[address] > 1 else address,
        )
        for keeper, (chain_id, address) in zip(keepers, vaults, strict=True)
    ]


def _connect(chain: ChainEndpoints, keepers: Sequence[Keeper]) -> Endpoints:
    newest = max((keeper.deployment.deployment_block for keeper in keepers), key=lambda block: block.number)
    fresh = min(keeper.config.interval_seconds for keeper in keepers) / _HEAD_PART
    return chain.connect(anchor=(newest.number, newest.hash), head_seconds=fresh if len(keepers) > 1 else 0)


def _read_together(keepers: Sequence[Keeper]) -> list[tuple[Keeper, Lens]]:
    return list(zip(keepers, share([keeper.lens for keeper in keepers]), strict=True))


def man(keepers: Sequence[Keeper], *, live: bool) -> list[Crew]:
    """Each keeper with its signer, which is unlocked once however many vaults it has; with nobody unless ``live``.

    Raises `InputError` if one has none, or if a signer's vaults have several journals: no lease spans two databases.
    """
    if not live:
        return [(keeper, None) for keeper in keepers]
    unlocked: dict[AnySigner, Signer] = {}
    journals: dict[tuple[int, str], str] = {}
    crews: list[Crew] = []
    for keeper in keepers:
        config = keeper.config
        if config.signer is None:
            raise InputError("--live needs a signer: add one to the configuration file")
        signer = unlocked.get(config.signer) or unlocked.setdefault(config.signer, unlock(config.signer))
        journal = config.journal_url("live")
        if journals.setdefault((keeper.deployment.chain_id, signer.address), journal) != journal:
            raise InputError(
                f"the vaults of {signer.address} have different journals: a signer sends one transaction at a time, "
                "and only one journal can see to that"
            )
        crews.append((keeper, signer))
    return crews


def serve_all(
    crews: Sequence[Crew],
    *,
    stop: threading.Event,
    report: Callable[[Outcome], None],
    complain: Callable[[str], None],
    watch: Watch,
) -> None:
    """Every vault in a thread of its own until `stop` is set; the first one that cannot go on ends them all."""
    leases = Leases()
    failures: list[BaseException] = []

    def look_after(keeper: Keeper, signer: Signer | None) -> None:
        try:
            serve(keeper, signer, stop=stop, report=report, complain=complain, watch=watch, leases=leases)
        except BaseException as error:  # whatever it was, it is raised below
            failures.append(error)
            stop.set()

    threads = [threading.Thread(target=look_after, args=crew, name=crew[0].name) for crew in crews]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
