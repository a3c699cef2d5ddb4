"""What the bytes of a file say: one module for each way to find out."""
