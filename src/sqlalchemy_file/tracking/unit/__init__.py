"""The unit of work of one connection, and what it counts."""
