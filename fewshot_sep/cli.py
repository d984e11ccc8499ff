"""The command `fewshot-sep`, and what makes a command of any function: `run`.

The subcommands are the entry points in the group `fewshot_sep.commands`. Each is a function with Typer annotations, in
a module that imports nothing heavy, so that `--help` stays quick; only the one that is called is imported.

A function's docstring is its help. What follows a line `Example:` is shown verbatim at the end. An option's
`rich_help_panel` is the heading under which the help lists it.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points, version
from types import FrameType
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from fewshot_sep.errors import FewshotSepError, explain

_Thing = TypeVar("_Thing")
GROUP = "fewshot_sep.commands"
SETTINGS: dict[str, Any] = {
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"], "max_content_width": 100},
}


DEBUG = "--debug"
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
"""Threads that wait sleep: those that spin take the cores from whatever else runs, and from each other."""
LINE_SECONDS = 10  # between lines of progress, where there is no terminal


_debugging = False
_Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Threads to compute with.", show_default="one for each core that is free to use"),
]
_Debug = Annotated[bool, typer.Option(DEBUG, help="Show the traceback of an unexpected error.")]


class _Command(TyperCommand):
    """A command whose plain help groups the options by panel; rich, which does so too, takes long to import.

    It takes no empty argument: as a path that would be the current folder.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for argument in args:
            name, equals, value = argument.partition("=")
            if not argument or (name.startswith("--") and equals and not value):
                ctx.fail(f"{name or 'an argument'} is empty")
        return super().parse_args(ctx, args)

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
    application.command(name, cls=_Command, help=text.strip(), epilog=epilog)(_with_common_options(function))
    return application


def _with_common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with the options `--threads` and `--debug`, which all commands have."""

    @functools.wraps(function)
    def command(*args: Any, threads: int | None, debug: bool, **options: Any) -> Any:
        global _debugging
        _set_threads(threads)
        _debugging = debug
        return function(*args, **options)

    signature = inspect.signature(function, eval_str=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    more = [
        inspect.Parameter(name, keyword, default=default, annotation=annotation)
        for name, default, annotation in (("threads", None, _Threads), ("debug", False, _Debug))
    ]
    signature = signature.replace(parameters=[*signature.parameters.values(), *more])
    vars(command)["__signature__"] = signature
    command.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    return command


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


@contextlib.contextmanager
def progress(title: str) -> Iterator[Callable[..., None]]:
    """A function to be told the share that is done and, if it changes, the title.

    It shows a bar with the time left on a terminal; elsewhere a line every ten seconds.
    """
    if not sys.stderr.isatty():
        said = time.monotonic()

        def tell(share: float, title: str = title) -> None:
            nonlocal said
            if time.monotonic() - said >= LINE_SECONDS:
                said = time.monotonic()
                say(f"{title}: {share:.0%}", err=True)

        yield tell
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(escape(title), total=1.0)
        yield lambda share, title=title: bar.update(task, completed=share, description=escape(title))


def tracked(things: Sequence[_Thing], title: str) -> Iterator[_Thing]:
    """The things one by one; `progress` shows how many are done."""
    with progress(title) as tell:
        for number, thing in enumerate(things, 1):
            yield thing
            tell(number / len(things))


def debugging() -> bool:
    """Whether tracebacks are wanted."""
    return _debugging


def say(text: object, *, err: bool = False) -> None:
    """Print a line; work goes on where no one reads it any more (a closed pipe, a closed terminal)."""
    try:
        typer.echo(text, err=err)
    except (OSError, ValueError):
        setattr(sys, "stderr" if err else "stdout", open(os.devnull, "w"))  # noqa: SIM115, PTH123


def _run(application: typer.Typer, name: str, args: list[str] | None) -> None:
    """Run, and turn every exception into an exit code."""
    global _debugging
    _debugging = False
    _open_standard_streams()
    for variable, value in PASSIVE.items():
        os.environ.setdefault(variable, value)
    with _signals():
        try:
            application(args=args, prog_name=name)
        except FewshotSepError as error:
            _fail(str(error), error.exit_code)
        except KeyboardInterrupt:
            sys.exit(130)
        except Exception as error:
            if debugging():
                raise
            if isinstance(error, OSError):
                _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), 1)
            known = isinstance(error, MemoryError)
            _fail(explain(error) + ("" if known else f" (with {DEBUG} the traceback is shown)"), 1)


def _open_standard_streams() -> None:
    """All three are there, so that no file takes the place of one, and print whatever is a file's name."""
    with contextlib.suppress(OSError):
        while (number := os.open(os.devnull, os.O_RDWR)) < 3:
            pass
        os.close(number)
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:
            setattr(sys, stream, open(os.devnull, "w"))  # noqa: SIM115, PTH123
        elif hasattr(getattr(sys, stream), "reconfigure"):
            getattr(sys, stream).reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM and SIGHUP leave by an exception, as SIGINT does, so that half-written files are removed on the way.

    While that goes on the next signal is ignored: an impatient second Ctrl-C must not stop the removal; a third does.
    """
    names = ("SIGTERM", "SIGHUP", "SIGINT")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    count = 0

    def leave(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count == 2:
            return
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    ignored = [number for number in numbers if signal.getsignal(number) == signal.SIG_IGN]  # by nohup, say
    before = {number: signal.signal(number, leave) for number in numbers if number not in ignored}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _set_threads(threads: int | None) -> None:
    """For torch, NumPy and what else there is, before they are imported."""
    if threads is None:
        if "OMP_NUM_THREADS" in os.environ:
            return
        threads = usable_cores()
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def usable_cores() -> int:
    """Cores that this process may use: of the machine, less what an affinity or a container's quota takes away."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        with open("/sys/fs/cgroup/cpu.max") as file:  # noqa: PTH123
            quota, period = file.read().split()
        cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def _fail(message: str, exit_code: int) -> None:
    say(f"error: {' '.join(message.splitlines())}", err=True)
    sys.exit(exit_code)
