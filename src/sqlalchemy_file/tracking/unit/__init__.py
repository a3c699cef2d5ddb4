"""The unit of work of one connection, and its counts."""
