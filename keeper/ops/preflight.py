"""Everything that must be in order before a keeper may be trusted to send, each thing checked by itself."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec

from keeper.chain import bindings
from keeper.chain.deployment import CodeHashes, Deployment, code_hash
from keeper.chain.errors import Refused, RpcError, WrongChainError
from keeper.chain.lens import Lens, Reading
from keeper.chain.rpc import Endpoint, Header
from keeper.chain.shares import read_shares
from keeper.chain.venues import BALANCER_VAULT
from keeper.domain import Policy, check_basket
from keeper.domain.errors import InputError
from keeper.pools import MultiTokenPool
from keeper.submit.sender import check_role
from keeper.submit.signer import check_may_sign
from keeper.units import format_units

_Arguments = ParamSpec("_Arguments")

# Seconds. A head may be some blocks old, for a slot can stay empty; it is never from the future, but for clocks that
# differ a little.
_OLDEST_HEAD = 90
_FUTURE_HEAD = 15
# Seconds that one endpoint may be behind the newest head of all: more, and failing over to it means going back in time.
_ENDPOINT_LAG = 60


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


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What there is to look at beside the chain and the vault; whatever is not given is not looked at.

    `endpoints` are all that are configured, each looked at by itself. `clock` gives Unix time. `files` are those that
    nobody else may read or change: the configuration and the keystore. `database` connects to the journal and says
    where it is, or raises `InputError`. `policy` is the one that will decide.
    """

    endpoints: Sequence[Endpoint] = ()
    clock: Callable[[], float] | None = None
    files: Sequence[Path] = ()
    database: Callable[[], str] | None = None
    policy: Policy | None = None


def preflight(
    endpoint: Endpoint,
    deployment: Deployment,
    lens: Lens,
    signer: Callable[[], str] | None,
    surroundings: Surroundings | None = None,
) -> list[Check]:
    """Looks at everything that can be looked at. `signer` finds the signing address; None if none is configured.

    What rests on something that failed is left out: without a node there is nothing to say about its contracts.
    """
    around = surroundings or Surroundings()
    return [*_local_checks(around), *_checks(endpoint, deployment, lens, signer, around)]


def _local_checks(around: Surroundings) -> Iterator[Check]:
    for path in around.files:
        yield _try(f"permissions of {path.name}", _permissions, path)
    if around.database is not None:
        yield _try("database", around.database)


def _checks(
    endpoint: Endpoint, deployment: Deployment, lens: Lens, signer: Callable[[], str] | None, around: Surroundings
) -> Iterator[Check]:
    yield from _endpoint_checks(around.endpoints, deployment, lens)
    node = _try("node", _node, endpoint)
    yield node
    if not node.ok:
        return
    chain = _try("chain", _chain, endpoint, deployment, lens)
    yield chain
    if not chain.ok:
        return
    if around.clock is not None:
        yield _try("clock", _clock, endpoint, around.clock)
    codes = [_try(f"{name} code", _code, endpoint, deployment, name) for name in CodeHashes.model_fields]
    yield from codes
    if not all(code.ok for code in codes):
        return
    found: list[Reading] = []
    yield _try("snapshot", _read, endpoint, lens, found)
    for reading in found:
        yield from _vault_checks(endpoint, deployment, reading, around.policy)
        yield from _signer_checks(endpoint, reading, signer)


def _endpoint_checks(endpoints: Sequence[Endpoint], deployment: Deployment, lens: Lens) -> Iterator[Check]:
    heads: dict[int, Header] = {}
    checks = [
        _try(f"endpoint {endpoint.name}", _endpoint, endpoint, deployment, lens, heads, number)
        for number, endpoint in enumerate(endpoints)
    ]
    newest = max((head.timestamp for head in heads.values()), default=0)
    for number, check in enumerate(checks):
        lag = newest - heads[number].timestamp if number in heads else 0
        if check.ok and lag > _ENDPOINT_LAG:
            yield Check(check.name, f"its head is {lag} s behind the newest of all endpoints: it is not in sync", 1)
        else:
            yield check


