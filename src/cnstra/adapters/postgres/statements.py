"""The SQL of this adapter, in the folder `sql`, each file read once for each schema."""

from functools import cache
from importlib.resources import files

_FOLDER = files("cnstra.adapters.postgres") / "sql"
_SCHEMA = ':"schema"'
"""How the files spell the schema, as `psql` would with `--set schema=...`."""


@cache
def statement(name: str, schema: str) -> str:
    """The text of `sql/<name>.sql`, about that schema."""
    text = (_FOLDER / f"{name}.sql").read_text(encoding="utf-8").strip()
    return text.replace(_SCHEMA, f'"{schema}"')


@cache
def query(name: str, schema: str) -> bytes:
    """The same for psycopg, which takes text for a query only where it stands in the source."""
    return statement(name, schema).encode()
