"""One message of a broker is one run."""
