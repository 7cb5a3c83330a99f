"""Tests at scheduled looks: error that is spent by a plan, and the bounds that follow from it."""
