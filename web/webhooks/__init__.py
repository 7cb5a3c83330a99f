"""Outgoing webhooks and inbound kill hooks; nothing here knows of Flask."""
