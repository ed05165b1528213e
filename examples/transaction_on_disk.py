"""A file from disk, an inner run and one database transaction: done as a whole, and done once.

python examples/transaction_on_disk.py

Only the name of the file crosses the queue. What is read of it stays in the process, inside an
inner run; the rows that come of it, and the step itself, are one transaction.
"""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypedDict

from cnstra import (
    CNS,
    Collateral,
    Context,
    Resource,
    Signal,
    StimulationFailed,
    collateral,
    neuron,
    run_durably,
)
from cnstra.effects import Ledger, Transaction, on_sqlite, transactional

Tx = Transaction[sqlite3.Connection]

# --- what crosses the queue


class ToImport(TypedDict):
    path: str


class Imported(TypedDict):
    path: str
    readings: int


to_import = collateral("toImport", ToImport)
imported = collateral("imported", Imported)


# --- what never leaves the process: bytes on loan, and an open transaction


class Blob(NamedTuple):
    content: memoryview
    tx: Tx


class Reading(NamedTuple):
    sensor: str
    value: float
    tx: Tx


blob = collateral("blob", Blob)
reading = collateral("reading", Reading)

books = Resource[Ledger[sqlite3.Connection]]("books")


# --- the transaction neuron


class ImportAxon(NamedTuple):
    imported: Collateral[Imported]


importer = neuron("importer", ImportAxon(imported))


@importer.dendrite(to_import)
@transactional(books)
def on_import(payload: ToImport, axon: ImportAxon, ctx: Context[None], tx: Tx) -> Signal[Imported]:
    print(f"importing {Path(payload['path']).name}")
    content = memoryview(Path(payload["path"]).read_bytes())

    inner = ctx.cns.stimulate(blob.create_signal(Blob(content, tx)))
    inner.raise_for_failures()  # sync handlers have run by now; any error rolls all of it back

    (count,) = tx.connection.execute("SELECT count(*) FROM readings").fetchone()
    return axon.imported.create_signal({"path": payload["path"], "readings": count})


# --- the neurons inside


class ReadAxon(NamedTuple):
    reading: Collateral[Reading]


reader = neuron("reader", ReadAxon(reading))
recorder = neuron("recorder", {})


@reader.dendrite(blob)
def on_blob(payload: Blob, axon: ReadAxon) -> list[Signal[Reading]]:
    return [
        axon.reading.create_signal(Reading(sensor, value, payload.tx))
        for sensor, value in parsed(payload.content)
    ]


@recorder.dendrite(reading)
def on_reading(payload: Reading) -> None:
    row = [payload.sensor, payload.value]
    payload.tx.connection.execute("INSERT INTO readings VALUES (?, ?)", row)


def parsed(content: memoryview) -> Iterator[tuple[str, float]]:
    for line in bytes(content).decode().splitlines():
        sensor, _, value = line.partition("=")
        yield sensor, float(value)


async def main(folder: Path) -> None:
    good, bad = folder / "good.txt", folder / "bad.txt"
    good.write_text("inside=21.5\noutside=4\n")
    bad.write_text("inside=21.5\noutside=cold\n")
    file = folder / "books.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE readings (sensor text, value real)")

        given: Any = books.opened_by(lambda: on_sqlite(file, create=True))
        cns = CNS([importer, reader, recorder], resources=[given])

        async def run(path: Path, store: str) -> dict[str, Any]:
            signal = to_import.create_signal({"path": str(path)})
            return await run_durably(cns, signal, key=path.name, store=store, results=[imported])

        try:
            await run(bad, "memory://bad")
        except StimulationFailed as error:
            print(f"failed: {error.failed_tasks[0].error}")
        print(f"rows: {database.execute('SELECT * FROM readings').fetchall()}")

        # The same run twice, the second time with its progress lost: as after a death that came
        # when the transaction was committed, and nobody but the database knew.
        for store in ("memory://first", "memory://second"):
            found = await run(good, store)
            print(f"readings: {found['results'][0]['readings']}")
        print(f"rows: {database.execute('SELECT * FROM readings').fetchall()}")


if __name__ == "__main__":
    with TemporaryDirectory() as name:
        asyncio.run(main(Path(name)))
