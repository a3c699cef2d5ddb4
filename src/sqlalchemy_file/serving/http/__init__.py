"""What RFC 9110 says about a request for a file, without any input or output."""
