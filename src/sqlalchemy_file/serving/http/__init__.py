"""RFC 9110 for files, without any I/O."""
