"""What the project's own files are made of."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from eth_utils.address import is_hex_address, to_checksum_address
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints, model_validator

_VARIABLE = re.compile(r"\$\{([^}]*)\}")


def from_environment(text: str) -> str:
    """`text` with each `${NAME}` in it read from the environment. Raises `ValueError` if one is not set or empty."""

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if not found:
            raise ValueError(f"the environment variable {match[1]} is not set")
        return found

    return _VARIABLE.sub(value, text)


def _address(value: Any) -> str:
    # YAML reads an unquoted address as a number.
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"0x{value:040x}"
    if not isinstance(value, str) or not is_hex_address(value):
        raise ValueError(f"{value!r} is no address")
    return to_checksum_address(value)


Address = Annotated[str, BeforeValidator(_address)]
"""A checksummed address, read from any spelling."""


Hash = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-f]{64}$")]
"""32 bytes in lower-case hexadecimal."""


_VARIABLE = re.compile(r"\$\{([^}]*)\}")


def _url(url: str) -> str:
    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if not found:
            raise ValueError(f"the environment variable {match[1]} is not set")
        return found

    url = _VARIABLE.sub(value, url)
    address = urlsplit(url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ValueError("must be an http:// or https:// URL")
    return url


Url = Annotated[str, AfterValidator(_url)]
"""An HTTP address. `${NAME}` in it is read from the environment, so that no credential need stand in a file."""


class Strict(BaseModel):
    """A part of a file that people write: frozen, and an unknown key is refused by naming those that are known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, cls):
            return data
        allowed = ", ".join(sorted(cls.model_fields))
        if not isinstance(data, dict):
            raise ValueError(f"must be keys and values; allowed keys: {allowed}")  # noqa: TRY004 - pydantic wants this
        unknown = [key for key in data if key not in cls.model_fields]
        if unknown:
            raise ValueError(f"unknown key {unknown[0]!r}; allowed: {allowed}")
        return data
