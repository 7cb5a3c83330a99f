"""The same machine on recorded files: replay, and calibration by dealing anew."""
