"""The values of file columns, and the upload of a file."""
