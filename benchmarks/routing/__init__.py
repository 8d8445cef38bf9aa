"""How good and how fast the router is, beside its peers. Run by `make bench-routing`."""
