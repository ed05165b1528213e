"""An object database in memory: what it holds, finds, tells and takes back."""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypedDict

import msgspec
import pytest
from pydantic import BaseModel

from cnstra import CNS, Context, Resource, StimulationFailed, neuron
from cnstra.errors import (
    DuplicateName,
    DuplicateObject,
    EndlessFlush,
    InvalidName,
    InvalidOption,
    MutatedKey,
    NotMergeable,
    SnapshotFailed,
    SnapshotUnreadable,
    UnknownObject,
)
from cnstra.oimdb import OIMDB, Change, Collection
from cnstra.oimdb.fields import is_frozen
from tests.graphs import entry
from tests.manual_clock import settled


@dataclass(frozen=True)
class User:
    id: int
    city: str | None = None
    tags: tuple[str, ...] = ()


class Activation:
    """What a handler's `ctx` is for a write that may be taken back."""

    def __init__(self) -> None:
        self.undos: list[Callable[[], object]] = []

    def add_undo(self, undo: Callable[[], object], /) -> None:
        self.undos.append(undo)

    def fail(self) -> None:
        while self.undos:
            self.undos.pop()()


ann, bob, cid = User(1, "Oslo", ("a", "b")), User(2, "Rome", ("b",)), User(3, "Oslo")


@pytest.fixture
def db() -> OIMDB:
    return OIMDB()


@pytest.fixture
def users(db: OIMDB) -> Collection[int, User]:
    return db.collection("users", User, key=lambda user: user.id)


# --- objects by their key


def test_objects_are_found_by_their_key(users: Collection[int, User]) -> None:
    assert users.upsert(ann) is ann
    users.upsert_many([bob, cid])

    assert users[1] is ann
    assert users.get(2) is bob
    assert users.get(9) is None
    assert users.get(9, "nobody") == "nobody"
    assert (len(users), list(users), users.values()) == (3, [1, 2, 3], [ann, bob, cid])
    assert 1 in users
    assert users.key_of(bob) == 2


def test_a_key_may_be_a_field_of_an_object_or_an_item_of_a_mapping(db: OIMDB) -> None:
    class Row(TypedDict):
        name: str

    db.collection("users", User, key="id").add(ann)
    rows = db.collection("rows", Row, key="name")
    rows.add({"name": "x"})
    plain = db.collection("plain", dict[str, int], key="id")
    plain.add({"id": 5})

    assert rows["x"] == {"name": "x"}
    assert plain[5] == {"id": 5}


def test_what_is_not_there_is_an_error_that_names_it(users: Collection[int, User]) -> None:
    said = "Collection 'users' holds no object with key 9: use get(), or upsert() first."
    for ask in (lambda: users[9], lambda: users.remove(9), lambda: users.update(9, lambda u: u)):
        with pytest.raises(UnknownObject) as caught:
            ask()
        assert str(caught.value) == said
        assert isinstance(caught.value, KeyError)
    assert users.discard(9) is None


def test_add_refuses_a_key_that_is_taken(users: Collection[int, User]) -> None:
    assert users.add(ann) is ann
    with pytest.raises(DuplicateObject, match=r"'users'.*1"):
        users.add(replace(ann, city="Rome"))
    assert users.values() == [ann]


def test_what_is_removed_is_returned_and_gone(users: Collection[int, User]) -> None:
    users.upsert_many([ann, bob])

    assert users.remove(1) is ann
    assert users.discard(2) is bob
    assert len(users) == 0


def test_an_upsert_replaces_merges_or_does_as_it_is_told(users: Collection[int, User]) -> None:
    users.upsert(ann)

    assert users.upsert(User(1, tags=("c",)), how="merge") == User(1, "Oslo", ("c",))
    assert users.upsert(User(1)) == User(1)
    assert users.upsert(ann, how=lambda old, new: replace(new, city=f"{old.city}")).city == "None"
    assert users.upsert(bob, how="merge") is bob
    assert users.update(2, lambda user: replace(user, city="Bern")) == replace(bob, city="Bern")


