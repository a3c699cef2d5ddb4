"""The ids and epochs of a ledger, and where its database lives."""
