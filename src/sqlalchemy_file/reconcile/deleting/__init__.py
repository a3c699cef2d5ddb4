"""Confirms that no row names an object, and deletes it."""
