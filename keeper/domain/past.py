"""What a decision may know of the time before its block: prices at an even interval, and what was last done.

A pure fold over snapshots keeps it (`keeper.policy.remember`), so its size is fixed and replaying it gives the same.
"""

from collections.abc import Hashable
from functools import cached_property
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from keeper.pools.base import Address, Model
from keeper.units import Wad

Seconds = Annotated[int, Field(ge=0)]

Price = Annotated[Wad, Field(gt=0)]


class Closes(Model):
    """Oracle prices of one token (USD WAD for one whole token), oldest first, one for each interval."""

    token: Address
    prices: Annotated[tuple[Price, ...], Field(min_length=1)]


class Programme(Model):
    """A rebalance under way in slices: ``done`` of ``slices`` are executed, the next is due at ``next_at``.

    ``interval`` is the time between slices, at ``deadline`` what is left of it is given up; at a drift of
    ``goal_drift`` (WAD) it has reached what it was for.
    """

    slices: Annotated[int, Field(ge=2)]
    done: Annotated[int, Field(ge=0)]
    interval: Annotated[int, Field(gt=0)]
    next_at: Seconds
    deadline: Seconds
    goal_drift: Wad

    @model_validator(mode="after")
    def _is_under_way(self) -> Self:
        if self.done >= self.slices:
            raise ValueError(f"{self.done} of {self.slices} slices are done: then there is no programme")
        return self


class Past(Model):
    """The time before a block, in seconds since 1970.

    ``since`` is when remembering began, ``rebalanced_at`` the timestamp of the last executed batch. ``closes`` has a
    price for each ``interval`` seconds, the last one seen at ``sampled_at``; a token that joined later has fewer.
    """

    since: Seconds
    rebalanced_at: Seconds | None = Field(default=None, exclude_if=lambda at: at is None)
    interval: Annotated[int, Field(gt=0)]
    sampled_at: Seconds
    closes: tuple[Closes, ...]
    programme: Programme | None = Field(default=None, exclude_if=lambda programme: programme is None)

    @model_validator(mode="after")
    def _tokens_are_distinct(self) -> Self:
        if len({entry.token.lower() for entry in self.closes}) < len(self.closes):
            raise ValueError("a token has two rows of closes")
        return self

    @cached_property
    def returns(self) -> dict[str, NDArray[np.float64]]:
        """Log returns by token address in lower case, oldest first, shape (prices - 1,)."""
        return {entry.token.lower(): np.diff(np.log(np.array(entry.prices, dtype=np.float64))) for entry in self.closes}

    @cached_property
    def memo(self) -> dict[Hashable, Any]:
        """Room for what is computed of `returns`: most decisions share one past, and need not compute it again."""
        return {}

    def replaced(self, **changes: Any) -> "Past":
        """This past with other values, unchecked; what was computed of the closes stays while they do."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        other = Past.model_construct(**(fields | changes))
        if "closes" not in changes:
            other.__dict__ |= {name: self.__dict__[name] for name in ("returns", "memo") if name in self.__dict__}
        return other
