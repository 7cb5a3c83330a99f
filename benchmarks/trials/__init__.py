"""Simulated experiments, end to end: their worlds, the machine that runs them, and what it did."""
