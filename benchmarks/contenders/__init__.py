"""The contenders: one module each, with a function for every kind of work it can do."""
