"""The ASGI and WSGI applications."""
