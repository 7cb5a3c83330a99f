"""Many tests at once: what may still be believed."""
