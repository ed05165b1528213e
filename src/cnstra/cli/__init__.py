"""The command line, on typer and rich: the extra `cli`."""

import sys

from cnstra.errors import MissingExtra

PACKAGES = ("rich", "typer")


def main() -> None:
    """`cnstra`. Exits with 1 for what went wrong, with 2 for what was asked for wrongly."""
    try:
        from cnstra.cli.app import run
    except ImportError as error:
        if not (error.name or "").startswith(PACKAGES):
            raise
        missing = MissingExtra(what="The command line", extra="cli", reason=error)
        print(f"cnstra: {missing}", file=sys.stderr)
        sys.exit(2)
    sys.exit(run())
