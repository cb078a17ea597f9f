"""The review page: what it serves, and to whom."""
