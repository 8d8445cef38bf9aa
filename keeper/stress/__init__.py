"""What happens to a vault on its worst days: on the embedded chain, by the real contracts, and in simulation."""
