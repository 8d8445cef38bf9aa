"""From text to domain objects, with one clear line for whatever is wrong with it."""

import json
from collections.abc import Callable
from typing import Any

import yaml
from pydantic import ValidationError

from keeper.domain.decision import Decision
from keeper.domain.errors import InputError, explain
from keeper.domain.forecast import inlined
from keeper.domain.policy import Policy
from keeper.domain.snapshot import Snapshot


def load_snapshot(text: str) -> Snapshot:
    """Read a snapshot file (JSON, version 1).

    Raises:
        InputError: it is malformed or inconsistent.
    """
    try:
        return Snapshot.model_validate_json(text)
    except ValidationError as error:
        raise InputError(f"snapshot: {explain(error)}") from None


def load_policy(text: str, read: Callable[[str], str] | None = None) -> Policy:
    """Read a policy (YAML or JSON). ``read`` gives the text of a model's file that it names.

    Raises:
        InputError: it is malformed, or a value is out of bounds.
    """
    try:
        return Policy.model_validate(with_models(_parse(text), read))
    except ValidationError as error:
        raise InputError(f"policy: {explain(error)}") from None
    except RecursionError:
        raise InputError("policy: it is nested too deeply, or contains itself") from None


def load_decision(text: str) -> Decision:
    """Read a decision as ``keeper plan --json`` prints it.

    Raises:
        InputError: it is malformed.
    """
    try:
        return Decision.model_validate_json(text)
    except ValidationError as error:
        raise InputError(f"plan: {explain(error)}") from None


def with_models(data: Any, read: Callable[[str], str] | None) -> Any:
    """Policy data with the models that it names in their places. Raises `InputError` if one is not JSON."""

    def model(name: str) -> Any:
        if read is None:
            raise InputError(f"policy: the model {name} is a file, and this policy is not: write the model out in it")
        try:
            return json.loads(read(name))
        except json.JSONDecodeError as error:
            raise InputError(f"{name}: a model is JSON, as `keeper train` writes it: {error}") from None

    return inlined(data, model)


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
