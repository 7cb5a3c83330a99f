"""The rule: a plan, the looks so far, and the one verdict that they give."""
