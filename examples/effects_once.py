"""An import that charges, writes and mails, each once, although everything goes wrong on the way.

python examples/effects_once.py [URL]

The bank takes the money and its answer is lost; the program fails after it has written its rows.
A retry asks the bank before it charges again, finds no half-written rows, and sends one mail.
"""

import asyncio
import json
import sqlite3
import sys
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypedDict
from urllib.request import Request, urlopen

from cnstra import CNS, Collateral, Context, Queue, Resource, Signal, Worker, collateral, neuron
from cnstra.effects import Happened, Ledger, Transaction, on_sqlite, transactional


class Import(TypedDict):
    customer: str
    cents: int


class Paid(TypedDict):
    customer: str
    receipt: int


class Written(TypedDict):
    customer: str


class ChargeAxon(NamedTuple):
    paid: Collateral[Paid]


class WriteAxon(NamedTuple):
    written: Collateral[Written]


to_import = collateral("toImport", Import)
paid = collateral("paid", Paid)
written = collateral("written", Written)
to_mail = collateral("toMail", Written)

books = Resource[Ledger[sqlite3.Connection]]("books")
bank = Resource["BankClient"]("bank")
mails = Resource[Queue]("mails")


# --- charge: an effect in another system, through `ctx.once`

charger = neuron("charger", ChargeAxon(paid), checkpoint=True)


@charger.dendrite(to_import, in_thread=True)
def charge(payload: Import, axon: ChargeAxon, ctx: Context[None]) -> Signal[Paid]:
    client = ctx.resources[bank]
    receipt = ctx.once(
        "charge",
        lambda key: client.charge(key, payload["cents"]),
        reconcile=client.find,
        ledger=books,
    )
    return axon.paid.create_signal({"customer": payload["customer"], "receipt": receipt})


# --- write: rows and the step itself are one transaction, and so is the mail to be sent

writer = neuron("writer", WriteAxon(written))


@writer.dendrite(paid, in_thread=True)
@transactional(books)
def write(
    payload: Paid, axon: WriteAxon, ctx: Context[None], tx: Transaction[sqlite3.Connection]
) -> Signal[Written]:
    customer, receipt = payload["customer"], payload["receipt"]
    tx.connection.execute("INSERT INTO receipts VALUES (?, ?)", [customer, receipt])
    tx.enqueue(ctx.resources[mails], to_mail.create_signal({"customer": customer}))
    if ctx.attempt < 3:
        print(f"attempt {ctx.attempt}: written, and then the program fails")
        raise ConnectionError("the network is down")
    return axon.written.create_signal({"customer": customer})


# --- mail: a job of its own, with a key by which the mailer can drop a repeat

mailer = neuron("mailer", {})


@mailer.dendrite(to_mail)
def mail(payload: Written, axon: Any, ctx: Context[None]) -> None:
    assert ctx.idempotency_key
    print(f"a mail to {payload['customer']}")


# --- the far side


class BankClient:
    """What the program knows of the bank."""

    def __init__(self, url: str) -> None:
        self.url = url

    def charge(self, key: str, cents: int) -> int:
        print(f"charge {cents} cents")
        return int(self._ask(key, json.dumps({"cents": cents}).encode()))

    def find(self, key: str) -> Happened[int] | None:
        receipt = self._ask(key, None)
        print(f"the bank is asked: receipt {receipt}")
        return None if receipt is None else Happened(int(receipt))

    def _ask(self, key: str, body: bytes | None) -> Any:
        request = Request(self.url + key, data=body)
        with urlopen(request, timeout=10) as answer:
            return json.load(answer)


class Bank:
    """It drops no repeats: whoever charges twice has paid twice."""

    def __init__(self) -> None:
        self.receipts: dict[str, int] = {}
        self.charges = 0


class Desk(BaseHTTPRequestHandler):
    bank: Bank

    def do_POST(self) -> None:
        self.bank.charges += 1
        self.bank.receipts[self.path] = self.bank.charges
        if self.bank.charges > 1:
            self.answer()  # the first time, the connection is gone before the answer

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.bank.receipts.get(self.path)).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def open_bank() -> Generator[tuple[Bank, str], None, None]:
    class OurDesk(Desk):
        bank = Bank()

    with ThreadingHTTPServer(("127.0.0.1", 0), OurDesk) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield OurDesk.bank, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


# --- both


async def main(url: str, file: Path) -> None:
    with closing(sqlite3.connect(file)) as database, open_bank() as (the_bank, address):
        database.execute("CREATE TABLE receipts (customer text, receipt int)")
        async with Queue("imports", url) as queue, Queue("import-mails", url) as mail_queue:
            cns = CNS(
                [charger, writer, mailer],
                resources=[
                    bank.of(BankClient(address)),
                    mails.of(mail_queue),
                    books.opened_by(lambda: on_sqlite(file, create=True, queues=[mail_queue])),
                ],
            )
            signal = to_import.create_signal({"customer": "Ada", "cents": 500})
            await queue.enqueue(signal, max_attempts=5, backoff=0.05)
            await Worker(queue, cns).run(until_idle=True)
            await Worker(mail_queue, cns).run(until_idle=True)

        print(f"charges: {the_bank.charges}")
        print(f"rows: {database.execute('SELECT * FROM receipts').fetchall()}")


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        where = sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{folder}/jobs.db"
        asyncio.run(main(where, Path(folder) / "books.db"))
