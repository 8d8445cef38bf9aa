"""When to refuse although there may be something to do."""

from keeper.domain import Policy, Snapshot


def stale_price(snapshot: Snapshot, policy: Policy) -> str | None:
    """Why the oracle prices are not to be relied on; None if they are."""
    if policy.max_price_age is None:
        return None
    for asset in snapshot.vault.assets:
        age = snapshot.block.timestamp - asset.price_updated_at
        if age > policy.max_price_age:
            symbol = snapshot.symbol(asset.token)
            return f"the price of {symbol} is {age} s old, at most {policy.max_price_age} s is allowed"
    return None


def dear_gas(gas_price: int, policy: Policy) -> str | None:
    """Why gas is too dear to trade; None if it is not."""
    if policy.max_gas_price_wei is None or gas_price <= policy.max_gas_price_wei:
        return None
    return f"gas costs {gas_price} wei, at most {policy.max_gas_price_wei} wei is allowed"