def test_many_are_upserted_over_each_other_in_order_and_all_or_none(
    users: Collection[int, User],
) -> None:
    def joined(old: User, new: User) -> User:
        if new.city == "Atlantis":
            raise LookupError
        return replace(new, tags=old.tags + new.tags)

    stored = users.upsert_many([ann, replace(ann, tags=("c",)), bob], how=joined)
    assert stored[1].tags == users[1].tags == ("a", "b", "c")

    with pytest.raises(LookupError):
        users.upsert_many([cid, replace(bob, city="Atlantis")], how=joined)
    assert list(users) == [1, 2]


def test_a_merge_sets_what_the_object_sets(db: OIMDB) -> None:
    class Struct(msgspec.Struct):
        id: int
        a: int | msgspec.UnsetType = msgspec.UNSET
        b: int | None = None

    class Model(BaseModel):
        id: int
        a: int | None = 5
        b: int | None = None

    class Row(TypedDict, total=False):
        id: int
        a: int | None
        b: int

    class Pair(NamedTuple):
        id: int
        a: int | None = None
        b: int | None = None

    def merged(kind: type[Any], old: Any, new: Any) -> Any:
        collection = db.collection(kind.__name__, kind, key="id")
        collection.add(old)
        return collection.upsert(new, how="merge")

    assert merged(Struct, Struct(1, a=1, b=1), Struct(1, b=2)) == Struct(1, a=1, b=2)
    assert merged(Model, Model(id=1, a=1, b=1), Model(id=1, b=None)) == Model(id=1, a=1, b=None)
    assert merged(Row, {"id": 1, "a": 1, "b": 1}, {"id": 1, "a": None}) == {
        "id": 1, "a": None, "b": 1,
    }  # fmt: skip
    assert merged(Pair, Pair(1, 1, 1), Pair(1, None, 2)) == Pair(1, 1, 2)

    class Plain:
        id = 1

    with pytest.raises(NotMergeable, match="Plain"):
        merged(Plain, Plain(), Plain())


def test_a_key_that_was_changed_is_an_error_that_names_both(db: OIMDB) -> None:
    @dataclass
    class Box:
        id: int

    boxes = db.collection("boxes", Box, key=lambda box: box.id)
    box = boxes.add(Box(1))

    with pytest.raises(MutatedKey, match=r"'boxes' .* key 1 .* key is 2"):
        boxes.update(1, lambda box: Box(2))
    with pytest.raises(MutatedKey):
        boxes.upsert(Box(1), how=lambda old, new: Box(2))
    box.id = 2
    for write in (lambda: boxes.upsert(Box(1)), lambda: boxes.update(1, lambda b: b), db.snapshot):
        with pytest.raises(MutatedKey):
            write()

    assert boxes.remove(1) is box
    assert boxes.add(box) is boxes[2]


def test_an_object_whose_key_was_changed_is_not_stored_twice(db: OIMDB) -> None:
    @dataclass
    class Box:
        id: int
        size: int = 0

    boxes = db.collection("boxes", Box, key="id")
    box, other = boxes.upsert_many([Box(1), Box(2)])

    for new in (2, 3):
        box.id = new
        writes: list[Callable[[], object]] = [
            lambda: boxes.upsert(box),
            lambda: boxes.upsert_many([Box(4), box]),
            lambda: boxes.update(2, lambda _: box),
        ]
        for write in writes[: 3 if new == 2 else 2]:
            with pytest.raises(MutatedKey, match=rf"under the key 1 .* key is {new}"):
                write()
    with pytest.raises(MutatedKey):
        boxes.add(box)
    assert boxes.values() == [box, other]

    assert boxes.remove(1) is box
    assert boxes.add(box) is boxes[3]
    box.size = 7
    assert boxes.upsert(box) is box


