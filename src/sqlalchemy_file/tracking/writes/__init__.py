"""INSERT, UPDATE and DELETE: their values for file columns, and the rows they change."""
