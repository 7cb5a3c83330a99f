"""One move in one transaction: row, flag, record, ledger and audit, and what it needs."""
