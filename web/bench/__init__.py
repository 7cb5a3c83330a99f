"""Measurements on the machine of whoever asks: ``flagstone bench eval`` and ``bench serve``."""
