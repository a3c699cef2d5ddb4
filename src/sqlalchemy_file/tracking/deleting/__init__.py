"""Delete unreferenced objects, and remove their ledger entries."""
