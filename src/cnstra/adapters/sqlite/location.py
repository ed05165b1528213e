"""Which file a URL means, and how safely to write it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from cnstra.errors import InvalidOption

Synchronous = Literal["full", "normal"]


@dataclass(frozen=True, slots=True)
class Location:
    """A database file: where it is, and whether each commit waits until the disk has it."""

    url: str
    path: Path
    synchronous: Synchronous = "full"

    @classmethod
    def of(cls, url: str) -> "Location":
        """Read a URL. A relative path is meant from the directory in which the process is now.

        >>> Location.of("sqlite:////var/lib/app/jobs.db?synchronous=normal").synchronous
        'normal'
        """
        parts = urlsplit(url)
        name = unquote(parts.path[1:])
        if parts.netloc or not name or name == ":memory:" or "\0" in name:
            raise InvalidOption(option="url", value=url, remedy=_HOW_TO_NAME_A_FILE)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        match options:
            case {"synchronous": "full" | "normal" as synchronous, **rest} if not rest:
                return cls(url, Path(name).absolute(), synchronous)
            case _ if not options:
                return cls(url, Path(name).absolute())
            case _:
                raise InvalidOption(option="url", value=url, remedy=_WHICH_OPTIONS)


_HOW_TO_NAME_A_FILE = (
    "name a file, as in sqlite:///relative.db or sqlite:////absolute/path.db "
    "(and for no file at all, memory://)"
)
_WHICH_OPTIONS = "the only option is ?synchronous=full or ?synchronous=normal"
