"""Small functions that know nothing about files."""
