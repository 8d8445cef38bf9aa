"""What a policy may name of a basket."""

from collections.abc import Sequence
from typing import TypeAlias

Basket: TypeAlias = Sequence[tuple[str, str]]
"""Symbol and address of each asset, in the vault's order."""
