"""Sufficient statistics: what is kept of the rows. All of them merge by ``+``."""
