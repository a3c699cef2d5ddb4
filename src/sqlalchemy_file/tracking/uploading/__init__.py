"""What a flush does before its statements: files are checked and stored."""
