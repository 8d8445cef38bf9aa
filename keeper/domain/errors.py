"""Errors that a person can act on."""

import re

from pydantic import ValidationError

_IN_PLAIN_WORDS = {
    "extra_forbidden": "unknown field",
    "missing": "missing",
    "model_type": "must be a mapping of fields",
    "model_attributes_type": "must be a mapping of fields",
    "union_tag_not_found": "kind is missing",
}

_CHOICE = re.compile(r"(list|tuple)\[.*\]|constrained-(int|float|str)")
"""What pydantic calls the choice that it took where a value may be of several types."""
_DECIMAL = re.compile(r"Decimal\('([^']*)'\)")


class InputError(ValueError):
    """Bad input or configuration; the message is one line that says what is wrong and what to do."""


def explain(error: ValidationError) -> str:
    """The first thing that is wrong, in one line, with its place in the file."""
    found = error.errors(include_url=False)
    # A list whose only entry is wrong is not also too short.
    blamed = {entry["loc"][:depth] for entry in found for depth in range(len(entry["loc"]))}
    first, *others = (entry for entry in found if entry["type"] != "too_short" or entry["loc"] not in blamed)
    place = ".".join(part for part in map(str, first["loc"]) if not _CHOICE.fullmatch(part))
    message = _IN_PLAIN_WORDS.get(first["type"]) or " ".join(first["msg"].removeprefix("Value error, ").split())
    message = _DECIMAL.sub(r"\1", message)
    more = f" (and {len(others)} more)" if others else ""
    return f"{place}: {message}{more}" if place else f"{message}{more}"
