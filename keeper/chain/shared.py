"""One reading for all vaults of a group, whichever of their loops asks first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from threading import Lock

from keeper.chain.errors import RpcError
from keeper.chain.lens import Group, Lens, Reading
from keeper.chain.rpc import Endpoint, Header
from keeper.domain.errors import InputError

_REMEMBERED = 2
"""Blocks: a loop may be one behind the others."""


class Readings:
    """What a group's vaults are at the latest blocks. Any thread may ask; the first one reads for all."""

    def __init__(self, lenses: Sequence[Lens]) -> None:
        """Raises `ValueError` unless the vaults can be read together."""
        self._group = Group(lenses)
        self._lock = Lock()
        self._found: OrderedDict[str, dict[str, Reading | InputError] | RpcError | InputError] = OrderedDict()

    def at(self, endpoint: Endpoint, header: Header, vault: str) -> Reading:
        """Raises what reading raised, to every vault that it concerns; a block is not read twice."""
        with self._lock:
            if header.hash not in self._found:
                self._found[header.hash] = self._read(endpoint, header)
                if len(self._found) > _REMEMBERED:
                    self._found.popitem(last=False)
            found = self._found[header.hash]
        reading = found[vault] if isinstance(found, dict) else found
        # A new one each time: an exception that several threads raise gathers all their tracebacks.
        if isinstance(reading, InputError):
            raise InputError(str(reading))
        if isinstance(reading, RpcError):
            raise RpcError(str(reading))
        return reading

    def _read(self, endpoint: Endpoint, header: Header) -> dict[str, Reading | InputError] | RpcError | InputError:
        try:
            found = self._group.read_at(endpoint, header)
        except (RpcError, InputError) as error:
            return error
        return {lens.vault: reading for lens, reading in zip(self._group.lenses, found, strict=True)}


@dataclass(frozen=True, slots=True)
class SharedLens(Lens):
    """The lens of a vault that is read with others."""

    readings: Readings = field(kw_only=True, repr=False, compare=False)

    def read_at(self, endpoint: Endpoint, header: Header) -> Reading:
        return self.readings.at(endpoint, header, self.vault)


def share(lenses: Sequence[Lens]) -> list[Lens]:
    """The same lenses, those of one market reading together."""
    markets: dict[tuple[object, ...], list[Lens]] = {}
    for lens in lenses:
        markets.setdefault(lens.market, []).append(lens)
    shared: dict[Lens, Lens] = {}
    for together in markets.values():
        readings = Readings(together) if len(together) > 1 else None
        for lens in together:
            shared[lens] = lens if readings is None else _shared(lens, readings)
    return [shared[lens] for lens in lenses]


def _shared(lens: Lens, readings: Readings) -> SharedLens:
    return SharedLens(**{part.name: getattr(lens, part.name) for part in fields(lens)}, readings=readings)
