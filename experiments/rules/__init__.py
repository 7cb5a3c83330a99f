"""Which rules an experiment or release writes into its flag, and who is held back."""
