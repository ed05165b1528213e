"""The OIMDB beside dicts kept by hand, littletable and SQLite in memory, doing the same."""

import gc
import random
import sqlite3
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from littletable import Table

from benchmarks.measure import Figure, compare
from cnstra.oimdb import OIMDB

OBJECTS, CITIES, UPDATES, LOOK_UPS, QUERIES = 10_000, 100, 200, 2_000, 20


@dataclass(slots=True)
class User:
    id: int
    city: str
    name: str


def users() -> list[User]:
    chance = random.Random(1)
    return [User(number, city_of(chance), f"name {number}") for number in range(OBJECTS)]


def city_of(chance: random.Random) -> str:
    return f"city {chance.randrange(CITIES)}"


class Store(Protocol):
    """What each of them does: `update` gives an object another city."""

    def update(self, user: User) -> object: ...
    def look_up(self, key: int) -> object: ...
    def query(self, city: str) -> object: ...


class Dicts:
    """The least that Python can do."""

    def __init__(self, users: Sequence[User]) -> None:
        self.users: dict[int, User] = {}
        self.by_city: dict[str, dict[int, User]] = {}
        for user in users:
            self.users[user.id] = user
            self.by_city.setdefault(user.city, {})[user.id] = user

    def update(self, user: User) -> None:
        before = self.users[user.id]
        self.users[user.id] = user
        if before.city != user.city:
            del self.by_city[before.city][user.id]
        self.by_city.setdefault(user.city, {})[user.id] = user

    def look_up(self, key: int) -> User:
        return self.users[key]

    def query(self, city: str) -> list[User]:
        return [*self.by_city[city].values()]


class Ours:
    def __init__(self, users: Sequence[User]) -> None:
        self.users = OIMDB().collection("users", User, key=lambda user: user.id)
        self.by_city = self.users.index("city", lambda user: user.city)
        self.users.upsert_many(users)
        self.update = self.users.upsert
        self.look_up = self.users.__getitem__
        self.query = self.by_city.get


class LittleTable:
    def __init__(self, users: Sequence[User]) -> None:
        self.table: Any = Table("users")
        self.table.create_index("id", unique=True)
        self.table.create_index("city")
        self.table.insert_many(users)

    def update(self, user: User) -> None:
        self.table.remove(self.table.by.id[user.id])
        self.table.insert(user)

    def look_up(self, key: int) -> Any:
        return self.table.by.id[key]

    def query(self, city: str) -> list[Any]:
        return list(self.table.by.city[city])


class SQLite:
    def __init__(self, users: Sequence[User]) -> None:
        self.database = sqlite3.connect(":memory:", isolation_level=None)
        self.database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, city TEXT, name TEXT)")
        self.database.execute("CREATE INDEX by_city ON users (city)")
        for user in users:
            self.update(user)

    def update(self, user: User) -> None:
        row = (user.id, user.city, user.name)
        self.database.execute("INSERT OR REPLACE INTO users VALUES (?, ?, ?)", row)

    def look_up(self, key: int) -> User:
        found = self.database.execute("SELECT id, city, name FROM users WHERE id = ?", (key,))
        return User(*found.fetchone())

    def query(self, city: str) -> list[User]:
        found = self.database.execute("SELECT id, city, name FROM users WHERE city = ?", (city,))
        return [User(*row) for row in found]


OTHERS: dict[str, Callable[[Sequence[User]], Store]] = {
    "dicts": Dicts,
    "littletable": LittleTable,
    "SQLite": SQLite,
}

GOALS = {
    ("update", "dicts"): 4.0,
    ("look-up", "dicts"): 1.5,
    ("index query", "dicts"): 5.0,
    ("memory", "dicts"): 2.5,
    ("memory", "littletable"): 4.0,
    ("memory", "SQLite"): 6.0,
}


def figures(repetitions: int) -> Iterator[Figure]:
    ours = Ours(users())
    others = {name: make(users()) for name, make in OTHERS.items()}
    for what, work, per in WORKS:
        for name, other in others.items():
            yield compare(
                f"{what}, against {name}",
                lambda other=other, work=work: work(other),
                lambda mine=ours, work=work: work(mine),
                per=per,
                goal=GOALS.get((what, name), 1.0),
                repetitions=max(1, repetitions // 3),
            )
    mine = bytes_of(Ours)
    bytes_by = {name: bytes_of(OTHERS[name]) for name in ("dicts", "littletable")}
    for name, theirs in {**bytes_by, "SQLite": bytes_in_sqlite()}.items():
        goal = GOALS.get(("memory", name), 1.0)
        yield Figure(f"memory, against {name}", "bytes", theirs, mine, mine / theirs, goal)


def update(store: Store) -> None:
    chance = random.Random(2)
    for number in range(UPDATES):
        store.update(User(number, city_of(chance), "name"))


def look_up(store: Store) -> None:
    find = store.look_up
    for key in range(LOOK_UPS):
        find(key)


def query(store: Store) -> None:
    for number in range(QUERIES):
        store.query(f"city {number}")


WORKS: Sequence[tuple[str, Callable[[Store], None], int]] = (
    ("update", update, UPDATES),
    ("look-up", look_up, LOOK_UPS),
    ("index query", query, QUERIES),
)


def bytes_of(make: Callable[[Sequence[User]], Store]) -> float:
    """What a store takes for one object, the object itself not counted."""
    objects = users()
    gc.collect()
    tracemalloc.start()
    store = make(objects)
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del store
    return taken / len(objects)


def bytes_in_sqlite() -> float:
    """What SQLite takes for one object, the object itself counted: it holds it as a row."""
    database = SQLite(users()).database
    (pages,), (size,) = (
        database.execute(f"PRAGMA {what}").fetchone() for what in ("page_count", "page_size")
    )
    return pages * size / OBJECTS