def test_one_that_was_replaced_may_come_again_under_another_key(db: OIMDB) -> None:
    @dataclass
    class Box:
        id: int

    boxes = db.collection("boxes", Box, key="id")
    box = boxes.upsert(Box(1))
    boxes.upsert(Box(1))
    box.id = 2

    assert boxes.upsert(box) is boxes[2]


def test_of_frozen_objects_no_identity_is_kept(db: OIMDB) -> None:
    class Kept(NamedTuple):
        id: int

    class Sealed(msgspec.Struct, frozen=True):
        id: int

    class Open(msgspec.Struct):
        id: int

    kinds = [User, Kept, Sealed, Open, Any, dict[str, int]]

    assert [is_frozen(kind) for kind in kinds] == [True, True, True, False, False, False]


def test_names_are_texts_and_unique(db: OIMDB, users: Collection[int, User]) -> None:
    with pytest.raises(DuplicateName, match="collection"):
        db.collection("users", User, key="id")
    with pytest.raises(InvalidName):
        db.collection("", User, key="id")
    users.index("city")
    for make in (users.index, users.multi_index):
        with pytest.raises(DuplicateName, match="index"):
            make("city")
    with pytest.raises(DuplicateName, match="index"):
        users.manual_index("city", str)
    with pytest.raises(InvalidOption):
        OIMDB(flush="later")  # type: ignore[arg-type]
    with pytest.raises(InvalidOption):
        db.flush_with(CNS(), each="hop")  # type: ignore[arg-type]


# --- indexes


def test_an_index_keeps_itself(users: Collection[int, User]) -> None:
    users.upsert(ann)
    by_city = users.index("city")
    by_tag = users.multi_index("tag", lambda user: user.tags)
    users.upsert_many([bob, cid])

    assert by_city.get("Oslo") == [ann, cid]
    assert by_city.keys_under("Oslo") == [1, 3]
    assert by_city.get("Bern") == []
    assert by_city.count("Oslo") == 2
    assert by_tag.get("b") == [ann, bob]
    assert sorted(by_tag.index_keys()) == ["a", "b"]

    users.update(1, lambda user: replace(user, city="Rome", tags=("b", "b", "c")))
    users.remove(2)

    assert by_city.get("Oslo") == [cid]
    assert by_city.keys_under("Rome") == [1]
    assert by_tag.keys_under("b") == [1]
    assert sorted(by_tag.index_keys()) == ["b", "c"]


def test_an_object_that_was_changed_in_place_is_filed_anew(db: OIMDB) -> None:
    @dataclass
    class Box:
        id: int
        colour: str

    boxes = db.collection("boxes", Box, key=lambda box: box.id)
    by_colour = boxes.index("colour", lambda box: box.colour)
    box = boxes.add(Box(1, "red"))

    box.colour = "blue"
    boxes.upsert(box)

    assert by_colour.index_keys() == ["blue"]


@pytest.mark.parametrize("write", ["add", "upsert", "upsert_many"])
def test_where_an_index_cannot_file_an_object_nothing_is_written(
    users: Collection[int, User], write: str
) -> None:
    by_length = users.index("length", lambda user: len(user.city or 1 / 0))  # type: ignore[arg-type]
    users.index("unhashable", lambda user: [] if user.id == 2 else 0)

    for wrong in (User(9), bob):
        with pytest.raises((ZeroDivisionError, TypeError)):
            getattr(users, write)([ann, wrong] if write == "upsert_many" else wrong)

    assert users.values() == []
    assert by_length.index_keys() == []


