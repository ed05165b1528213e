"""An effect that must happen once, although its answer is lost and the step runs again.

python examples/idempotent_effect.py [URL]

No engine can by itself make an effect in another system happen exactly once: between the effect and
the note that it happened, anything may die. What it can do is give the far side a key that is the
same each time, so that the far side drops the repeat.
"""

import asyncio
import json
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, TypedDict
from urllib.request import Request, urlopen

from cnstra import CNS, Collateral, Context, Queue, Signal, Worker, collateral, neuron

# --- our side


class Payment(TypedDict):
    bank: str
    cents: int


class Paid(TypedDict):
    balance: int


payment = collateral("payment", Payment)
paid = collateral("paid", Paid)


class PayerAxon(NamedTuple):
    paid: Collateral[Paid]


payer = neuron("payer", PayerAxon(paid))


# urlopen blocks, so the handler runs in a thread; an async HTTP client would need none.
@payer.dendrite(payment, in_thread=True)
def on_payment(payload: Payment, axon: PayerAxon, ctx: Context[None]) -> Signal[Paid]:
    print(f"attempt {ctx.attempt}: pay {payload['cents']} cents")
    request = Request(
        payload["bank"],
        data=json.dumps({"cents": payload["cents"]}).encode(),
        headers={"Idempotency-Key": ctx.idempotency_key},
    )
    with urlopen(request, timeout=10) as answer:
        return axon.paid.create_signal({"balance": json.load(answer)["balance"]})


cns = CNS([payer])


# --- the far side: a bank that remembers keys, and whose first answer never arrives


class Bank:
    def __init__(self) -> None:
        self.balance = 0
        self.requests = 0
        self.answers: dict[str, bytes] = {}

    def pay(self, key: str, cents: int) -> bytes:
        self.requests += 1
        if key not in self.answers:
            self.balance += cents
            self.answers[key] = json.dumps({"balance": self.balance}).encode()
        return self.answers[key]


class Counter(BaseHTTPRequestHandler):
    bank: Bank

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = self.bank.pay(self.headers["Idempotency-Key"], body["cents"])
        if self.bank.requests == 1:
            return  # paid, but the connection is gone before the answer
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def open_bank() -> Generator[tuple[Bank, str], None, None]:
    class OurCounter(Counter):
        bank = Bank()

    with ThreadingHTTPServer(("127.0.0.1", 0), OurCounter) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield OurCounter.bank, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


# --- both


async def main(url: str) -> None:
    with open_bank() as (bank, address):
        async with Queue("payments", url) as queue:
            signal = payment.create_signal({"bank": address, "cents": 500})
            job = await queue.enqueue(signal, max_attempts=3, backoff=0.05)
            await Worker(queue, cns, results=[paid]).run(until_idle=True)

            print(f"the bank had {bank.requests} requests, and {bank.balance} cents")
            print(f"result: {await job.result()}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///idempotent_effect.db"))
