"""Processes that die at a call, in this one."""

from typing import Any


class Death(BaseException):
    """The process is gone."""


class Life:
    """So many calls of broker and store are left; the last is made or not."""

    def __init__(self, calls: int, *, makes_last: bool) -> None:
        self.left = calls
        self.makes_last = makes_last


class Mortal:
    """A transport or store whose caller dies with its last call."""

    def __init__(self, inner: Any, life: Life) -> None:
        self._inner = inner
        self._life = life

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name in ("limits", "open", "close"):
            return found

        async def call(*given: Any, **options: Any) -> Any:
            self._life.left -= 1
            if self._life.left < 0:
                raise Death
            if self._life.left > 0:
                return await found(*given, **options)
            if self._life.makes_last:
                await found(*given, **options)
            raise Death

        return call
