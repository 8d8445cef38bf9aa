"""Several endpoints of one chain that look like one: whoever takes an `Endpoint` takes `Endpoints` too.

- An endpoint is asked for its chain on first use, and again after every failure; one that follows another chain is not
  asked anything.
- No connection, no answer in time, a rate limit, another HTTP error, garbage: the next endpoint is asked, and this one
  left alone for a while. What a node answers itself (a revert, a nonce too low) is the answer.
- An endpoint whose head is behind or old is passed over. `header()` measures every endpoint's head.
- A read at a block hash goes first to endpoints that are known to have the block; one that says it cannot (an error
  without revert data) is no reason to give up while others are left.
- With a quorum, `header()` and every `eth_call` at a block hash are answers that so many endpoints gave alike.
- A signed transaction is handed to every endpoint; a node that refuses one which has arrived (it knows it already, or
  said an error and took it) is not an error. A receipt that one endpoint has not got is asked of the others.

`keeper.chain.failover` decides; this module asks.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Any, Self, TypeVar

from eth_utils.crypto import keccak
from pydantic import Field, model_validator

from keeper.chain.errors import NodeError, RpcError, UnansweredError, WrongChainError, one_line
from keeper.chain.failover import (
    Choice,
    Health,
    Tolerance,
    age_refusal,
    agreed,
    best_head,
    choose,
    known_head,
    silence,
    staleness,
)
from keeper.chain.fields import Strict, Url
from keeper.chain.rpc import Endpoint, Header

_T = TypeVar("_T")

# Questions to which null means "not known to me": another node may know.
_MAY_BE_UNKNOWN = frozenset({"eth_getTransactionReceipt", "eth_getTransactionByHash", "eth_getBlockByHash"})
# How many block hashes to remember who has them of; a tick pins one.
_REMEMBERED = 64
_WORKERS_EACH = 4


class ChainEndpoints(Strict):
    """Which nodes to ask, and which chain they must follow: one `rpc_url`, or several `rpc_urls`, the best first."""

    rpc_url: Url | None = None
    rpc_urls: tuple[Url, ...] = ()
    chain_id: int = Field(gt=0)
    timeout_seconds: float = Field(default=20, gt=0)
    tolerance: Tolerance = Tolerance()

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> Self:
        if (self.rpc_url is None) == (not self.rpc_urls):
            raise ValueError("needs either rpc_url or rpc_urls")
        if len(set(self.urls)) != len(self.urls):
            raise ValueError("rpc_urls names an endpoint twice")
        if self.tolerance.quorum > len(self.urls):
            raise ValueError(f"a quorum of {self.tolerance.quorum} needs as many endpoints, not {len(self.urls)}")
        return self

    @property
    def urls(self) -> tuple[str, ...]:
        """All of them, in the order in which they are asked."""
        return self.rpc_urls if self.rpc_url is None else (self.rpc_url,)

    def connect(self, anchor: tuple[int, str] | None = None, head_seconds: float = 0) -> Endpoints:
        """The endpoints, none of them asked yet. `anchor` and `head_seconds`: see `Endpoints`."""
        return Endpoints(
            self.urls,
            self.chain_id,
            tolerance=self.tolerance,
            timeout=self.timeout_seconds,
            anchor=anchor,
            head_seconds=head_seconds,
        )


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """One endpoint for metrics. `reason` is why it would be passed over now, None if it would not be.

    `errors` counts by `keeper.chain.errors.Trouble`, and "chain" (it follows another one), "node" (it answered an
    error, other than a revert) and "disagreed" (it was outvoted). `lag_blocks` and `head` are None while its head is
    not known.
    """

    name: str
    requests: int
    errors: Mapping[str, int]
    latency_seconds: float
    head: int | None
    lag_blocks: int | None
    reason: str | None


Observe = Callable[[str, float, str | None], None]
"""Is told of each request: the endpoint's name, how long it took in seconds, and by which `Trouble`, "node" or None it
ended. From several threads."""


class Endpoints(Endpoint):
    """Several endpoints of one chain, safe to use from several threads.

    `anchor` is a block, number and hash, that every endpoint's chain must contain: it tells forks with the same chain
    id apart. For so many `head_seconds` the head that one thread has asked for is the others' too. `now` is a clock
    that only runs forward, `wall` is Unix time; both in seconds.
    """

    def __init__(
        self,
        urls: Sequence[str],
        chain_id: int,
        *,
        tolerance: Tolerance | None = None,
        timeout: float = 20.0,
        anchor: tuple[int, str] | None = None,
        head_seconds: float = 0,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        # No call of the base's constructor: this one has no connection of its own.
        self.chain_id = chain_id
        self._tolerance = tolerance or Tolerance()
        self._anchor = anchor
        self._now, self._wall = now, wall
        self._members = _named(Endpoint(url, timeout) for url in urls)
        self.name = ", ".join(member.name for member in self._members)
        self._pool = ThreadPoolExecutor(_WORKERS_EACH * len(urls), "rpc")
        # Everything below changes under the lock, and no request is made under it.
        self._lock = Lock()
        self._health = [Health(member.name) for member in self._members]
        self._requests = [0] * len(urls)
        self._latency = [0.0] * len(urls)
        self._errors: list[Counter[str]] = [Counter() for _ in urls]
        self._holders: OrderedDict[str, set[int]] = OrderedDict()
        self._late: dict[int, Future[Any]] = {}
        # Held while the head is asked for: who comes meanwhile waits for that answer.
        self._asking = Lock()
        self._head_seconds = head_seconds
        self._head: tuple[float, Header | RpcError] | None = None
        self.observe: Observe = lambda *_: None

    @property
    def members(self) -> tuple[Endpoint, ...]:
        """The endpoints, each by itself."""
        return self._members

    def __repr__(self) -> str:
        return f"Endpoints({self.name!r})"

    # The surface of Endpoint

    def request(self, method: str, *params: Any) -> Any:
        """As `Endpoint.request`. Raises `RpcError` that says why no endpoint gave an answer, or `NodeError`."""

        def ask(endpoint: Endpoint) -> Any:
            return endpoint.request(method, *params)

        if method == "eth_sendRawTransaction":
            return self._hand_to_all(ask, *params)
        if method in _MAY_BE_UNKNOWN:
            return self._ask_around(ask)
        pinned = pinned_hash(params)
        if pinned is not None and method == "eth_call" and self._tolerance.quorum > 1:
            return self._agreed_call(ask, pinned)
        return self._failover(lambda index: self._ask(index, ask), pinned)

    def each(self, method: str, *params: Any) -> Iterator[Any]:
        for index in self._choose().order:
            with suppress(RpcError):
                yield self._ask(index, lambda member: member.request(method, *params))

    def batch(self, requests: Sequence[tuple[str, tuple[Any, ...]]]) -> list[Any]:
        """As `Endpoint.batch`: of one endpoint, or with a quorum each request by itself."""
        if self._tolerance.quorum > 1:
            return [self._result_of(method, params) for method, params in requests]
        pinned = pinned_hash([param for _, params in requests for param in params])
        return self._failover(lambda index: self._ask(index, lambda member: member.batch(requests)), pinned)

    def _result_of(self, method: str, params: tuple[Any, ...]) -> Any:
        try:
            return self.request(method, *params)
        except NodeError as error:
            if error.data is None:
                raise
            return error

    def quantity(self, method: str, *params: Any) -> int:
        pinned = pinned_hash(params)
        return self._failover(lambda index: self._ask(index, lambda member: member.quantity(method, *params)), pinned)

    def data(self, method: str, *params: Any) -> bytes:
        if method == "eth_call" and self._tolerance.quorum > 1:
            return super().data(method, *params)  # by `request`, where it is agreed upon
        pinned = pinned_hash(params)
        return self._failover(lambda index: self._ask(index, lambda member: member.data(method, *params)), pinned)

    def header(self, block: int | str = "latest") -> Header:
        """The header of a block, by number or tag.

        "latest" is the highest head of the endpoints that are not passed over, and may be up to `max_lag_blocks` below
        the last one when endpoints fail. With a quorum it is the newest block that so many have, all saying the same of
        it. Raises `RpcError` if there is none, or if it is too old.
        """
        if block == "latest" and self._head_seconds > 0:
            return self._shared_head()
        return self._asked_header(block)

    def _asked_header(self, block: int | str) -> Header:
        if self._tolerance.quorum > 1:
            return self._agreed_header(block)
        if block == "latest":
            return self._highest_head()
        return self._failover(lambda index: self._ask_header(index, block))

    def _shared_head(self) -> Header:
        """The head, or why there is none, as somebody was told a moment ago."""
        with self._asking:
            if self._head is None or self._now() - self._head[0] >= self._head_seconds:
                try:
                    found: Header | RpcError = self._asked_header("latest")
                except RpcError as error:
                    found = error
                self._head = (self._now(), found)
            head = self._head[1]
        if isinstance(head, RpcError):
            raise RpcError(str(head))  # a new one each time: an exception gathers the traces of all who raise it
        return head

    def check_chain_id(self, expected: int) -> None:
        """Asks every endpoint anew. Raises `WrongChainError` if none but those of other chains answers."""
        if expected != self.chain_id:
            raise WrongChainError(f"the endpoints are of chain {self.chain_id}, but chain {expected} is asked for")
        _, errors = self._gather(self._audible(), self._admit, enough=len(self._members))
        choice = self._choose()
        if choice.order:
            return
        if any(isinstance(error, WrongChainError) for error in errors.values()):
            raise WrongChainError("; ".join(str(error) for error in errors.values()))
        raise self._nobody(choice, errors)

    def is_development_node(self) -> bool:
        """Asks every endpoint anew. Raises `WrongChainError` if some are development nodes and others are not."""
        answers, errors = self._gather(
            self._audible(),
            lambda index: self._ask(index, lambda member: member.is_development_node()),
            enough=len(self._members),
        )
        if not answers:
            raise self._nobody(self._choose(), errors)
        if len(set(answers.values())) > 1:
            names = ", ".join(self._members[index].name for index, answer in answers.items() if answer)
            raise WrongChainError(f"these are development nodes, and the other endpoints are not: {names}")
        return answers.popitem()[1]

    # Beyond it

    def refuse_old(self, header: Header) -> None:
        """Raises `RpcError` if a block is too old to act on any more, by the clock passed in."""
        with self._lock:
            own_time = any(health.own_time for health in self._health)
        reason = None if own_time else age_refusal(header, self._wall(), self._tolerance)
        if reason is not None:
            raise RpcError(f"{reason}: it is too far from now to act on")

    def status(self) -> tuple[EndpointStatus, ...]:
        """Every endpoint in the configured order, for metrics. Asks nothing."""
        with self._lock:
            now = self._now()
            best = best_head(self._health, now, self._tolerance.quorum)
            statuses = []
            for index, health in enumerate(self._health):
                head = known_head(health, now)
                statuses.append(
                    EndpointStatus(
                        name=health.name,
                        requests=self._requests[index],
                        errors=dict(self._errors[index]),
                        latency_seconds=self._latency[index],
                        head=None if head is None else head.number,
                        lag_blocks=None if head is None or best is None else max(0, best - head.number),
                        reason=silence(health, now) or staleness(health, best, now, self._tolerance),
                    )
                )
        return tuple(statuses)

    # One endpoint

    def _ask(self, index: int, ask: Callable[[Endpoint], _T]) -> _T:
        """Asks one endpoint, after its chain if that is not certain. Raises `RpcError`."""
        if not self._health[index].checked:
            self._admit(index)
            if index in (passed_over := self._choose().passed_over):  # that much is known only now
                raise RpcError(passed_over[index])
        return self._timed(index, ask)

    def _ask_header(self, index: int, block: int | str) -> Header:
        header = self._ask(index, lambda member: member.header(block))
        self._learn(index, header, is_head=block == "latest")
        return header

    def _admit(self, index: int) -> None:
        """Asks an endpoint for its chain and its head. Raises `WrongChainError` or another `RpcError`."""
        try:
            foreign = self._foreign(index)
            own_time = self._tolerance.max_head_age_seconds is not None and self._timed(index, _is_development_node)
            head = self._timed(index, lambda member: member.header())
        except UnansweredError:
            raise
        except RpcError as error:
            # A node that cannot even say which chain it follows is of no use, and its error answers nothing we asked.
            useless = UnansweredError(str(error), "garbage")
            self._failed(index, useless)
            raise useless from None
        if foreign is not None:
            with self._lock:
                self._errors[index]["chain"] += 1
                self._health[index] = self._health[index].exclude(foreign, self._now(), self._tolerance)
            raise WrongChainError(foreign)
        with self._lock:
            self._health[index] = self._health[index].admitted(own_time=own_time)
        self._learn(index, head, is_head=True)

    def _foreign(self, index: int) -> str | None:
        """In what an endpoint's chain is not ours."""
        name = self._members[index].name
        actual = self._timed(index, lambda member: member.quantity("eth_chainId"))
        if actual != self.chain_id:
            return f"{name} follows chain {actual}, but the configuration says chain_id {self.chain_id}"
        if self._anchor is None:
            return None
        number, expected = self._anchor
        try:
            found = self._timed(index, lambda member: member.header(number)).hash
        except (UnansweredError, NodeError):
            raise
        except RpcError as error:  # there is none
            return f"{error}: it follows another chain, or is not in sync"
        if found == expected:
            return None
        return f"{name} follows another chain with the same id: its block {number} is {found}, and not {expected}"

    def _timed(self, index: int, ask: Callable[[Endpoint], _T]) -> _T:
        started = self._now()
        trouble: str | None = None
        try:
            answer = ask(self._members[index])
        except UnansweredError as error:
            trouble = error.kind
            self._failed(index, error)
            raise
        except NodeError as error:
            # A revert is a result like any other, and the lens's only one.
            trouble = "node" if error.data is None else None
            self._answered(index, trouble)
            raise
        finally:
            took = self._now() - started
            with self._lock:
                self._requests[index] += 1
                self._latency[index] += took
            self.observe(self._members[index].name, took, trouble)
        self._answered(index)
        return answer

    def _answered(self, index: int, error: str | None = None) -> None:
        with self._lock:
            self._health[index] = self._health[index].answered()
            if error:
                self._errors[index][error] += 1

    def _failed(self, index: int, error: UnansweredError) -> None:
        with self._lock:
            self._errors[index][error.kind] += 1
            self._health[index] = self._health[index].failed(error, self._now(), self._tolerance)

    def _learn(self, index: int, header: Header, *, is_head: bool) -> None:
        with self._lock:
            if is_head:
                self._health[index] = self._health[index].saw(header, self._now(), self._wall(), self._tolerance)
            self._holders.setdefault(header.hash, set()).add(index)
            self._holders.move_to_end(header.hash)
            while len(self._holders) > _REMEMBERED:
                self._holders.popitem(last=False)

    # Several endpoints

    def _choose(self, pinned: str | None = None) -> Choice:
        with self._lock:
            holders = frozenset(self._holders.get(pinned, ())) if pinned else frozenset()
            return choose(self._health, now=self._now(), tolerance=self._tolerance, holders=holders)

    def _audible(self) -> list[int]:
        """Endpoints that may be asked, also those that are behind."""
        with self._lock:
            now = self._now()
            return [index for index, health in enumerate(self._health) if silence(health, now) is None]

    def _failover(self, ask: Callable[[int], _T], pinned: str | None = None) -> _T:
        """The first answer there is, in the order of preference."""
        choice = self._choose(pinned)
        errors: dict[int, RpcError] = {}
        refusal: NodeError | None = None
        for index in choice.order:
            try:
                return ask(index)
            except NodeError as error:
                if pinned is None or error.data is not None:
                    raise
                refusal = refusal or error
            except RpcError as error:
                errors[index] = error
        raise refusal or self._nobody(choice, errors)

    def _ask_around(self, ask: Callable[[Endpoint], Any]) -> Any:
        """The first answer other than null; null only where nobody had another."""
        choice = self._choose()
        errors: dict[int, RpcError] = {}
        for index in choice.order:
            try:
                answer = self._ask(index, ask)
            except RpcError as error:
                errors[index] = error
            else:
                if answer is not None:
                    return answer
        if len(errors) < len(choice.order):
            return None
        raise next((error for error in errors.values() if isinstance(error, NodeError)), self._nobody(choice, errors))

    def _hand_to_all(self, ask: Callable[[Endpoint], Any], raw: str) -> Any:
        """Succeeds if one endpoint takes it; raises what a node said against it rather than that others were silent."""
        answers, errors = self._gather(self._audible(), lambda index: self._ask(index, ask), enough=1)
        if answers:
            return answers[min(answers)]
        refusals = [errors[index] for index in sorted(errors) if isinstance(errors[index], NodeError)]
        if not refusals:
            raise self._nobody(self._choose(), errors)
        # "Already known", or "nonce too low" after an endpoint that took it without saying so: then it has arrived.
        hash_ = "0x" + keccak(hexstr=raw).hex()
        with suppress(RpcError):
            if self._ask_around(lambda endpoint: endpoint.request("eth_getTransactionByHash", hash_)) is not None:
                return hash_
        raise refusals[0]

    def _poll(self, block: int | str) -> tuple[dict[int, Header], dict[int, RpcError]]:
        """What every endpoint says of a block. Those that still owe the answer to an earlier poll are not asked."""
        with self._lock:
            late = {index for index, future in self._late.items() if not future.done()}
        return self._gather(
            [index for index in self._audible() if index not in late],
            lambda index: self._ask_header(index, block),
            enough=self._tolerance.quorum,
        )

    def _highest_head(self) -> Header:
        heads, errors = self._poll("latest")
        choice = self._choose()
        usable = [heads[index] for index in choice.order if index in heads]
        if not usable:
            raise self._nobody(choice, errors)
        return max(usable, key=lambda head: head.number)

    def _agreed_header(self, block: int | str) -> Header:
        """The newest block under this number or tag that enough endpoints have, if they say the same of it."""
        quorum = self._tolerance.quorum
        said, errors = self._poll(block)
        choice = self._choose()
        said = {index: said[index] for index in choice.order if index in said}
        if len(said) < quorum:
            raise self._nobody(choice, errors, f"{quorum} endpoints must agree, and {len(said)} can be asked")
        number = sorted((header.number for header in said.values()), reverse=True)[quorum - 1]
        ahead = [index for index, header in said.items() if header.number > number]
        same, later = self._gather(ahead, lambda index: self._ask_header(index, number), enough=len(ahead))
        votes = {index: header for index, header in said.items() if header.number == number} | same
        header = agreed(votes, quorum)
        if header is None:
            hashes = [f"{self._members[index].name} says {vote.hash[:10]}…" for index, vote in sorted(votes.items())]
            doubts = [*hashes, *(str(error) for error in (errors | later).values())]
            raise RpcError(f"{quorum} endpoints must agree on block {number}: {'; '.join(doubts)}")
        self._outvoted(votes, header)
        return header

    def _agreed_call(self, ask: Callable[[Endpoint], Any], pinned: str) -> Any:
        """What enough endpoints answer alike, a revert included."""
        quorum = self._tolerance.quorum
        choice = self._choose(pinned)
        votes: dict[int, str | bytes] = {}
        reverts: dict[bytes, NodeError] = {}
        errors: dict[int, RpcError] = {}

        def vote(index: int) -> str | bytes:
            try:
                return str(self._ask(index, ask))
            except NodeError as error:
                if error.data is None:
                    raise
                reverts[error.data] = error
                return error.data

        # As many as are needed at once, and each of the others only if they do not agree.
        groups = [choice.order[:quorum], *((index,) for index in choice.order[quorum:])]
        for group in groups:
            said, failed = self._gather(group, vote, enough=len(group))
            votes |= said
            errors |= failed
            outcome = agreed(votes, quorum)
            if outcome is not None:
                self._outvoted(votes, outcome)
                if isinstance(outcome, bytes):
                    raise reverts[outcome]
                return outcome
        if len(set(votes.values())) > 1:
            said_by = (f"{self._members[index].name} says {_short(votes[index])}" for index in sorted(votes))
            raise RpcError(
                f"{quorum} endpoints must agree on what a call returns, and these do not: {', '.join(said_by)}"
            )
        raise self._nobody(
            choice, errors, f"{quorum} endpoints must agree on what a call returns, {len(votes)} answered"
        )

    def _outvoted(self, votes: Mapping[int, _T], outcome: _T) -> None:
        with self._lock:
            for index, vote in votes.items():
                if vote != outcome:
                    self._errors[index]["disagreed"] += 1

    def _gather(
        self, indexes: Iterable[int], ask: Callable[[int], _T], *, enough: int
    ) -> tuple[dict[int, _T], dict[int, RpcError]]:
        """Asks all at once. When `enough` have answered, the others are waited for only a little longer."""
        answers: dict[int, _T] = {}
        errors: dict[int, RpcError] = {}
        pending: dict[Future[_T], int] = {self._pool.submit(ask, index): index for index in indexes}
        while pending:
            patience = self._tolerance.patience_seconds if len(answers) >= enough else None
            done, _ = wait(pending, patience, FIRST_COMPLETED)
            if not done:
                break
            for future in done:
                index = pending.pop(future)
                try:
                    answers[index] = future.result()
                except RpcError as error:
                    errors[index] = error
        with self._lock:
            for future, index in pending.items():
                errors[index] = RpcError(f"{self._members[index].name} has not answered yet")
                self._late[index] = future
        return answers, errors

    def _nobody(self, choice: Choice, errors: Mapping[int, RpcError], why: str | None = None) -> RpcError:
        """Says of each endpoint why it gave nothing."""
        if len(self._members) == 1 and errors:
            return next(iter(errors.values()))
        reasons = dict(choice.passed_over) | {index: str(error) for index, error in errors.items()}
        said = "; ".join(reasons[index] for index in sorted(reasons))
        with self._lock:
            foreign = all(health.excluded for health in self._health)
        error = WrongChainError if foreign else RpcError
        return error(f"{why or f'no endpoint of chain {self.chain_id} can be used'}: {said}")


def pinned_hash(params: Sequence[Any]) -> str | None:
    """The block hash at which a request is to be answered (EIP-1898), if it is."""
    for param in params:
        if isinstance(param, dict) and isinstance(param.get("blockHash"), str):
            return str(param["blockHash"])
    return None


def _short(answer: str | bytes) -> str:
    """The beginning of what a call returned, and the end: a long answer may differ in one number only."""
    text = answer if isinstance(answer, str) else "0x" + answer.hex()
    return one_line(text if len(text) <= 20 else f"{text[:10]}…{text[-8:]}")


def _is_development_node(endpoint: Endpoint) -> bool:
    try:
        return endpoint.is_development_node()
    except NodeError:  # it does not say: then its clock must be right
        return False


def _named(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """Two endpoints of one provider differ in their credentials only, and those are not in their names."""
    seen: Counter[str] = Counter()
    members = tuple(endpoints)
    for member in members:
        seen[member.name] += 1
        if seen[member.name] > 1:
            member.name += f" ({seen[member.name]})"
    return members
