"""flagstone."""
