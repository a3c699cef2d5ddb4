"""Send the bytes of an answer, from this process or another server."""
