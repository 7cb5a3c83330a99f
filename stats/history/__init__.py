"""What past experiments and parts of one experiment say together."""
