"""Writing to the chain: orders, programs, signatures, transactions and what became of them."""
