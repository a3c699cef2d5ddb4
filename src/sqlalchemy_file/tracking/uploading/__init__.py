"""What a flush does before its statements: validate and store files."""
