"""Where events live: a durable inbox, Parquet behind it, and one consistent view of both."""
