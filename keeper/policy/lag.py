"""Oracle lag is not gain: what a dollar of an asset is worth where pools and oracle disagree a little."""

from collections.abc import Mapping
from itertools import combinations

from keeper.domain import Policy, Snapshot
from keeper.policy.filters import sides_usd


def gains(snapshot: Snapshot, policy: Policy) -> Mapping[str, float] | None:
    """Per asset, its price in the pools over the oracle's, held inside the feeds' band; None if the policy has none.

    A feed moves only when the market has left its deviation threshold, so a pool inside that band is as likely right as
    the oracle, and what seems to be gained between the two is not counted. The pools' price is the mean, weighted by
    depth, over those that trade the asset against another one, valued by the oracle.
    """
    if policy.feed_deviation is None:
        return None
    band = float(policy.feed_deviation)
    weight = dict.fromkeys(snapshot.asset, 0.0)
    total = dict.fromkeys(snapshot.asset, 0.0)
    for pool in snapshot.pools:
        for pair in combinations(pool.tokens, 2):
            a, b = sides_usd(snapshot, pool, pair)
            if a <= 0 or b <= 0:
                continue
            for token, price in ((pair[0], b / a), (pair[1], a / b)):
                weight[token] += min(a, b)
                total[token] += min(a, b) * price
    return {
        token: min(max(total[token] / weight[token], 1 - band), 1 + band) if weight[token] else 1.0
        for token in snapshot.asset
    }
