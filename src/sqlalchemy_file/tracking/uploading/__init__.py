"""A flush before its statements: validate and store files."""
