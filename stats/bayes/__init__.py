"""A view of the same numbers, never a decision."""
