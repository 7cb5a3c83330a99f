"""Who gets how much of the next batch, and what may be said afterwards."""
