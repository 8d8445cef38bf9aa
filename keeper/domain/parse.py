"""From text to domain objects, with one clear line for whatever is wrong with it."""

import json
from typing import Any

import yaml
from pydantic import ValidationError

from keeper.domain.decision import Decision
from keeper.domain.errors import InputError
from keeper.domain.policy import Policy
from keeper.domain.snapshot import Snapshot

_IN_PLAIN_WORDS = {
    "extra_forbidden": "unknown field",
    "missing": "missing",
    "model_type": "must be a mapping of fields",
}


def load_snapshot(text: str) -> Snapshot:
    """Read a snapshot file (JSON, version 1).

    Raises:
        InputError: it is malformed or inconsistent.
    """
    try:
        return Snapshot.model_validate_json(text)
    except ValidationError as error:
        raise InputError(f"snapshot: {explain(error)}") from None


def load_policy(text: str) -> Policy:
    """Read a policy (YAML or JSON).

    Raises:
        InputError: it is malformed, or a value is out of bounds.
    """
    try:
        return Policy.model_validate(_parse(text))
    except ValidationError as error:
        raise InputError(f"policy: {explain(error)}") from None


def load_decision(text: str) -> Decision:
    """Read a decision as ``keeper plan --json`` prints it.

    Raises:
        InputError: it is malformed.
    """
    try:
        return Decision.model_validate_json(text)
    except ValidationError as error:
        raise InputError(f"plan: {explain(error)}") from None


def explain(error: ValidationError) -> str:
    """The first thing that is wrong, in one line, with its place in the file."""
    first, *others = error.errors(include_url=False)
    place = ".".join(str(part) for part in first["loc"])
    message = _IN_PLAIN_WORDS.get(first["type"]) or " ".join(first["msg"].removeprefix("Value error, ").split())
    more = f" (and {len(others)} more)" if others else ""
    return f"{place}: {message}{more}" if place else f"{message}{more}"


def _parse(text: str) -> Any:
    # JSON first: YAML 1.1 takes 1e-3, a number in JSON, for a string.
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        pass
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"policy: neither JSON nor YAML: {' '.join(str(error).split())}") from None
