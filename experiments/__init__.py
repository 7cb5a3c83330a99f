"""What is learned: plans, events, looks, verdicts, and the records that prove them."""
