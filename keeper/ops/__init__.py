"""Watching over the keeper: what must be in order before it sends, and how its vault stands."""
