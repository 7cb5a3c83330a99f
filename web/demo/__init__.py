"""The demo: a small shop of real processes under experiment, on embedded stores."""
