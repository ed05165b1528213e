"""One folder per technology, found by the scheme of a URL."""
