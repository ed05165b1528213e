"""What a user of the command line can get wrong: each message says what to write instead."""

from cnstra.errors import CnstraError, InvalidOption, UnknownScheme


class UsageError(CnstraError):
    """This cannot be done as it was asked for."""


class NotATarget(UsageError):
    """{target!r} names no {wanted}: write MODULE:NAME{instead}."""


class ModuleNotThere(UsageError):
    """There is no module {module!r} in {folder} or on PYTHONPATH: run cnstra in the folder that
    holds it, or mend the module's name in {target!r}."""


class ModuleBroken(UsageError):
    """Module {module!r} cannot be imported, as it raises {reason} in {place}: mend that first."""


class NameNotThere(UsageError):
    """Module {module!r} has no {name!r}: {suggestion}."""


class WrongKind(UsageError):
    """{target!r} is {found}: name a {wanted}, or a function without parameters that returns one."""


class FactoryBroken(UsageError):
    """{target!r} was called to make a {wanted} and raised {reason} in {place}: mend that first."""


class QueueNotNamed(UsageError):
    """Which queue? Name it as APP:QUEUE, or give both --url and --queue."""


class QueueInMemory(UsageError):
    """Queue {queue!r} at {url} lives in the memory of one process, and this is another: give it a
    URL that both can reach, as sqlite:///jobs.db."""


class ArgumentsWanted(UsageError):
    """Wanted after the queue: {wanted}. Found: {found}."""


class InvalidBackoff(UsageError):
    """--backoff {value!r} is none: give seconds, as in 2.5, or fixed:2.5, or exponential:1.0."""


class InvalidJSON(UsageError):
    """The payload {payload} is not JSON ({reason}): a text needs its quotes, as in '"text"'."""


class NothingThere(UsageError):
    """There is no file {path}, so no job was ever put there: is the URL {url} right, and the
    folder?"""


class IdForMany(UsageError):
    """{option} is for one job, and standard input may hold many: leave it out."""


class OneOrAll(UsageError):
    """Name one dead job, or --all, and not both."""


class NothingToMigrate(UsageError):
    """A broker at {scheme}:// has no tables to migrate: it makes what it needs by itself."""


class OnePortForMany(UsageError):
    """--metrics is one port, and --processes may be several workers: run each by itself, with a
    port of its own."""


class WrongArguments(UsageError):
    """{reason}"""


class BadLine(CnstraError):
    """Line {line} of standard input: {reason} Mend it and go on from line {first}: {count} jobs of
    the lines before that are enqueued, none from there on."""


class SystemRefused(CnstraError):
    """The system refuses: {reason}. Put that right and try again; `cnstra --debug ...` shows where
    it happened."""


class NoSuchJob(CnstraError):
    """Queue {queue!r} at {url} has no job {job_id!r}: `cnstra jobs list` shows those it has."""


class NotPossible(CnstraError):
    """Job {job_id!r} is {state}: only {allowed} can be {done}."""


WRONGLY_ASKED = (UsageError, InvalidOption, UnknownScheme)