def _vault_checks(
    endpoint: Endpoint, deployment: Deployment, reading: Reading, policy: Policy | None
) -> Iterator[Check]:
    yield _try("wiring", _wiring, deployment, reading)
    yield _try("paused", _paused, reading)
    if policy is not None:
        yield _try("policy", _policy, reading, policy)
    yield _try("oracle", _oracle, endpoint, reading, None if policy is None else policy.max_price_age)
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
    except (InputError, WrongChainError) as error:
        return Check(name, str(error), 2)
    except RpcError as error:
        return Check(name, str(error), 1)
    except Refused as refusal:
        return Check(name, str(refusal), 3)


def _permissions(path: Path) -> str:
    """Who can read the configuration may find credentials in it; who can change it chooses what is traded and where."""
    try:
        mode, folder = path.stat().st_mode, path.absolute().parent.stat().st_mode
    except OSError as error:
        raise InputError(f"cannot look at {path}: {error.strerror}") from None
    if mode & (stat.S_IWGRP | stat.S_IRWXO):
        raise InputError(
            f"others can read or write {path} (mode {stat.S_IMODE(mode):03o}): run "
            f"`chmod g-w,o-rwx {shlex.quote(str(path))}`"
        )
    if folder & stat.S_IWOTH and not folder & stat.S_ISVTX:
        raise InputError(
            f"others can replace {path}, for anybody may write to its folder: run "
            f"`chmod o-w {shlex.quote(str(path.absolute().parent))}`"
        )
    return f"mode {stat.S_IMODE(mode):03o}"


def _endpoint(endpoint: Endpoint, deployment: Deployment, lens: Lens, heads: dict[int, Header], number: int) -> str:
    heads[number] = head = endpoint.header()
    endpoint.check_chain_id(lens.chain_id)
    deployment.check_chain(endpoint)
    return f"the same chain, at block {head.number}"


def _clock(endpoint: Endpoint, clock: Callable[[], float]) -> str:
    """The head is never from the future, and seldom old: else this machine's clock is wrong, or the node is behind."""
    ahead = round(endpoint.header().timestamp - clock())
    if endpoint.is_development_node():
        return f"{-ahead} s after the head; a development node keeps a time of its own"
    if ahead > _FUTURE_HEAD:
        raise InputError(
            f"this machine's clock is at least {ahead} s slow: the head is from its future; "
            "set it, and let it be kept (`timedatectl set-ntp true`)"
        )
    if -ahead > _OLDEST_HEAD:
        raise RpcError(
            f"the head is {-ahead} s old: {endpoint.name} is not in sync, or this machine's clock is fast "
            "(`timedatectl` shows it)"
        )
    return f"{-ahead} s after the head"


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


def _policy(reading: Reading, policy: Policy) -> str:
    check_basket(policy, reading.names)
    return f"fits a basket of {', '.join(symbol for symbol, _ in reading.names)}"


def _oracle(endpoint: Endpoint, reading: Reading, max_price_age: int | None) -> str:
    if refusals := reading.refusals():
        raise Refused("; ".join(refusals))
    for facts, _, _ in reading.tradable:
        age = reading.block.timestamp - facts.price_updated_at
        if max_price_age is not None and age > max_price_age:
            raise Refused(f"the price of {facts.token.symbol} is {age} s old, and the policy allows {max_price_age} s")
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
    """Nobody may move a token of the vault but the vault, which pushes and approves nothing.

    The executor approves Balancer's vault and Curve's pools, and takes that back in the same step.
    """
    vault = reading.vault
    approved = {
        BALANCER_VAULT if pool.kind.startswith("balancer") else pool.address
        for pool in reading.pools
        if isinstance(pool, MultiTokenPool)
    }
    owners = (
        ("vault", vault.address, reading.basket, (vault.executor, vault.keeper, *approved)),
        ("executor", vault.executor, reading.tokens, (vault.address, vault.keeper, *approved)),
    )
    for name, owner, tokens, spenders in owners:
        for facts in tokens:
            for spender in spenders:
                token = facts.token.address
                allowed = bindings.view(endpoint, bindings.ERC20, token, "allowance", owner, spender, block=reading.tag)
                if allowed:
                    raise InputError(f"{spender} may spend the {name}'s {facts.token.symbol}: this {name} is not ours")
    return "none from the vault or the executor to the keeper, to each other or to a pool"


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
