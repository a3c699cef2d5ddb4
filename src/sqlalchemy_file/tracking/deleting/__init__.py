"""Deletes released objects, and clears the ledger's notes of them."""
