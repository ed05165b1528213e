"""Effects that happen once: transactional steps, an outbox, and `ctx.once`, on any broker."""

from cnstra.effects.ledger import Ledger, Unsettled
from cnstra.effects.places import on_psycopg, on_psycopg_async, on_sqlite
from cnstra.effects.statements import ddl
from cnstra.effects.transactions import Transaction, transactional
from cnstra.engine.effects import LEDGER, Happened
from cnstra.errors import EffectUnknown, NotDone

__all__ = [
    "LEDGER",
    "EffectUnknown",
    "Happened",
    "Ledger",
    "NotDone",
    "Transaction",
    "Unsettled",
    "ddl",
    "on_psycopg",
    "on_psycopg_async",
    "on_sqlite",
    "transactional",
]
