"""The command line: what it finds, how it fails, and that asking for help is cheap."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pytest
import typer

import fewshot_sep
from fewshot_sep import cli, errors

HEAVY = {"torch", "torchaudio", "librosa", "madmom", "scipy", "lightning", "matplotlib", "numba", "soxr", "rich"}


class Plug(NamedTuple):
    """Stands for an entry point."""

    function: Callable[..., Any]

    def load(self) -> Callable[..., Any]:
        return self.function


def run(monkeypatch: pytest.MonkeyPatch, arguments: list[str], **functions: Callable[..., Any]) -> int:
    """Exit code of the command line with these subcommands."""
    monkeypatch.setattr(
        cli, "installed_commands", lambda: {name: Plug(function) for name, function in functions.items()}
    )
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    return int(left.value.code or 0)


def python(code: str, **options: Any) -> subprocess.Popen[str]:
    """Another interpreter, running `code` after the command's import."""
    code = "import sys; from fewshot_sep import cli\n" + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        **options,
    )


@pytest.mark.parametrize("command", ["", *cli.installed_commands()])
def test_help_imports_nothing_heavy(command: str) -> None:
    process = python(
        f"""
        try:
            cli.main([*{command!r}.split(), "--help"])
        except SystemExit as left:
            print("LEFT", left.code, *{HEAVY!r}.intersection(sys.modules))
        """
    )
    output, trouble = process.communicate()
    assert output.splitlines()[-1] == "LEFT 0", trouble
    assert "Usage" in output


def grouped(
    song: Annotated[Path, typer.Argument(help="What to separate.")],
    plain: Annotated[int, typer.Option(help="Of no group.")] = 1,
    query: Annotated[Path | None, typer.Option(help="A clip.", rich_help_panel="evidence")] = None,
    secret: Annotated[int, typer.Option(hidden=True, rich_help_panel="evidence")] = 1,
    meter: Annotated[int, typer.Option(help="Beats in a bar.", rich_help_panel="bars")] = 4,
    query_at: Annotated[str, typer.Option(help="A passage.", rich_help_panel="evidence")] = "",
) -> None:
    """Do something.

    Example:
        grouped song.wav --query "a name that is far too long to be wrapped.wav" --query-at 0:12-0:18 --meter 3
    """
    typer.echo(f"{song} {query} {meter}")


def test_help_groups_options_and_keeps_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.run(grouped, "grouped", ["--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    headings = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Arguments:", "Evidence:", "Bars:", "Options:", "Example:"]
    evidence = text.split("Evidence:")[1].split("Bars:")[0]
    assert "--query " in evidence and "--query-at" in evidence and "secret" not in text
    assert "--plain" in text.split("Options:")[1]
    assert '    grouped song.wav --query "a name that is far too long to be wrapped.wav" --query-at 0:12' in text
    assert "Do something." in text.split("Arguments:")[0]


@pytest.mark.parametrize(
    ("arguments", "code"), [(["a.wav", "--meter", "3"], 0), (["a.wav", "--meter", "x"], 2), ([], 2)]
)
def test_any_function_becomes_a_command(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int) -> None:
    with pytest.raises(SystemExit) as left:
        cli.run(grouped, "grouped", arguments)
    assert left.value.code == code
    assert capsys.readouterr().out == ("a.wav None 3\n" if code == 0 else "")


def test_python_runs_the_package() -> None:
    done = subprocess.run([sys.executable, "-m", "fewshot_sep", "--version"], capture_output=True, text=True)
    assert done.stdout == f"fewshot-sep {fewshot_sep.__version__}\n"


def test_a_command_is_imported_only_when_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"separate", "train", "make-library", "doctor"} <= set(cli.installed_commands())
    loaded: list[object] = []
    load = Plug.load
    monkeypatch.setattr(Plug, "load", lambda self: loaded.append(self.function) or load(self))

    def mine() -> None:
        assert loaded == [mine]

    assert run(monkeypatch, ["mine"], mine=mine, other=print) == 0


@pytest.mark.parametrize(
    ("raised", "code", "says"),
    [
        (errors.BadAudio("a.wav: is empty"), 2, "error: a.wav: is empty\n"),
        (errors.BadQuery("q.wav: is\nsilent"), 2, "error: q.wav: is silent\n"),
        (errors.WeightsError("w: damaged"), 2, "error: w: damaged\n"),
        (errors.OutputError("a.wav: disk full"), 1, "error: a.wav: disk full\n"),
        (OSError(errno.ENOSPC, "No space left on device", "out.json"), 1, "error: out.json: No space left on device\n"),
        (MemoryError(), 1, "error: out of memory\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, ""),
    ],
)
def test_failures_are_one_line_and_a_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], raised: BaseException, code: int, says: str
) -> None:
    def fail() -> None:
        raise raised

    monkeypatch.setattr(sys, "stdout", sys.stdout)  # a broken pipe makes Typer wrap both
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    assert run(monkeypatch, ["fail"], fail=fail) == code
    printed = capsys.readouterr()
    assert printed.err == says and printed.out == ""


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(monkeypatch, ["fail"], fail=fail)


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["fine", "--nonsense"], []])
def test_wrong_usage_is_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(monkeypatch, arguments, fine=lambda: None) == 2
    printed = capsys.readouterr()
    assert ("nonsense" if arguments else "fine") in printed.out + printed.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["show", "--", "-a.wav", "--b.wav"], ["-a.wav", "--b.wav"]),
        (["show", "./-a.wav"], ["-a.wav"]),
        (["show", "ein Stück.wav", "夜.wav"], ["ein Stück.wav", "夜.wav"]),
    ],
)
def test_file_names_that_look_like_options(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: list[str]
) -> None:
    seen: list[str] = []

    def show(songs: Annotated[list[Path], typer.Argument()]) -> None:
        seen.extend(str(song) for song in songs)

    assert run(monkeypatch, arguments, show=show) == 0
    assert seen == expected


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_signals_leave_no_half_file(tmp_path: Path, number: str, code: int) -> None:
    process = python(
        """
        import signal, time
        from fewshot_sep import audio
        signal.signal(signal.SIGINT, signal.default_int_handler)
        def work():
            with audio.AudioWriter("a.wav", 8000, 1) as writer:
                for _ in range(6000):
                    writer.write([[0.5] * 100])
                    time.sleep(0.01)
        class Plug:
            def load(self):
                return work
        cli.installed_commands = lambda: {"work": Plug()}
        cli.main(["work"])
        """,
        cwd=tmp_path,
    )
    for _ in range(3000):
        if list(tmp_path.glob(".*.part")) or process.poll() is not None:
            break
        time.sleep(0.02)
    process.send_signal(getattr(signal, number))
    _, trouble = process.communicate(timeout=120)
    assert process.returncode == code, trouble
    assert "Traceback" not in trouble
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="pipes as on POSIX")
def test_a_reader_that_leaves_early_is_no_error() -> None:
    process = python(
        """
        import typer
        class Plug:
            def load(self):
                return lambda: [typer.echo("word " * 1000) for _ in range(1000)]
        cli.installed_commands = lambda: {"talk": Plug()}
        cli.main(["talk"])
        """
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait()
