"""The id and the epochs of a ledger, and the site of its database."""
