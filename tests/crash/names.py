"""The names of activations: each is its predecessor's and a branch, so that descent can be read."""

ENTRY = "e"
JOIN = "+"
"""The branch of what several branches become together: it descends from all that share its stem."""


def branch(at: str, number: int | str) -> str:
    return f"{at}/{number}"


def joined(stem: str) -> str:
    return f"{stem}/{JOIN}"


EAR = "ear"


def heard_by(at: str, neuron: str) -> str:
    """The name of an activation of that neuron: `ear0`, `ear1` ... hear one and the same signal."""
    return f"{at}:{neuron.removeprefix(EAR)}" if neuron.startswith(EAR) else at


def descends(at: str, origin: str) -> bool:
    """Whether `at` is `origin`, or what becomes of it.

    >>> descends("e/0/1", "e/0"), descends("e/+/2", "e/7/0"), descends("e/+", "e/+/2")
    (True, True, False)
    """
    if at == origin or at.startswith((f"{origin}/", f"{origin}:")):
        return True
    parts = at.split("/")
    stems = ["/".join(parts[:place]) for place, part in enumerate(parts) if part == JOIN]
    return any(_is_before_join(origin, stem) for stem in stems)


def _is_before_join(origin: str, stem: str) -> bool:
    behind = joined(stem)
    is_behind = origin == behind or origin.startswith(f"{behind}/")
    return not is_behind and origin.startswith(f"{stem}/")


INSIDE = "in"
"""The branch of an inner run, which begins anew with its outer activation."""


def is_inside(at: str) -> bool:
    """Whether the activation belongs to an inner run."""
    return INSIDE in at.split("/")


def run_of(at: str) -> str:
    """The inner run that the activation belongs to; that of the job itself is `""`.

    >>> run_of("e/1/in/0"), run_of("e/1")
    ('e/1/in', '')
    """
    parts = at.split("/")
    depth = max((place for place, part in enumerate(parts, 1) if part == INSIDE), default=0)
    return "/".join(parts[:depth])
