"""Real servers for the tests: each in a folder of its own, on a free port of 127.0.0.1.

One module a server; each has `missing()`, which says what is not installed, and `running()`,
a context manager that yields the address. They share nothing but `processes` and `databases`.
"""
