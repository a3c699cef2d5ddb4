"""Who sends the bytes of an answer, and how they are read."""
