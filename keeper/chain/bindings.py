"""Calls, logs and errors of the project's contracts, encoded and decoded by their ABI."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import (
    abi_to_signature,
    collapse_if_tuple,
    event_abi_to_log_topic,
    function_abi_to_4byte_selector,
    function_signature_to_4byte_selector,
    get_abi_input_types,
    get_abi_output_types,
)

from keeper.chain import artifacts
from keeper.chain.errors import RpcError, one_line
from keeper.chain.rpc import Endpoint
from keeper.domain.errors import InputError

# Solady reverts in assembly, so its errors are in no ABI; `Error` and `Panic` are the compiler's own.
_UNLISTED_ERRORS: dict[str, tuple[str, ...]] = {
    "Error(string)": ("reason",),
    "Panic(uint256)": ("code",),
    "Reentrancy()": (),
    "TransferFailed()": (),
    "TransferFromFailed()": (),
    "InsufficientBalance()": (),
    "InsufficientAllowance()": (),
}
_CONTRACTS = ("IndexVault", "VaultAdmin", "PriceOracle", "SwapExecutor", "AuctionFiller", "Lens")


def _function(name: str, inputs: dict[str, str], output: str) -> dict[str, Any]:
    return {
        "type": "function",
        "name": name,
        "inputs": [{"name": argument, "type": kind} for argument, kind in inputs.items()],
        "outputs": [{"name": "", "type": output}],
    }


class Interface:
    """The functions and events of one ABI, by name; no contract of the project overloads a name it uses."""

    def __init__(self, abi: Iterable[Mapping[str, Any]]) -> None:
        self._items: dict[str, Any] = {item["name"]: item for item in abi if "name" in item}

    def encode(self, function: str, *arguments: Any) -> bytes:
        """Calldata of a call."""
        item = self._items[function]
        return function_abi_to_4byte_selector(item) + abi_encode(get_abi_input_types(item), arguments)

    def decode(self, function: str, output: bytes) -> tuple[Any, ...]:
        """The values a function returned."""
        return abi_decode(get_abi_output_types(self._items[function]), output)

    def topic(self, event: str) -> str:
        """The first topic of an event's logs."""
        return "0x" + event_abi_to_log_topic(self._items[event]).hex()

    def decode_log(self, event: str, log: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a log of `event`, by name. Indexed arguments must be value types."""
        inputs = self._items[event]["inputs"]
        indexed = [item for item in inputs if item["indexed"]]
        plain = [item for item in inputs if not item["indexed"]]
        topics = b"".join(bytes.fromhex(topic[2:]) for topic in log["topics"][1:])
        return {
            **_named(indexed, topics),
            **_named(plain, bytes.fromhex(log["data"][2:])),
        }


ERC20 = Interface(
    [
        {
            "type": "event",
            "name": "Transfer",
            "inputs": [
                {"name": "from", "type": "address", "indexed": True},
                {"name": "to", "type": "address", "indexed": True},
                {"name": "amount", "type": "uint256", "indexed": False},
            ],
        },
        _function("allowance", {"owner": "address", "spender": "address"}, "uint256"),
        _function("approve", {"spender": "address", "amount": "uint256"}, "bool"),
        _function("balanceOf", {"account": "address"}, "uint256"),
        _function("decimals", {}, "uint8"),
        _function("transfer", {"to": "address", "amount": "uint256"}, "bool"),
    ]
)
"""What the project asks of any token."""

ERC4626 = Interface(
    [
        _function("asset", {}, "address"),
        _function("convertToAssets", {"shares": "uint256"}, "uint256"),
    ]
)
"""What the project asks of a token that is a share of others."""


@lru_cache(maxsize=8)
def interface(contract: str) -> Interface:
    """The interface of one of the project's contracts."""
    return Interface(artifacts.load(contract).abi)


def constructor_call(contract: str, *arguments: Any) -> bytes:
    """Init code of a contract followed by its constructor's arguments."""
    artifact = artifacts.load(contract)
    constructor: dict[str, Any] = next((item for item in artifact.abi if item["type"] == "constructor"), {"inputs": []})
    types = [collapse_if_tuple(argument) for argument in constructor["inputs"]]
    return artifact.bytecode + abi_encode(types, arguments)


def view(
    endpoint: Endpoint, contract: str | Interface, address: str, function: str, *arguments: Any, block: object
) -> Any:
    """The value, or the tuple of values, that a view function returns at `block` (a JSON-RPC block parameter).

    `contract` is the name of one of the project's contracts, or the interface of a foreign one.
    """
    abi = interface(contract) if isinstance(contract, str) else contract
    call = {"to": address, "data": "0x" + abi.encode(function, *arguments).hex()}
    output = endpoint.data("eth_call", call, block)
    try:
        values = abi.decode(function, output)
    except DecodingError:
        raise InputError(f"the contract at {address} does not answer {function}() as it should") from None
    return values[0] if len(values) == 1 else values


def explain(data: bytes | None) -> str:
    """Revert data in words: the custom error's name and the numbers in it."""
    if not data:
        return "reverted without a reason"
    error = decode_error(data)
    if error is None:
        return f"reverted with the unknown error 0x{data[:4].hex()}"
    name, arguments = error
    if name == "Error":
        return one_line(arguments["reason"])
    return f"{name}({', '.join(f'{key} {_shown(value)}' for key, value in arguments.items())})"


def decode_error(data: bytes) -> tuple[str, dict[str, Any]] | None:
    """Name and arguments of the error in revert data; None if no contract of the project is known to raise it."""
    known = _errors().get(data[:4])
    if known is None:
        return None
    name, types, names = known
    try:
        return name, dict(zip(names, abi_decode(types, data[4:]), strict=True))
    except (DecodingError, UnicodeDecodeError):
        return None


@lru_cache(maxsize=1)
def _errors() -> dict[bytes, tuple[str, list[str], list[str]]]:
    """Selector -> name, argument types, argument names."""
    known = {
        function_signature_to_4byte_selector(signature): (
            signature.partition("(")[0],
            [kind for kind in signature.partition("(")[2].rstrip(")").split(",") if kind],
            list(names),
        )
        for signature, names in _UNLISTED_ERRORS.items()
    }
    for contract in _CONTRACTS:
        for item in artifacts.load(contract).abi:
            if item["type"] == "error":
                selector = function_signature_to_4byte_selector(abi_to_signature(item))  # type: ignore[arg-type]  # untyped JSON
                known[selector] = (
                    item["name"],
                    get_abi_input_types(item),  # type: ignore[arg-type]  # untyped JSON
                    [argument["name"] for argument in item["inputs"]],
                )
    return known


def _named(inputs: list[Any], data: bytes) -> dict[str, Any]:
    try:
        values = abi_decode([item["type"] for item in inputs], data)
    except DecodingError:
        raise RpcError("the node returned a log that does not fit its event") from None
    return dict(zip((item["name"] for item in inputs), values, strict=True))


def _shown(value: Any) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
