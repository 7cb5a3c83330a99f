"""What people do and ask for: create, seal, start, stop, ship, read, account for."""
