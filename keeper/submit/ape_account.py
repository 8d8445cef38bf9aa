"""An account that Ape unlocked, as whatever signs and sends for the scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ape.api import AccountAPI, ProviderAPI

    from keeper.submit.deployer import Send


def sender(provider: ProviderAPI, account: AccountAPI) -> Send:
    """Signs with `account` and sends through `provider`. Raises Ape's own errors."""

    def send(to: str | None, data: bytes) -> Any:
        # Whoever sends reads back what came of it; waiting for further blocks would hang on a chain that mines on
        # demand.
        call: dict[str, Any] = {"sender": account.address, "data": data, "required_confirmations": 0}
        if to:
            call["receiver"] = to
        receipt = account.call(provider.network.ecosystem.create_transaction(**call))
        return provider.make_request("eth_getTransactionReceipt", [receipt.txn_hash])

    return send
