"""Tables of content types, as data."""
