"""What a run's progress is made of in a store: a map of small entries, so that a checkpoint costs
what changed.

    m            the run: version of this form, stimulation id
    t/KEY        an activation that is owed (key: of its lineage)
    e/KEY        why it failed, where it has
    s/KEY        its marks, which a redrive clears: how often the process died while it ran, whether
                 it runs now, whether it is held back while another branch runs alone
    h/KEY        `true`: the next attempt marks it as held back; so that one redrive spares the hold
    c/NEURON     a context value
    v/NEURON     the version of that, where its type has one
    r/KEY        a result (key: of its emission)
"""

import msgspec

from cnstra.durable.lineage import Lineage, path_from_text
from cnstra.engine.versions import UNVERSIONED

VERSION = 1
META = "m"


class RunMeta(msgspec.Struct, rename="camel", omit_defaults=True):
    """The `m` entry."""

    v: int = VERSION
    stimulation_id: str = ""


SHORT = {
    "neuron": "n",
    "collateral": "c",
    "payload": "p",
    "number": "i",
    "path": "l",
    "depth": "d",
    "hops": "h",
    "key": "k",
    "crashes": "x",
    "running": "on",
    "held_back": "off",
    "version": "v",
}


class TaskEntry(msgspec.Struct, rename=SHORT, omit_defaults=True):
    """A `t/` entry. `number`: when it was emitted; `key`: the signal's own, if it has one;
    `version`: that of its payload.
    """

    neuron: str
    collateral: str
    payload: msgspec.Raw
    number: int
    path: str = ""
    depth: int = 1
    hops: int = 1
    key: str | None = None
    version: int = UNVERSIONED

    def lineage(self, key: str) -> Lineage:
        """The lineage of the task, stored under `key`."""
        return Lineage(bytes.fromhex(key), path_from_text(self.path), self.depth, self.number)


class ErrorEntry(msgspec.Struct, omit_defaults=True):
    """An `e/` entry."""

    message: str
    name: str
    stack: str = ""
    aborted: bool = False


class StartEntry(msgspec.Struct, rename=SHORT, omit_defaults=True):
    """An `s/` entry: crashes in a row, whether the activation has been started since, and whether
    it must not be.
    """

    crashes: int = 0
    running: bool = False
    held_back: bool = False


class ResultEntry(msgspec.Struct, rename=SHORT, omit_defaults=True):
    """An `r/` entry."""

    collateral: str
    payload: msgspec.Raw
    path: str = ""
    depth: int = 1
    version: int = UNVERSIONED


Entry = bytes | RunMeta | TaskEntry | ErrorEntry | StartEntry | ResultEntry
"""An entry as the process holds it: its JSON, or what will be encoded, which nobody changes."""

_encode = msgspec.json.Encoder().encode


def encoded(entry: Entry) -> bytes:
    """The entry as JSON."""
    return entry if isinstance(entry, bytes) else _encode(entry)
