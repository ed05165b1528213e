"""Where a queue of SQS is: the parts of its URL."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from cnstra.durable.adapters import shown
from cnstra.errors import InvalidOption

SPARE = 30.0
LONGEST_LEASE = 12 * 3600 - SPARE
"""Seconds for which a message may be held: the 12 hours of SQS, less what its answers may take."""
LONGEST_POLL = 20
POLL = 2


@dataclass(frozen=True, slots=True)
class Location:
    """An account's queues in a region. What is `None` is found the AWS way.

    longest_lease: seconds after which a message is given up. poll: seconds that SQS waits for
    messages before it says that there are none.
    """

    url: str
    region: str | None = None
    endpoint: str | None = None
    profile: str | None = None
    account: str | None = None
    prefix: str = ""
    is_fifo: bool = False
    creates: bool = True
    longest_lease: float = LONGEST_LEASE
    poll: int = POLL


OPTIONS = (
    "account", "create", "endpoint_url", "fifo", "longest_lease", "poll", "prefix", "profile",
)  # fmt: skip


def location_of(url: str) -> Location:
    """Read `sqs://eu-central-1?fifo=true`; `sqs://` alone takes the region from the environment.

    Raises `InvalidOption` for what it does not know.
    """
    parts = urlsplit(url)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    known = ", ".join(OPTIONS)
    for name, value in options.items():
        if name not in OPTIONS:
            raise InvalidOption(option=name, value=value, remedy=f"there are {known}")
    if parts.path.strip("/"):
        remedy = "the queue's name is the Queue's own; a region stands behind sqs://, and no more"
        raise InvalidOption(option="url", value=shown(url), remedy=remedy)
    return Location(
        url=parts._replace(query="").geturl(),
        region=parts.netloc or None,
        endpoint=options.get("endpoint_url"),
        profile=options.get("profile"),
        account=options.get("account"),
        prefix=options.get("prefix", ""),
        is_fifo=_truth(options, "fifo", otherwise=False),
        creates=_truth(options, "create", otherwise=True),
        longest_lease=_number(options, "longest_lease", LONGEST_LEASE, least=1),
        poll=int(_number(options, "poll", POLL, least=1, most=LONGEST_POLL)),
    )


def _truth(options: Mapping[str, str], name: str, *, otherwise: bool) -> bool:
    told = options.get(name, str(otherwise).lower())
    if told not in ("true", "false"):
        raise InvalidOption(option=name, value=told, remedy="it is true or false")
    return told == "true"


def _number(
    options: Mapping[str, str],
    name: str,
    otherwise: float,
    *,
    least: float,
    most: float = LONGEST_LEASE,
) -> float:
    told = options.get(name, str(otherwise))
    try:
        number = float(told)
    except ValueError:
        number = -1.0
    if not least <= number <= most:
        remedy = f"it is a number of seconds from {least:g} to {most:g}"
        raise InvalidOption(option=name, value=told, remedy=remedy)
    return number
