"""Finding the adapter for a URL, by the entry points that are installed."""

import difflib
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
    except ValueError:  # whose message may hold the password
        remedy = "give a URL as in redis://host:6379, with what is special in it percent-encoded"
        raise InvalidOption(option="url", value=shown(url), remedy=remedy) from None
    found = _installed().get(scheme)
    if found is None:
        near = difflib.get_close_matches(scheme.partition("+")[0], _installed(), n=1)
        raise UnknownScheme(
            url=shown(url),
            suggestion=f" (did you mean '{near[0]}://'?)" if near else "",
            known=", ".join(sorted(_installed())) or "none",
        )
    try:
        return found.load()
    except ImportError as error:
        extra = (found.extras or [scheme])[0]
        raise MissingExtra(what=f"{scheme}://", extra=extra, reason=error) from error


def shown(url: str) -> str:
    """The URL for people and logs: without who comes by which password, and without options."""
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    if scheme in ("memory", "sqlite"):  # a file's name may hold an @
        return f"{scheme}{separator}{rest.partition('?')[0]}"
    who, at, place = rest.rpartition("@")
    if "?" in who:  # which may begin the options, or be of the password
        return f"{scheme}{separator}***"
    return f"{scheme}{separator}{'***@' if at else ''}{place.partition('?')[0]}"


@cache
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
