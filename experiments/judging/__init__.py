"""From sums to a verdict, and the decision record that anybody can recompute."""
