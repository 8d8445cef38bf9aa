"""Errors that a person can act on."""

import re

from pydantic import ValidationError

_IN_PLAIN_WORDS = {
    "extra_forbidden": "unknown field",
    "missing": "missing",
    "model_type": "must be a mapping of fields",
}

_DECIMAL = re.compile(r"Decimal\('([^']*)'\)")


class InputError(ValueError):
    """Bad input or configuration; the message is one line that says what is wrong and what to do."""


def explain(error: ValidationError) -> str:
    """The first thing that is wrong, in one line, with its place in the file."""
    first, *others = error.errors(include_url=False)
    place = ".".join(str(part) for part in first["loc"])
    message = _IN_PLAIN_WORDS.get(first["type"]) or " ".join(first["msg"].removeprefix("Value error, ").split())
    message = _DECIMAL.sub(r"\1", message)
    more = f" (and {len(others)} more)" if others else ""
    return f"{place}: {message}{more}" if place else f"{message}{more}"
