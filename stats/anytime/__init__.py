"""Evidence that may be read at any moment, scheduled or not."""
