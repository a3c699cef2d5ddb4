"""Facts about a storage: its owners, its clock, the database that swept it last."""
