"""The bytes to store, their names and checksums."""
