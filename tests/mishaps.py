"""What befalls the examples of a test that is about what befalls them."""


class Mishaps:
    """Of each example how many faults came; one that none comes of tries nothing."""

    def __init__(self, what: str) -> None:
        """what: those that are counted, as they are printed."""
        self._what = what
        self._each: list[int] = []

    def note(self, came: int) -> None:
        self._each.append(came)

    def befell_most(self) -> bool:
        """Whether half of the examples had any; their numbers are printed, for `pytest -rP`."""
        struck = sum(one > 0 for one in self._each)
        told = f"{len(self._each)} examples, {struck} of them with {self._what}"
        print(f"{told}, {sum(self._each)} in all")
        return 2 * struck >= len(self._each)