def test_an_index_by_hand_holds_what_is_put_there(users: Collection[int, User]) -> None:
    users.upsert_many([ann, bob, cid])
    recent = users.manual_index("recent", str)

    recent.add("today", 2, 1)
    recent.add("today", 2)
    recent.add("ever", 1)
    assert recent.get("today") == [bob, ann]

    users.update(2, lambda user: replace(user, city="Bern"))
    assert [user.city for user in recent.get("today")] == ["Bern", "Oslo"]

    users.remove(1)
    recent.remove("today", 2, 3)
    assert recent.index_keys() == []

    recent.add("today", 2, 3)
    recent.clear("today")
    assert recent.count("today") == 0
    with pytest.raises(UnknownObject, match=r"'users'.*9"):
        recent.add("today", 2, 9)
    assert recent.count("today") == 0


# --- what is told


def test_changes_are_told_at_the_flush_one_for_each_object(
    db: OIMDB, users: Collection[int, User]
) -> None:
    users.upsert(ann)
    all_told: list[Sequence[Change[int, User]]] = []
    one_told: list[Sequence[Change[int, User]]] = []
    remove = users.on_change(all_told.append)
    users.on_key(2, one_told.append)

    moved = replace(ann, city="Bern")
    users.upsert_many([replace(ann, city="Rome"), moved, bob, cid])
    users.remove(3)
    assert all_told == []

    db.flush()
    db.flush()
    assert all_told == [[Change(1, ann, moved), Change(2, None, bob)]]
    assert one_told == [[Change(2, None, bob)]]

    remove()
    remove()
    users.remove(2)
    db.flush()
    assert len(all_told) == 1
    assert one_told[1:] == [[Change(2, bob, None)]]


def test_an_index_key_is_told_of_what_comes_goes_and_changes_under_it(
    db: OIMDB, users: Collection[int, User]
) -> None:
    users.upsert_many([ann, bob])
    by_city, picked = users.index("city"), users.manual_index("picked", str)
    oslo: list[Any] = []
    mine: list[Any] = []
    removes = [by_city.on_key("Oslo", oslo.extend), picked.on_key("mine", mine.extend)]

    # One leaves, one comes
    gone = users.upsert(replace(ann, city="Rome"))
    users.upsert(cid)
    picked.add("mine", 2)
    db.flush()
    assert oslo == [Change(1, ann, gone), Change(3, None, cid)]
    assert mine == [Change(2, bob, bob)]

    # What stays changes, what is elsewhere is not told
    oslo.clear()
    mine.clear()
    changed = users.upsert(replace(cid, tags=("x",)))
    users.upsert(replace(bob, city="Bern"))
    db.flush()
    assert oslo == [Change(3, cid, changed)]
    assert [change.key for change in mine] == [2]

    # One goes for good, one comes and goes unseen
    oslo.clear()
    users.remove(3)
    users.upsert(User(4, "Oslo"))
    users.remove(4)
    db.flush()
    assert oslo == [Change(3, changed, None)]

    for remove in removes:
        remove()
    users.upsert(ann)
    db.flush()
    assert len(oslo) == 1


def test_what_a_subscriber_writes_is_told_in_the_same_flush(
    db: OIMDB, users: Collection[int, User]
) -> None:
    told: list[int] = []

    def follow(changes: Sequence[Change[int, User]]) -> None:
        told.extend(change.key for change in changes)
        db.flush()
        if len(told) < 3:
            users.upsert(User(len(told) + 1))

    users.on_change(follow)
    users.upsert(ann)
    db.flush()
    assert told == [1, 2, 3]

    users.on_change(lambda changes: users.upsert(User(1)) and None)
    users.upsert(ann)
    with pytest.raises(EndlessFlush, match="100 rounds"):
        db.flush()


def test_a_subscriber_that_raises_keeps_no_other_from_hearing(
    db: OIMDB, users: Collection[int, User], caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Any] = []
    users.on_change(lambda changes: 1 / 0)
    users.on_change(told.extend)

    users.upsert(ann)
    with caplog.at_level(logging.ERROR, "cnstra"):
        db.flush()

    assert len(told) == 1
    assert "ZeroDivisionError" in caplog.text


