"""Everything that must be in order before a keeper may be trusted to send, each thing checked by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ParamSpec

from keeper.chain import bindings
from keeper.chain.deployment import CodeHashes, Deployment, code_hash
from keeper.chain.errors import Refused, RpcError
from keeper.chain.lens import Lens, Reading
from keeper.chain.rpc import Endpoint
from keeper.chain.shares import read_shares
from keeper.domain.errors import InputError
from keeper.submit.sender import check_role
from keeper.submit.signer import check_may_sign
from keeper.units import format_units

_Arguments = ParamSpec("_Arguments")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `exit_code` is 0 if it is in order, else what the command ends with."""

    name: str
    detail: str
    exit_code: int = 0

    @property
    def ok(self) -> bool:
        """Whether it is in order."""
        return self.exit_code == 0


def preflight(endpoint: Endpoint, deployment: Deployment, lens: Lens, signer: Callable[[], str] | None) -> list[Check]:
    """Looks at everything that can be looked at. `signer` finds the signing address; None if none is configured.

    What rests on something that failed is left out: without a node there is nothing to say about its contracts.
    """
    return list(_checks(endpoint, deployment, lens, signer))


def _checks(
    endpoint: Endpoint, deployment: Deployment, lens: Lens, signer: Callable[[], str] | None
) -> Iterator[Check]:
    node = _try("node", _node, endpoint)
    yield node
    if not node.ok:
        return
    chain = _try("chain", _chain, endpoint, deployment, lens)
    yield chain
    if not chain.ok:
        return
    codes = [_try(f"{name} code", _code, endpoint, deployment, name) for name in CodeHashes.model_fields]
    yield from codes
    if not all(code.ok for code in codes):
        return
    found: list[Reading] = []
    yield _try("snapshot", _read, endpoint, lens, found)
    for reading in found:
        yield from _vault_checks(endpoint, deployment, reading)
        yield from _signer_checks(endpoint, reading, signer)


def _vault_checks(endpoint: Endpoint, deployment: Deployment, reading: Reading) -> Iterator[Check]:
    yield _try("wiring", _wiring, deployment, reading)
    yield _try("paused", _paused, reading)
    yield _try("oracle", _oracle, endpoint, reading)
    yield _try("checkpoints", _checkpoints, endpoint, reading)
    yield _try("allowances", _allowances, endpoint, reading)


def _signer_checks(endpoint: Endpoint, reading: Reading, signer: Callable[[], str] | None) -> Iterator[Check]:
    if signer is None:
        yield Check("signer", "none configured: this keeper can only run dry")
        return
    found: list[str] = []
    yield _try("signer", _locate, signer, found)
    for address in found:
        yield _try("keeper role", _role, reading, address)
        yield _try("key and node", _key_and_node, endpoint, address)
        yield _try("balance", _balance, endpoint, address)


def _try(name: str, look: Callable[_Arguments, str], *arguments: _Arguments.args, **named: _Arguments.kwargs) -> Check:
    try:
        return Check(name, look(*arguments, **named))
    except RpcError as error:
        return Check(name, str(error), 1)
    except InputError as error:
        return Check(name, str(error), 2)
    except Refused as refusal:
        return Check(name, str(refusal), 3)


def _node(endpoint: Endpoint) -> str:
    version = endpoint.request("web3_clientVersion")
    kind = "a development node" if endpoint.is_development_node() else "no development node"
    return f"{endpoint.name} runs {version}, {kind}"


def _chain(endpoint: Endpoint, deployment: Deployment, lens: Lens) -> str:
    endpoint.check_chain_id(lens.chain_id)
    deployment.check_chain(endpoint)
    return f"chain {lens.chain_id}, the one deployed to in block {deployment.deployment_block.number}"


def _code(endpoint: Endpoint, deployment: Deployment, name: str) -> str:
    address = getattr(deployment, name)
    found, expected = code_hash(endpoint, address), getattr(deployment.code_hashes, name)
    if found != expected:
        raise InputError(f"the {name} at {address} has code hash {found}, but {expected} was deployed")
    return f"{address}, as deployed"


def _read(endpoint: Endpoint, lens: Lens, readings: list[Reading]) -> str:
    reading = lens.read(endpoint)
    readings.append(reading)
    return f"block {reading.block.number}: {len(reading.basket)} assets, {len(reading.pools)} pools"


def _wiring(deployment: Deployment, reading: Reading) -> str:
    for name in ("oracle", "executor"):
        found, expected = getattr(reading.vault, name), getattr(deployment, name)
        if found != expected:
            raise InputError(f"the vault's {name} is {found}, but the deployment file says {expected}")
    return "the vault uses the oracle and the executor that were deployed with it"


def _paused(reading: Reading) -> str:
    if reading.vault.paused:
        raise Refused(f"rebalancing is paused; the owner {reading.vault.owner} can resume it")
    return "no"


def _oracle(endpoint: Endpoint, reading: Reading) -> str:
    if refusals := reading.refusals():
        raise Refused("; ".join(refusals))
    feeds = bindings.view(endpoint, "PriceOracle", reading.vault.oracle, "feeds", block=reading.tag)
    # A price of two feeds is as old as the older one, which may be the slower one.
    heartbeat = {token: max(seconds, quote[1]) for token, _, seconds, _, _, quote, *_ in feeds}
    ages = (
        f"{facts.token.symbol} {reading.block.timestamp - facts.price_updated_at} s"
        f" of {heartbeat[facts.token.address.lower()]} s"
        for facts in reading.basket
    )
    return "age of prices: " + ", ".join(ages)


def _checkpoints(endpoint: Endpoint, reading: Reading) -> str:
    """A rate that leaves its corridor stops rebalancing; whoever moves the checkpoint in time prevents it."""
    shares = read_shares(endpoint, reading.vault.oracle, reading.tag)
    states = (share.describe(reading.block.timestamp) for share in shares)
    return "; ".join(states) or "the oracle prices no ERC-4626 share"


def _allowances(endpoint: Endpoint, reading: Reading) -> str:
    """Nobody may move the vault's tokens but the vault; it pushes them, and approves nothing."""
    vault = reading.vault
    for facts in reading.basket:
        for spender in (vault.executor, vault.keeper):
            token = facts.token.address
            allowed = bindings.view(
                endpoint, bindings.ERC20, token, "allowance", vault.address, spender, block=reading.tag
            )
            if allowed:
                raise InputError(f"{spender} may spend the vault's {facts.token.symbol}: this vault is not ours")
    return "none from the vault to the executor or the keeper"


def _locate(signer: Callable[[], str], found: list[str]) -> str:
    found.append(signer())
    return found[0]


def _role(reading: Reading, signer: str) -> str:
    check_role(reading, signer)
    return "the signer is the vault's keeper"


def _key_and_node(endpoint: Endpoint, signer: str) -> str:
    development = endpoint.is_development_node()
    check_may_sign(signer, development_node=development)
    return "a development key on a development node" if development else "a private key on a real chain"


def _balance(endpoint: Endpoint, signer: str) -> str:
    balance = endpoint.quantity("eth_getBalance", signer, "latest")
    if balance == 0:
        raise InputError(f"{signer} has nothing to pay gas with: send it some of the native token")
    return f"{format_units(balance, 18)} of the native token"
