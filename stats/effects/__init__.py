"""What one look says of one metric: estimates, intervals, and the statistics that are bounded."""