async def test_the_loop_flushes_when_it_comes_round() -> None:
    db, told = OIMDB(flush="loop"), list[Any]()
    users = db.collection("users", User, key=lambda user: user.id)
    users.on_change(told.append)

    await asyncio.to_thread(users.upsert, bob)  # without a loop nobody comes round
    users.upsert(ann)
    users.upsert(cid)
    assert told == []
    await settled()
    assert [[change.key for change in one] for one in told] == [[2, 1, 3]]

    users.remove(1)
    await settled()
    assert len(told) == 2


async def test_a_run_flushes_at_each_lull_or_at_its_end() -> None:
    # Given a graph that fans out, each branch of which writes before and after it waits
    db, opened = OIMDB(), asyncio.Event()
    users = db.collection("users", User, key=lambda user: user.id)
    shared = Resource[Collection[int, User]]("users")
    writer = neuron("writer", {})

    @writer.dendrite(entry)
    async def write(payload: int, axon: Any, ctx: Context[Any]) -> None:
        ctx.resources[shared].upsert(User(payload))
        await opened.wait()
        ctx.resources[shared].upsert(User(payload + 10))

    told: list[list[int]] = []
    users.on_change(lambda changes: told.append([change.key for change in changes]))

    # When it flushes at each lull
    cns = CNS([writer], resources=[shared.of(users)])
    remove = db.flush_with(cns)
    run = cns.stimulate([entry.create_signal(1), entry.create_signal(2)])
    await settled()
    opened.set()
    await run
    assert told == [[1, 2], [11, 12]]

    # And when it flushes at the end
    remove()
    db.flush_with(cns, each="run")
    await cns.stimulate([entry.create_signal(3), entry.create_signal(4)])
    assert told[2:] == [[3, 13, 4, 14]]


# --- what is taken back


def test_a_write_is_taken_back_as_if_it_had_never_been(users: Collection[int, User]) -> None:
    by_city, picked = users.index("city"), users.manual_index("picked", str)
    users.upsert_many([ann, bob])
    picked.add("mine", 1, 2)
    activation = Activation()

    users.upsert(replace(ann, city="Bern"), undo=activation)
    users.upsert(User(1, "Kyiv"), how="merge", undo=activation)
    users.update(1, lambda user: replace(user, tags=()), undo=activation)
    users.upsert_many([cid, User(4)], undo=activation)
    users.add(User(5), undo=activation)
    picked.add("mine", 4, undo=activation)
    picked.clear("mine", undo=activation)
    picked.add("yours", 5, undo=activation)
    users.remove(2, undo=activation)
    users.discard(4, undo=activation)
    activation.fail()

    assert users.values() == [ann, bob]
    assert {city: by_city.get(city) for city in by_city.index_keys()} == {
        "Oslo": [ann],
        "Rome": [bob],
    }
    assert {word: sorted(picked.keys_under(word)) for word in picked.index_keys()} == {
        "mine": [1, 2]
    }


def test_what_others_have_written_since_stays(users: Collection[int, User]) -> None:
    first, second = Activation(), Activation()
    users.upsert_many([ann, bob], undo=first)
    users.update(1, lambda user: replace(user, city="Bern"))
    users.upsert(replace(bob, city="Bern"), undo=second)

    first.fail()
    assert [user.city for user in users.values()] == ["Bern", "Bern"]

    second.fail()  # what it was made over was taken back before
    assert list(users) == [1]


def test_a_write_over_one_that_stays_goes_back_to_it(users: Collection[int, User]) -> None:
    first, second, third = Activation(), Activation(), Activation()
    users.upsert(ann, undo=first)
    del first
    users.upsert(replace(ann, city="Bern"), undo=second)
    users.upsert(replace(ann, city="Rome"), undo=third)

    third.fail()
    assert users[1].city == "Bern"
    second.fail()
    assert users[1] is ann


def test_the_same_object_stored_by_two_stays_for_the_other(users: Collection[int, User]) -> None:
    first = Activation()
    users.upsert(ann, undo=first)
    users.upsert(ann)

    first.fail()

    assert users[1] is ann


