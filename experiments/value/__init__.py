"""Money: what a move writes into the value ledger, and what the ledger says of the past."""
