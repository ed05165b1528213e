"""`cnstra migrate`."""

from typing import Annotated, cast

import typer

from cnstra.cli.usage import NothingToMigrate
from cnstra.durable.adapters import adapter_for
from cnstra.jobs.blocking import blocking
from cnstra.jobs.broker import MigratingAdapter

Where = Annotated[
    str, typer.Argument(metavar="URL", help="The broker or store, as in postgresql://host/db.")
]
AsSql = Annotated[bool, typer.Option("--sql", help="Print the SQL, and touch nothing.")]


def migrate(url: Where, as_sql: AsSql = False) -> None:
    """Bring the tables of a database up to date, or print how."""
    found = adapter_for(url)
    if not hasattr(found, "migrate"):
        raise NothingToMigrate(scheme=url.partition(":")[0])
    adapter = cast(MigratingAdapter, found)
    if as_sql:
        print(adapter.migration(url), end="")
        return
    versions = blocking(adapter.migrate(url))
    for version in versions:
        print(f"migrated to version {version}")
    if not versions:
        print("nothing to do: the tables are up to date")
