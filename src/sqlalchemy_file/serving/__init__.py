"""Files on the web: what a request gets, as RFC 9110 says."""
