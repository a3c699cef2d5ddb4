"""Small functions that know nothing of files."""
