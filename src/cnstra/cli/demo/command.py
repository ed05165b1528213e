"""`cnstra demo`."""


def demo() -> None:
    """Audit this machine's Python packages while the worker is killed."""
