"""The command `fewshot-sep`, and what makes a command of any function: `run`.

The subcommands are the entry points in the group `fewshot_sep.commands`. Each is a function with Typer annotations, in
a module that imports nothing heavy, so that `--help` stays quick; only the one that is called is imported.

A function's docstring is its help. What follows a line `Example:` is shown verbatim at the end. An option's
`rich_help_panel` is the heading under which the help lists it.
"""

from __future__ import annotations

import inspect
import signal
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points, version
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from fewshot_sep.errors import FewshotSepError

GROUP = "fewshot_sep.commands"
SETTINGS: dict[str, Any] = {
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"], "max_content_width": 100},
}


class _Command(TyperCommand):
    """A command whose plain help groups the options by panel; rich, which does so too, takes long to import."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        for parameter in self.get_params(ctx):
            panel = getattr(parameter, "rich_help_panel", None) or "Options"
            name = "Arguments" if parameter.param_type_name == "argument" else panel[0].upper() + panel[1:]
            if record := parameter.get_help_record(ctx):
                panels.setdefault(name, []).append(record)
        panels["Options"] = panels.pop("Options", [])  # last
        for name, records in panels.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        if self.epilog:
            formatter.write(f"\n{self.epilog}\n")


def _application(function: Callable[..., Any], name: str) -> typer.Typer:
    """A function as a Typer application of one command."""
    text, heading, example = (inspect.getdoc(function) or "").partition("\nExample:\n")
    epilog = f"{heading.strip()}\n{example}" if example else None
    application = typer.Typer(add_completion=False, **SETTINGS)
    application.command(name, cls=_Command, help=text.strip(), epilog=epilog)(function)
    return application


def installed_commands() -> dict[str, EntryPoint]:
    """The subcommands that installed packages declare, by name."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


class _InstalledCommands(TyperGroup):
    """A group whose subcommands are the installed ones; each is imported when it is called or its help is shown."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(installed_commands())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        point = installed_commands().get(cmd_name)
        return typer.main.get_command(_application(point.load(), cmd_name)) if point else None


app = typer.Typer(cls=_InstalledCommands, no_args_is_help=True, **SETTINGS)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fewshot-sep {version('fewshot-sep')}")
        raise typer.Exit


@app.callback()
def _root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Separate an instrument from music by showing it a short clip of how that instrument sounds.

    A file whose name begins with a dash goes after `--`, or is written `./-name.wav`.
    """


def main(args: list[str] | None = None) -> None:
    """Run the command line `fewshot-sep` and exit, see `run`."""
    _run(app, "fewshot-sep", args)


def run(function: Callable[..., Any], name: str = "", args: list[str] | None = None) -> None:
    """Run a function with Typer annotations as a command line and exit.

    Exit codes: 0 done, 1 not (all) written, 2 bad input or usage, 130 interrupted. What a user can mend is one line on
    stderr; a traceback is a bug.

    Args:
        name: of the program in its help; else `python -m` and the module that Python was started with.
        args: the command line; else this process's.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    name = name or (f"python -m {spec.name}" if spec else sys.argv[0])
    _run(_application(function, name), name, args)


def _run(application: typer.Typer, name: str, args: list[str] | None) -> None:
    if hasattr(signal, "SIGTERM"):
        signal.signal(signal.SIGTERM, _terminate)
    try:
        application(args=args, prog_name=name)
    except FewshotSepError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), 1)
    except MemoryError:
        _fail("out of memory", 1)
    except KeyboardInterrupt:
        sys.exit(130)


def _terminate(number: int, frame: FrameType | None) -> None:
    """Leave by an exception, so that half-written files are removed on the way."""
    raise SystemExit(128 + number)


def _fail(message: str, exit_code: int) -> None:
    typer.echo(f"error: {' '.join(message.splitlines())}", err=True)
    sys.exit(exit_code)
