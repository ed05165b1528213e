"""A graph and its runs."""
