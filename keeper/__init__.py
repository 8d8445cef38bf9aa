"""Ballast: an on-chain index keeper."""
