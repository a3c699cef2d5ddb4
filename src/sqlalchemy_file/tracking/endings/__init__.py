"""How transactions and savepoints end, and what follows."""
