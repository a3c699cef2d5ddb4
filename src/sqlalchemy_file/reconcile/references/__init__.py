"""The references of rows, and the number of files."""