async def test_an_activation_that_fails_leaves_no_trace_if_asked_so() -> None:
    db = OIMDB()
    users = db.collection("users", User, key=lambda user: user.id)
    writer = neuron("writer", {})

    @writer.dendrite(entry)
    async def write(payload: int, axon: Any, ctx: Context[Any]) -> None:
        users.upsert(User(payload), undo=ctx)
        users.upsert(User(payload + 10))
        await asyncio.sleep(0)
        if payload == 2:
            raise ValueError

    with pytest.raises(StimulationFailed):
        await CNS([writer]).stimulate([entry.create_signal(1), entry.create_signal(2)])

    assert sorted(users) == [1, 11, 12]


# --- snapshots


def filled() -> OIMDB:
    db = OIMDB()
    users = db.collection("users", User, key=lambda user: user.id)
    users.multi_index("tag", lambda user: user.tags)
    users.manual_index("picked", tuple[str, int])
    return db


def test_a_snapshot_restores_objects_of_their_type_and_indexes() -> None:
    db, other = filled(), filled()
    users: Collection[int, User] = db._collections["users"]
    theirs: Collection[int, User] = other._collections["users"]
    users.upsert_many([ann, bob, cid])
    users.manual["picked"].add(("x", 1), 3, 1)
    theirs.upsert_many([User(1, "Bern"), User(9)])
    theirs.manual["picked"].add(("y", 2), 1, 9)
    told: list[Any] = []
    theirs.on_change(told.extend)

    other.restore(db.snapshot())
    other.flush()

    assert theirs.values() == [ann, bob, cid]
    assert theirs.manual["picked"].index_keys() == [("x", 1)]
    assert theirs.manual["picked"].get(("x", 1)) == [cid, ann]
    assert theirs._derived["tag"].get("b") == [ann, bob]
    assert sorted(change.key for change in told) == [1, 2, 3, 9]
    assert json.loads(other.snapshot()) == json.loads(db.snapshot())


def test_a_collection_that_a_snapshot_does_not_have_is_empty_after_it() -> None:
    db = filled()
    db._collections["users"].upsert(ann)

    db.restore(b'{"v": 1, "collections": {}}')

    assert len(db._collections["users"]) == 0


OBJECT = {"id": 1, "city": None, "tags": []}


@pytest.mark.parametrize(
    ("snapshot", "reason"),
    [
        ("{", "truncated"),
        ("[]", "Expected `object`"),
        ({"v": 2, "collections": {}}, "version 2"),
        ({"v": 1, "collections": {"who": {"objects": []}}}, "no collection 'who'"),
        ({"v": 1, "collections": {"users": {"objects": [{"id": "x"}]}}}, "of 'users' .* `int`"),
        ({"v": 1, "collections": {"users": {"objects": [OBJECT, OBJECT]}}}, "key 1 already"),
        (
            {"v": 1, "collections": {"users": {"objects": [], "indexes": {"who": []}}}},
            "manual index 'who'",
        ),
        (
            {
                "v": 1,
                "collections": {
                    "users": {"objects": [], "indexes": {"picked": [[["x", 1], [0]]]}}
                },
            },
            "out of range",
        ),
    ],
)  # fmt: skip
def test_a_snapshot_that_cannot_be_read_changes_nothing(snapshot: Any, reason: str) -> None:
    db = filled()
    db._collections["users"].upsert(bob)

    with pytest.raises(SnapshotUnreadable, match=reason):
        db.restore(snapshot if isinstance(snapshot, str) else json.dumps(snapshot))

    assert db._collections["users"].values() == [bob]


def test_an_object_without_a_json_form_is_named(db: OIMDB) -> None:
    locks = db.collection("locks", object, key=lambda lock: 1)
    locks.add(object())

    with pytest.raises(SnapshotFailed, match="'locks'"):
        db.snapshot()
