"""The commands, and what becomes of their errors."""

import errno
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup, TyperOption

from cnstra.cli import (
    check,
    dashboard,
    dead,
    doctor,
    enqueue,
    explain,
    graph,
    jobs,
    mcp,
    migrate,
    steering,
    worker,
)
from cnstra.cli.demo import command as demo
from cnstra.cli.output import one_line, plain
from cnstra.cli.usage import WRONGLY_ASKED, SystemRefused, WrongArguments
from cnstra.errors import CnstraError


class Commands(TyperGroup):
    """Tells of an error on one line of standard error."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CnstraError as error:
            if ctx.params["debug"]:
                raise
            fail(error)
        except OSError as error:
            if ctx.params["debug"] or error.errno == errno.EPIPE:
                raise
            fail(SystemRefused(reason=error))


app = typer.Typer(name="cnstra", cls=Commands, rich_markup_mode=None)


@app.callback()
def cnstra(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Typed signal graphs whose runs survive the message broker that you already have."""
    del debug  # `Commands` reads it


app.command("worker")(worker.worker)
app.command("enqueue")(enqueue.enqueue)
app.add_typer(jobs.app, name="jobs")
app.add_typer(dead.app, name="dead")
app.command("explain")(explain.explain)
app.command("check")(check.check)
app.command("graph")(graph.graph)
app.command("doctor")(doctor.doctor)
app.command("mcp")(mcp.mcp)
app.command("pause")(steering.pause)
app.command("resume")(steering.resume)
app.command("dashboard")(dashboard.dashboard)
app.command("migrate")(migrate.migrate)
app.command("demo")(demo.demo)


def run() -> int:
    """Run the command line of this process; returns its exit code."""
    command: Any = typer.main.get_command(app)
    name_variables(command, "cnstra")
    try:
        done = command.main(sys.argv[1:] or ["--help"], prog_name="cnstra", standalone_mode=False)
        return done or 0
    except CnstraError:
        raise
    except Exception as error:
        explain = getattr(error, "format_message", None)
        if explain is None:
            raise
        reason = one_line(explain()).replace("Value error, ", "").rstrip(".")
        fail(WrongArguments(reason=f"{reason}. {_help(error)}"))


def name_variables(command: Any, path: str) -> None:
    """Let each option come from the environment: `--limit` of `cnstra jobs list` from
    `CNSTRA_JOBS_LIST_LIMIT`, and so on.
    """
    for one in command.params:
        if isinstance(one, TyperOption) and not (one.envvar or one.hidden or one.is_eager):
            option = max(one.opts, key=len).lstrip("-")
            one.envvar = f"{path} {option}".replace(" ", "_").replace("-", "_").upper()
    for name, inner in getattr(command, "commands", {}).items():
        name_variables(inner, f"{path} {name}")


def fail(error: CnstraError) -> NoReturn:
    """Say what is wrong, and end."""
    print(f"cnstra: {plain(one_line(error)).plain}", file=sys.stderr)
    sys.exit(2 if isinstance(error, WRONGLY_ASKED) else 1)


def _help(error: Any) -> str:
    context = getattr(error, "ctx", None)
    command = "cnstra" if context is None else context.command_path
    return f"See `{command} --help`."
