"""An OIMDB beside a naive model of it: whatever is done, both hold, find and tell the same."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cnstra.errors import MutatedKey
from cnstra.oimdb import OIMDB, Change


@dataclass
class Item:
    id: int
    city: str
    tags: list[str]


class Activation:
    def __init__(self) -> None:
        self.undos: list[Callable[[], object]] = []

    def add_undo(self, undo: Callable[[], object], /) -> None:
        self.undos.append(undo)


class Cell:
    """What was written, and by whom; what an activation wrote may be struck out again."""

    def __init__(self) -> None:
        self.writes: list[tuple[Any, int | None]] = []

    @property
    def value(self) -> Any:
        return self.writes[-1][0] if self.writes else None


ids = st.integers(0, 4)
cities = st.sampled_from(["Oslo", "Rome", "Bern"])
tag_lists = st.lists(st.sampled_from("abc"), max_size=3)
items = st.builds(Item, ids, cities, tag_lists)
words = st.sampled_from(["mine", "yours"])
activations = st.none() | st.integers(0, 2)


class BesideAModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.db = OIMDB()
        self.items = self.db.collection("items", Item, key=lambda item: item.id)
        self.by_city = self.items.index("city", lambda item: item.city)
        self.by_tag = self.items.multi_index("tags", lambda item: item.tags)
        self.picked = self.items.manual_index("picked", str)
        self.activations = {number: Activation() for number in range(3)}
        self.cells: dict[int, Cell] = defaultdict(Cell)
        self.picks: dict[tuple[str, int], Cell] = defaultdict(Cell)
        self.heard: dict[int, Item] = {}
        self.heard_in_oslo: dict[int, Item] = {}
        self.heard_of_mine: dict[int, Item] = {}
        self.items.on_change(self.hear)
        self.by_city.on_key("Oslo", self.hear_of_oslo)
        self.picked.on_key("mine", self.hear_of_mine)

    # --- what the listeners make of what they hear

    def hear(self, changes: Sequence[Change[int, Item]]) -> None:
        for change in changes:
            assert self.heard.get(change.key) == change.before
            put(self.heard, change.key, change.after)

    def hear_of_oslo(self, changes: Sequence[Change[int, Item]]) -> None:
        for key, _, after in changes:
            put(self.heard_in_oslo, key, after if after and after.city == "Oslo" else None)

    def hear_of_mine(self, changes: Sequence[Change[int, Item]]) -> None:
        for key, _, after in changes:
            put(self.heard_of_mine, key, after if self.picks["mine", key].value else None)

    # --- what is done

    @rule(item=items, by=activations)
    def upsert(self, item: Item, by: int | None) -> None:
        self.items.upsert(item, undo=self.undo_of(by))
        self.cells[item.id].writes.append((item, by))

    @rule(many=st.lists(items, max_size=4), by=activations)
    def upsert_many(self, many: list[Item], by: int | None) -> None:
        def joined(old: Item, new: Item) -> Item:
            return replace(new, tags=[*old.tags, *new.tags][-3:])

        self.items.upsert_many(many, how=joined, undo=self.undo_of(by))
        for item in many:
            cell = self.cells[item.id]
            cell.writes.append((item if cell.value is None else joined(cell.value, item), by))

    @rule(key=ids, to=ids, other=items)
    def change_a_key_in_place(self, key: int, to: int, other: Item) -> None:
        """It is refused, whatever is stored under the new key, and nothing has happened."""
        if key not in self.items or key == to:
            return
        item = self.items[key]
        item.id = to
        with pytest.raises(MutatedKey):
            self.items.upsert(item)
        with pytest.raises(MutatedKey):
            self.items.upsert_many([other, item])
        item.id = key

    @rule(key=ids, by=activations)
    def discard(self, key: int, by: int | None) -> None:
        found = self.items.discard(key, undo=self.undo_of(by))
        assert found == self.cells[key].value
        if found is not None:
            self.unpick(key, by)
            self.cells[key].writes.append((None, by))

    @rule(word=words, key=ids, by=activations)
    def pick(self, word: str, key: int, by: int | None) -> None:
        if key in self.items:
            self.picked.add(word, key, undo=self.undo_of(by))
            self.picks[word, key].writes.append((True, by))

    @rule(word=words, key=ids, by=activations)
    def put_down(self, word: str, key: int, by: int | None) -> None:
        self.picked.remove(word, key, undo=self.undo_of(by))
        self.picks[word, key].writes.append((False, by))

    @rule(by=st.integers(0, 2))
    def end(self, by: int) -> None:
        """The activation is done: what it wrote stays."""
        self.activations[by] = Activation()
        for cell in (*self.cells.values(), *self.picks.values()):
            cell.writes = [(value, None if who == by else who) for value, who in cell.writes]

    @rule(by=st.integers(0, 2))
    def fail(self, by: int) -> None:
        """The activation fails: what it wrote was never written."""
        undos = self.activations[by].undos
        while undos:
            undos.pop()()
        for cell in self.picks.values():
            strike_out(cell, by)
        for key, cell in self.cells.items():
            strike_out(cell, by)
            if cell.value is None:
                self.unpick(key, None)

    @rule()
    def snapshot_and_restore(self) -> None:
        self.db.restore(self.db.snapshot())
        for cell in (*self.cells.values(), *self.picks.values()):
            cell.writes.append((cell.value, None))

    @rule()
    def flush(self) -> None:
        self.db.flush()
        assert self.heard == self.objects
        assert self.heard_in_oslo == {
            key: item for key, item in self.objects.items() if item.city == "Oslo"
        }
        assert self.heard_of_mine == {
            key: item for key, item in self.objects.items() if self.picks["mine", key].value
        }

    # --- what must be so

    @invariant()
    def holds_the_same(self) -> None:
        assert {key: self.items[key] for key in self.items} == self.objects

    @invariant()
    def finds_the_same(self) -> None:
        by_city, by_tag, picked = (defaultdict[str, set[int]](set) for _ in range(3))
        for key, item in self.objects.items():
            by_city[item.city].add(key)
            for tag in item.tags:
                by_tag[tag].add(key)
        for (word, key), cell in self.picks.items():
            if cell.value:
                picked[word].add(key)
        for index, expected in (
            (self.by_city, by_city),
            (self.by_tag, by_tag),
            (self.picked, picked),
        ):
            assert {one: set(index.keys_under(one)) for one in index.index_keys()} == expected
            for one in index.index_keys():
                assert {item.id for item in index.get(one)} == expected[one]
                assert index.count(one) == len(expected[one])

    # --- the model

    @property
    def objects(self) -> dict[int, Item]:
        return {key: cell.value for key, cell in self.cells.items() if cell.value is not None}

    def undo_of(self, by: int | None) -> Activation | None:
        return None if by is None else self.activations[by]

    def unpick(self, key: int, by: int | None) -> None:
        for (_, picked), cell in self.picks.items():
            if picked == key and cell.value:
                cell.writes.append((False, by))


def put(shadow: dict[int, Item], key: int, item: Item | None) -> None:
    if item is None:
        shadow.pop(key, None)
    else:
        shadow[key] = item


def strike_out(cell: Cell, by: int) -> None:
    cell.writes = [(value, who) for value, who in cell.writes if who != by]


TestBesideAModel = BesideAModel.TestCase
TestBesideAModel.settings = settings(max_examples=150, stateful_step_count=40)
