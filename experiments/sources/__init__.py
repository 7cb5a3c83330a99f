"""Analysis on the engine that users already have: declared here, opened lazily, read as one."""
