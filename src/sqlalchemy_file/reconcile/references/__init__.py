"""What rows name, and how many files they hold."""
