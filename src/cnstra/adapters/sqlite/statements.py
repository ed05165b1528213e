"""The SQL of this adapter: one statement a file, in the folder `sql`, each read once."""

from importlib.resources import files

_FOLDER = files("cnstra.adapters.sqlite") / "sql"


def statement(name: str) -> str:
    """The text of `sql/<name>.sql`."""
    return (_FOLDER / f"{name}.sql").read_text(encoding="utf-8").strip()


def script(name: str) -> list[str]:
    """The statements of `sql/<name>.sql`, which ends each with a semicolon at the end of a line."""
    return [part for part in statement(name).split(";\n") if part.strip()]
