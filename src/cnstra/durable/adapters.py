"""Finding the adapter for a URL, by the entry points that are installed."""

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any
from urllib.parse import urlsplit

from cnstra.errors import InvalidOption, MissingExtra, UnknownScheme

GROUP = "cnstra.adapters"


def adapter_for(url: str) -> Any:
    """The module that an entry point of the group `cnstra.adapters` names for the URL's scheme.

    Raises `InvalidOption` for what is no URL, `UnknownScheme`, or `MissingExtra` where the
    adapter's own packages are not installed.
    """
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise InvalidOption(option="url", value=url, remedy=f"{error}") from error
    found = _installed().get(scheme)
    if found is None:
        raise UnknownScheme(url=url, known=", ".join(sorted(_installed())) or "none")
    try:
        return found.load()
    except ImportError as error:
        extra = (found.extras or [scheme])[0]
        raise MissingExtra(what=f"{scheme}://", extra=extra, reason=error) from error


def shown(url: str) -> str:
    """The URL for people and logs: without who comes by which password, and without options."""
    scheme, separator, rest = url.partition("://")
    if scheme not in ("memory", "sqlite"):  # a file's name may hold an @
        _, at, place = rest.rpartition("@")
        rest = f"***@{place}" if at else place
    return f"{scheme}{separator}{rest.partition('?')[0]}"


@cache
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
