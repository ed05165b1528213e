"""The OIMDB as its users write it. Never run: only checked, by mypy and by pyright, strictly."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, assert_type

from cnstra import CNS, Context, Resource, collateral, neuron
from cnstra.oimdb import OIMDB, Change, Collection, Index, ManualIndex


@dataclass(frozen=True)
class User:
    id: int
    city: str
    tags: tuple[str, ...] = ()


class Row(TypedDict):
    name: str


db = OIMDB(flush="loop")
users = db.collection("users", User, key=lambda user: user.id)
rows = db.collection("rows", Row, key=lambda row: row["name"])
by_field = db.collection("others", User, key="id")

assert_type(users, Collection[int, User])
assert_type(rows, Collection[str, Row])
assert_type(by_field, Collection[Any, User])

assert_type(users[1], User)
assert_type(users.get(1), User | None)
assert_type(users.get(1, "nobody"), User | str)
assert_type(users.values(), list[User])
users["one"]  # type: ignore[index]  # pyright: ignore[reportArgumentType]
OIMDB(flush="later")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# --- writing

assert_type(users.upsert(User(1, "Oslo")), User)
assert_type(users.upsert_many([User(1, "Oslo")], how="merge"), list[User])
assert_type(users.update(1, lambda user: User(user.id, user.city)), User)
assert_type(users.remove(1), User)
assert_type(users.discard(1), User | None)
users.upsert(User(1, "Oslo"), how=lambda old, new: User(old.id, new.city))
users.upsert({"id": 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
users.upsert(User(1, "Oslo"), how="append")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# --- indexes

by_city = users.index("city", lambda user: user.city)
by_tag = users.multi_index("tag", lambda user: user.tags)
picked = users.manual_index("picked", str)

assert_type(by_city, Index[str, int, User])
assert_type(by_tag, Index[str, int, User])
assert_type(users.index("name"), Index[Any, int, User])
assert_type(picked, ManualIndex[str, int, User])
assert_type(by_city.get("Oslo"), list[User])
assert_type(by_city.keys_under("Oslo"), list[int])
assert_type(by_city.index_keys(), list[str])
picked.add("mine", 1, 2)
picked.add("mine", "one")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
by_city.get(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# --- subscriptions


def hear(changes: Sequence[Change[int, User]]) -> None:
    for key, before, after in changes:
        assert_type(key, int)
        assert_type(before, User | None)
        assert_type(after, User | None)


users.on_change(hear)
users.on_key(1, hear)
by_city.on_key("Oslo", hear)
rows.on_change(hear)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# --- in a graph

entry = collateral("entry", int)
shared = Resource[Collection[int, User]]("users")


@neuron("writer", {}).dendrite(entry)
def write(payload: int, axon: Any, ctx: Context[Any]) -> None:
    assert_type(ctx.resources[shared].upsert(User(payload, "Oslo"), undo=ctx), User)
    ctx.resources[shared].remove(payload, undo=payload)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


remove = db.flush_with(CNS(resources=[shared.of(users)]), each="run")
remove()
shared.of(rows)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
