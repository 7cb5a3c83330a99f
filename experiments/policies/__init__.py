"""Stored policies of a project: tried by the worker, published, and copied into plans by name."""
