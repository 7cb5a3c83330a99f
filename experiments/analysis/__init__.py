"""One expression that any SQL engine can run: from raw events to the sums of each arm."""
