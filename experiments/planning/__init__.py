"""What a plan can prove by when, how often it errs, and whether it may start."""
