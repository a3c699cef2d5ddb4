"""How fast the library is beside others and beside no library at all: ``make bench``."""
