"""What rows refer to, and how many files there are."""
