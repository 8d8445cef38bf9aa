"""Ballast: an on-chain index keeper.

The decision alone, without a chain::

    from keeper.domain import load_policy, load_snapshot
    from keeper.policy import decide
    decision = decide(load_snapshot(snapshot_text), load_policy(policy_text))
"""
