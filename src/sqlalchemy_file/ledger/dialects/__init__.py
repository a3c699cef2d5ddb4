"""The triggers of each database."""
