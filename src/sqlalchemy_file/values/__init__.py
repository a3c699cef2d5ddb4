"""What file columns hold, and how a file becomes a stored object."""
