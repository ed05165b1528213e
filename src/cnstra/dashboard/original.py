"""What a form was filled in from, and what a person has made of it."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec

from cnstra.errors import CnstraError
from cnstra.history.payloads import STRUCK_OUT

_encode = msgspec.json.Encoder(order="deterministic").encode

Path = tuple[object, ...]


class NotFilledIn(CnstraError):
    """{field}: {reason}."""


class Original:
    """A value as it is, and `shown`: as the page may show it. Both as builtins."""

    __slots__ = ("_marks", "_stand_ins", "_value", "shown")

    def __init__(self, value: Any, shown: Any) -> None:
        self._value = value
        self.shown = shown
        self._marks = dict(_marks(value, shown))
        self._stand_ins = {text for _, text in self._marks.values()}

    def edited(self, edited: Any) -> Any:
        """The value with what a person has changed of what was shown to them, and nothing else.

        Raises `NotFilledIn` where it cannot be told apart what is meant from what was struck out.
        """
        return self._merged(self._value, self.shown, edited, ())

    def _merged(self, value: Any, shown: Any, edited: Any, path: Path) -> Any:
        if _alike(edited, shown):
            return value
        if _are(dict, value, shown, edited):
            return self._merged_object(value, shown, edited, path)
        if _are(list, value, shown, edited) and not _alike(value, shown):
            return self._merged_list(value, shown, edited, path)
        self._refuse_marks(edited, path)
        return edited

    def _merged_object(
        self, value: dict[str, Any], shown: dict[str, Any], edited: dict[str, Any], path: Path
    ) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for key, one in edited.items():
            if key in shown and key in value:
                merged[key] = self._merged(value[key], shown[key], one, (*path, key))
            elif key not in shown or not _alike(one, shown[key]):
                self._refuse_marks(one, (*path, key))
                merged[key] = one
        unseen = [key for key in value if key not in shown and key not in edited]
        return merged | {key: value[key] for key in unseen}

    def _merged_list(
        self, value: Sequence[Any], shown: Sequence[Any], edited: Sequence[Any], path: Path
    ) -> list[Any]:
        places = list(zip(value, shown, edited, strict=False))
        stays = len(value) == len(shown) == len(edited)
        if not stays or any(one != old and one in shown for _, old, one in places):
            reason = "not all of that list is shown here: its items must stay where they are"
            raise NotFilledIn(field=_name_of(path), reason=reason)
        return [self._merged(*each, (*path, number)) for number, each in enumerate(places)]

    def _refuse_marks(self, edited: Any, path: Path) -> None:
        """What stands for what is not shown must not take its place."""
        parts = [STRUCK_OUT]
        if path in self._marks:
            parts.append(_mark(*self._marks[path]))
        for text in _texts(edited):
            if any(part in text for part in parts) or text in self._stand_ins:
                reason = f"{text} stands where the page does not show all: write the value itself"
                raise NotFilledIn(field=_name_of(path), reason=reason)


def _marks(value: Any, shown: Any, path: Path = ()) -> Iterator[tuple[Path, tuple[Any, str]]]:
    """The values that are not shown, with the texts that stand for them, by their places."""
    if _are(dict, value, shown):
        for key in value.keys() & shown.keys():
            yield from _marks(value[key], shown[key], (*path, key))
    elif _are(list, value, shown):
        for number, (one, other) in enumerate(zip(value, shown, strict=False)):
            yield from _marks(one, other, (*path, number))
    elif not _alike(value, shown):
        for text in _texts(shown):
            yield path, (value, text)


def _mark(value: Any, shown: str) -> str:
    """The part of a text that differs from what it stands for; all of it, where that is none."""
    if not isinstance(value, str):
        return shown
    start = _begin_alike(value, shown)
    end = _begin_alike(value[start:][::-1], shown[start:][::-1])
    return shown[start : len(shown) - end] or shown


def _begin_alike(one: str, other: str) -> int:
    """How many characters they begin with that are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _texts(value: object) -> Iterator[str]:
    """The texts in a value that are not empty."""
    if isinstance(value, str):
        if value:
            yield value
    elif isinstance(value, dict):
        for one in cast(dict[str, object], value).values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in cast(list[object], value):
            yield from _texts(one)


def _alike(one: object, other: object) -> bool:
    """Whether they are the same JSON: for Python `True` is 1."""
    return _encode(one) == _encode(other)


def _are(type_: type[Any], *values: object) -> bool:
    return all(isinstance(one, type_) for one in values)


def _name_of(path: Path) -> str:
    return ".".join(str(one) for one in path) or "payload"
