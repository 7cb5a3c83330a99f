"""What the worker does by itself: looks, ramps, deadlines, comparisons, audits."""
