"""The file that a deployment leaves behind: which contracts, and on which chain, down to the block."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from eth_utils.crypto import keccak
from pydantic import ValidationError

from keeper.chain.errors import WrongChainError
from keeper.chain.fields import Address, Hash, Strict
from keeper.chain.rpc import Endpoint
from keeper.domain.errors import InputError, explain


class DeploymentBlock(Strict):
    """A block of the chain deployed to, at or after the deployment; its hash tells this chain from any copy of it."""

    number: int
    hash: Hash


class CodeHashes(Strict):
    """Keccak of the code that stands at each address."""

    vault: Hash
    admin: Hash
    oracle: Hash
    executor: Hash


class Deployment(Strict):
    """One vault with its oracle and executor, and the contract whose code changes its settings.

    `native_token` is the wrapped native token, which gas is priced in.
    """

    version: Literal[1] = 1
    chain_id: int
    deployment_block: DeploymentBlock
    vault: Address
    admin: Address
    oracle: Address
    executor: Address
    native_token: Address
    code_hashes: CodeHashes

    @classmethod
    def load(cls, path: Path) -> Deployment:
        """Reads a deployment file; raises `InputError`."""
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise InputError(f"cannot read the deployment file {path}: {error.strerror}") from None
        except ValidationError as error:
            raise InputError(f"{path}: {explain(error)}") from None
        except ValueError as error:
            raise InputError(f"{path} is not JSON: {error}") from None

    def save(self, path: Path) -> None:
        """Writes the deployment file, and the directories above it where they are missing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def record(
        cls,
        endpoint: Endpoint,
        *,
        block_number: int,
        vault: str,
        admin: str,
        oracle: str,
        executor: str,
        native_token: str,
    ) -> Deployment:
        """The deployment file of contracts that stand at these addresses since `block_number` or before."""
        return cls(
            chain_id=endpoint.quantity("eth_chainId"),
            deployment_block=DeploymentBlock(number=block_number, hash=endpoint.header(block_number).hash),
            vault=vault,
            admin=admin,
            oracle=oracle,
            executor=executor,
            native_token=native_token,
            code_hashes=CodeHashes(
                vault=code_hash(endpoint, vault),
                admin=code_hash(endpoint, admin),
                oracle=code_hash(endpoint, oracle),
                executor=code_hash(endpoint, executor),
            ),
        )

    def check_chain(self, endpoint: Endpoint) -> None:
        """Raises `WrongChainError` unless this deployment was made on the very chain that the endpoint follows.

        A development chain may have any chain id, mainnet's too, but never mainnet's block hashes.
        """
        endpoint.check_chain_id(self.chain_id)
        block = self.deployment_block
        head = endpoint.header()
        if head.number < block.number:
            raise WrongChainError(
                f"{endpoint.name} is at block {head.number}, before the deployment in block {block.number}: "
                "it is another chain, or not in sync"
            )
        found = endpoint.header(block.number).hash
        if found != block.hash:
            raise WrongChainError(
                f"block {block.number} at {endpoint.name} is {found}, but the deployment was made on a chain where it "
                f"is {block.hash}: this is another chain with the same id"
            )

    def check_code(self, endpoint: Endpoint) -> None:
        """Raises `InputError` unless the recorded code stands at every address."""
        for name, expected in self.code_hashes.model_dump().items():
            address = getattr(self, name)
            found = code_hash(endpoint, address)
            if found != expected:
                raise InputError(f"the {name} at {address} has code hash {found}, but {expected} was deployed")


def code_hash(endpoint: Endpoint, address: str) -> str:
    """Keccak of the code at `address`; raises `InputError` if there is none."""
    code = endpoint.data("eth_getCode", address, "latest")
    if not code:
        raise InputError(f"there is no contract at {address} on the chain that {endpoint.name} follows")
    return "0x" + keccak(code).hex()
