"""The command `fewshot-sep`: its subcommands are the entry points in the group `fewshot_sep.commands`.

A subcommand is a function with Typer annotations, in a module that imports nothing heavy, so that `--help` stays quick;
only the one that is asked for is imported.
"""

from __future__ import annotations

import signal
import sys
from importlib.metadata import EntryPoint, entry_points, version
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from fewshot_sep.errors import FewshotSepError

GROUP = "fewshot_sep.commands"


def installed_commands() -> dict[str, EntryPoint]:
    """The subcommands that installed packages declare, by name."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


class _InstalledCommands(TyperGroup):
    """A group whose subcommands are the installed ones; each is imported when its name or its help is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(installed_commands())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        point = installed_commands().get(cmd_name)
        if point is None:
            return None
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(cmd_name)(point.load())
        return typer.main.get_command(single)


app = typer.Typer(
    cls=_InstalledCommands,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: rich takes longer to import than all the rest
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
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


def main(args: list[str] | None = None, application: typer.Typer = app, name: str = "fewshot-sep") -> None:
    """Run a command line and exit: 0 done, 1 not (all) written, 2 bad input or usage, 130 interrupted.

    What a user can mend is one line on stderr; a traceback is a bug.
    """
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


if __name__ == "__main__":
    main()
