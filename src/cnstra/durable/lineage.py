"""Where in its run an activation stands: its key, and its place in the order of results."""

from collections.abc import Callable
from functools import cmp_to_key, lru_cache, partial
from hashlib import blake2b
from typing import Any

KEY_BYTES = 16
MAX_TURNS = 64

Path = tuple[tuple[int, int], ...]
"""Which branch was taken at each hop, with equal neighbours joined: ((branch, how often), ...)."""


Key = bytes | Callable[[], bytes]
"""A key, or what works it out."""


class Lineage:
    """An activation's place in its run.

    key: a hash of the parent's key, collateral, neuron and position (or the signal's own key): the
        same on every attempt. Worked out when it is first asked for: a run of one hop never does.
    path: the branches taken from the entry on. A run of sync handlers emits in the order of
        (depth, path), and so `results` are sorted, whatever the timing was.
    depth: hops from the entry.
    number: when it was emitted: the frontier is resumed in this order.
    """

    __slots__ = ("_key", "depth", "number", "path")

    def __init__(self, key: Key, path: Path, depth: int, number: int) -> None:
        self._key = key
        self.path = path
        self.depth = depth
        self.number = number

    @property
    def key(self) -> bytes:
        self._key = worked_out(self._key)
        return self._key

    @property
    def text(self) -> str:
        """The key as text: the activation's idempotency key."""
        return self.key.hex()


def worked_out(key: Key) -> bytes:
    """The key."""
    return key if isinstance(key, bytes) else key()


def root(run: str) -> Lineage:
    """What the first activations of a run descend from."""
    return Lineage(partial(_root_key, run), (), 0, 0)


def inner_root(outer: Lineage, index: int) -> Lineage:
    """What the activations of an inner run descend from: the `index`-th of its outer activation."""
    return Lineage(_hash(outer.key, b"inner", b"%d" % index), (), 0, 0)


def emission_key(parent: Lineage, collateral: str, position: int, own_key: str | None) -> bytes:
    """The key of one emitted signal: by its position, or by the key that the handler gave it."""
    place = b"#%d" % position if own_key is None else b"=" + _bytes(own_key)
    return _digest(_KEY + parent.key + _name(collateral) + b"%d:%b" % (len(place), place))


def child(parent: Lineage, emission: Key, neuron: str, branch: int, number: int) -> Lineage:
    """The lineage of an activation by that emission, the `branch`-th activation of its commit.

    Its key is worked out later where that of the emission is. Then it keeps its parent until it is:
    not for long chains.
    """
    key = (
        _child_key(emission, neuron)
        if isinstance(emission, bytes)
        else partial(_child_key, emission, neuron)
    )
    return Lineage(key, follow(parent.path, branch), parent.depth + 1, number)


def follow(path: Path, branch: int) -> Path:
    """The path one hop further.

    A path of very many turns is folded into a digest, so that its size stays bounded: the order of
    what descends from there is then still the same on every attempt, but says nothing.
    """
    if not path:
        return ((branch, 1),)
    if path[-1][0] == branch:
        return (*path[:-1], (branch, path[-1][1] + 1))
    if len(path) < MAX_TURNS:
        return (*path, (branch, 1))
    digest = int.from_bytes(_hash(path_text(path).encode(), b"%d" % branch)[:6], "big")
    return ((digest, 1),)


def path_text(path: Path) -> str:
    """The path as it is saved: `0*5.1` is branch 0 five times, then branch 1."""
    return ".".join([f"{branch}*{times}" if times > 1 else str(branch) for branch, times in path])


def path_from_text(text: str) -> Path:
    """The inverse of `path_text`. Raises `ValueError`, also of one that is longer than any of ours:
    to put such paths in order takes the square of their length.
    """
    turns: list[tuple[int, int]] = []
    if text.count(".") >= MAX_TURNS:
        raise ValueError("too many turns")
    for turn in text.split(".") if text else ():
        branch, _, times = turn.partition("*")
        turns.append((int(branch), int(times or 1)))
    return tuple(turns)


def compare(one: tuple[int, Path], other: tuple[int, Path]) -> int:
    """The order of two (depth, path): the shallower first, then branch by branch."""
    if one[0] != other[0]:
        return -1 if one[0] < other[0] else 1
    left, right = list(one[1]), list(other[1])
    while left and right:
        (mine, times), (theirs, their_times) = left[0], right[0]
        if mine != theirs:
            return -1 if mine < theirs else 1
        common = min(times, their_times)
        _shorten(left, common)
        _shorten(right, common)
    return (len(left) > 0) - (len(right) > 0)


lineage_order: Any = cmp_to_key(compare)
"""A sort key for (depth, path)."""


def _shorten(path: list[tuple[int, int]], by: int) -> None:
    branch, times = path[0]
    if times == by:
        del path[0]
    else:
        path[0] = (branch, times - by)


def _root_key(run: str) -> bytes:
    return _hash(b"run", _bytes(run))


def _child_key(emission: Key, neuron: str) -> bytes:
    return _digest(_KEY + worked_out(emission) + _name(neuron))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _hash(*parts: bytes) -> bytes:
    """A digest of the parts. Each is preceded by its length, so that no two lists look alike."""
    return _digest(b"".join([b"%d:%b" % (len(part), part) for part in parts]))


def _digest(parts: bytes) -> bytes:
    return blake2b(parts, digest_size=KEY_BYTES).digest()


_KEY = b"%d:" % KEY_BYTES
"""What precedes a key among the parts of a digest."""


@lru_cache(maxsize=4096)
def _name(text: str) -> bytes:
    """The name of a collateral or neuron, as a part of a digest: there are few of them."""
    name = _bytes(text)
    return b"%d:%b" % (len(name), name)
