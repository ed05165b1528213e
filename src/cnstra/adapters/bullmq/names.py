"""Job ids and keys, as BullMQ has them."""

from urllib.parse import quote, unquote

from cnstra.errors import InvalidOption

PREFIX = b"bull"
MARK = "~"
RESERVED = {
    "active", "completed", "de", "delayed", "events", "failed", "id", "limiter", "marker", "meta",
    "metrics", "paused", "pc", "prioritized", "repeat", "stalled", "stalled-check", "wait",
    "waiting", "waiting-children",
}  # fmt: skip
"""What would be a key of the queue itself."""


def queue_prefix(queue: str) -> bytes:
    """What each key of the queue begins with. Raises `InvalidOption` for a name that BullMQ
    refuses.
    """
    if ":" in queue:
        raise InvalidOption(option="name", value=queue, remedy="BullMQ allows no ':' in it")
    return b"%b:%b:" % (PREFIX, queue.encode("utf-8", "surrogatepass"))


def encode_id(job_id: str) -> bytes:
    """The id that BullMQ gets. It refuses integers and colons, and a queue's own keys are no ids.

    >>> encode_id("user-42"), encode_id("42"), encode_id("a:b")
    (b'user-42', b'~42', b'~a%3Ab')
    """
    if job_id and not _is_refused(job_id):
        return job_id.encode("utf-8", "surrogatepass")
    return (MARK + quote(job_id, safe=" /", errors="surrogatepass")).encode()


def decode_id(native: bytes) -> str:
    """The job id that `encode_id` was given, or the one that somebody else's job has."""
    text = text_of(native)
    try:
        return unquote(text[1:], errors="surrogatepass") if text.startswith(MARK) else text
    except UnicodeDecodeError:
        return text


def text_of(native: bytes) -> str:
    """What others wrote as text, if it is none, too."""
    try:
        return native.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return native.decode("utf-8", "backslashreplace")


def candidates(job_id: str) -> list[bytes]:
    """The ids under which the queue may hold the job: ours, else one that BullMQ made."""
    encoded, plain = encode_id(job_id), job_id.encode("utf-8", "surrogatepass")
    return [encoded] if encoded == plain else [encoded, plain]


def _is_refused(job_id: str) -> bool:
    return (
        ":" in job_id
        or job_id.startswith(MARK)
        or job_id in RESERVED
        or job_id.lstrip("+-").isdecimal()
    )
