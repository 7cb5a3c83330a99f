"""What the service costs and how soon a change arrives, measured on a real one of its own."""
