"""Reading the chain: compiled artifacts, endpoints, bindings and the snapshot."""
