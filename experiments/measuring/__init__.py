"""From a plan and recorded events, or rows in a source, to sums per arm."""
