"""INSERT, UPDATE and DELETE: what they give to file columns, and which rows they change."""
