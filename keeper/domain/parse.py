"""From text to domain objects, with one clear line for whatever is wrong with it."""

import json
from collections.abc import Callable, Hashable
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


def read_yaml(text: str, name: str) -> Any:
    """What a YAML file says, as JSON could say it too; ``name`` is what a person calls the file.

    Raises:
        InputError: it is no YAML, gives a key twice, contains itself, or has a key that is no text.
    """
    try:
        found = yaml.load(text, _PlainLoader)  # noqa: S506  a SafeLoader
        json.dumps(found, default=str, check_circular=False)
    except RecursionError:
        raise InputError(f"{name} is nested too deeply, or contains itself") from None
    except TypeError as error:
        raise InputError(f"{name} has a key that is no text: {_in_one_line(error)}") from None
    except (yaml.YAMLError, ValueError) as error:  # the latter of a date that is none, or too long a number
        raise InputError(f"{name} is not YAML: {_in_one_line(error)}") from None
    return found


class _PlainLoader(yaml.SafeLoader):
    """One of two values of a key would be lost without a word, so that is an error here."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != _MERGED]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.constructor.ConstructorError(problem=f"{twice[0]} is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


_MERGED = "tag:yaml.org,2002:merge"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise InputError(f"{next(name for name in names if names.count(name) > 1)} is given twice")
    return found


def _parse(text: str) -> Any:
    # JSON first: YAML 1.1 takes 1e-3, a number in JSON, for a string.
    try:
        return json.loads(text, object_pairs_hook=_once)
    except InputError as error:
        raise InputError(f"policy: {error}") from None
    except ValueError:
        return read_yaml(text, "policy: it")


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())
