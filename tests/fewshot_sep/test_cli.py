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
from fewshot_sep import cli, errors, files

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


IMPORTED = """
import sys
from fewshot_sep import cli
def run(function, *arguments):
    plug = type("Plug", (), {"load": lambda self: function})()
    cli.installed_commands = lambda: {"work": plug}
    cli.main(["work", *arguments])
"""


def python(code: str, **options: Any) -> subprocess.Popen[str]:
    """Another interpreter, running `code` after the command's import; in it `run` makes a function the subcommand."""
    return subprocess.Popen(
        [sys.executable, "-c", IMPORTED + textwrap.dedent(code)],
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
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


class OutOfMemoryError(RuntimeError):
    """As torch calls that of CUDA."""


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        (ZeroDivisionError(), "error: ZeroDivisionError (with --debug the traceback is shown)\n"),
        (KeyError("a\nb"), "error: KeyError: 'a\\nb' (with --debug the traceback is shown)\n"),
        (RecursionError("too deep"), "error: RecursionError: too deep (with --debug the traceback is shown)\n"),
        (OutOfMemoryError("x"), "error: out of memory; try --device cpu (with --debug the traceback is shown)\n"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory"),
            "error: out of memory (with --debug the traceback is shown)\n",
        ),
        (
            RuntimeError("CUDA error: none"),
            "error: RuntimeError: CUDA error: none; try --device cpu (with --debug the traceback is shown)\n",
        ),
    ],
    ids=repr,
)
def test_what_no_one_expected_is_one_line_and_a_traceback_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], raised: Exception, says: str
) -> None:
    def fail() -> None:
        raise raised

    assert run(monkeypatch, ["fail"], fail=fail) == 1
    assert capsys.readouterr().err == says
    monkeypatch.setattr(cli, "installed_commands", lambda: {"fail": Plug(fail)})
    with pytest.raises(type(raised)):
        cli.main(["fail", "--debug"])


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_handlers_are_given_back() -> None:
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    for arguments in ([], ["nonsense"], ["--version"]):
        with pytest.raises(SystemExit):
            cli.main(arguments)
    assert [signal.getsignal(number) for number in numbers] == before


PRINTS = """
    def work():
        cli.say("out \\udce9 夜")
        cli.say("err \\udce9 夜", err=True)
        open("done", "w").write(str(sys.stderr.fileno() if hasattr(sys.stderr, "fileno") else 2))
    run(work)
"""


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8", "latin-1:strict"])
def test_any_console_can_show_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    process = python(PRINTS, cwd=tmp_path, encoding="latin-1")
    output, trouble = process.communicate()
    assert process.returncode == 0 and (tmp_path / "done").exists(), trouble
    assert output.startswith("out ") and trouble.startswith("err ")


@pytest.mark.skipif(os.name != "posix", reason="file descriptors as on POSIX")
@pytest.mark.parametrize("closed", [[0], [1], [2], [1, 2], [0, 1, 2]], ids=str)
def test_closed_streams_stop_nothing(tmp_path: Path, closed: list[int]) -> None:
    process = python(PRINTS, cwd=tmp_path, preexec_fn=lambda: [os.close(number) for number in closed])
    process.communicate()
    assert process.returncode == 0 and (tmp_path / "done").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_a_stream_stops_nothing(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        python(PRINTS, cwd=tmp_path, stdout=full, stderr=full).wait()
    assert (tmp_path / "done").exists()


WRITES = """
    import signal, time
    from fewshot_sep import files
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored
    def work():
        try:
            with files.replacing("a.txt"):
                time.sleep(60)
        finally:
            time.sleep(0.5)
    run(work)
"""


def writing(folder: Path) -> subprocess.Popen[str]:
    """A process that is just writing a file, which is its own by now."""
    before = set(folder.iterdir())
    process = python(WRITES, cwd=folder)
    for _ in range(3000):
        if any(map(files.owned, set(folder.iterdir()) - before)) or process.poll() is not None:
            break
        time.sleep(0.02)
    return process


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        *((["SIGHUP"], 129), (["SIGTERM"], 143), (["SIGINT"], 130)),
        *((["SIGTERM", "SIGTERM"], 143), (["SIGINT", "SIGINT"], 130)),
    ],
    ids=str,
)
def test_no_signal_and_no_second_one_leaves_anything(tmp_path: Path, numbers: list[str], code: int) -> None:
    process = writing(tmp_path)
    for number in numbers:
        process.send_signal(getattr(signal, number))
        time.sleep(0.1)
    _, trouble = process.communicate(timeout=60)
    assert process.returncode == code and "Traceback" not in trouble
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_what_a_killed_process_left_is_swept_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    dead, alive = writing(tmp_path), None
    dead.kill()
    dead.communicate()
    (left,) = tmp_path.glob(".*.part")
    files._swept.discard(tmp_path)
    with files.replacing(tmp_path / "b.txt") as own:
        assert not left.exists() and own.exists()
        alive = writing(tmp_path)
        files.sweep(tmp_path)
        assert own.exists() and len(list(tmp_path.glob(".*.part"))) == 2
    alive.kill()
    alive.communicate()
    files.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["b.txt"]


def test_threads_are_set_before_torch_is_there_and_wait_asleep() -> None:
    code = """
        import os
        def work():
            assert "torch" not in sys.modules
            import torch
            print(torch.get_num_threads(), os.environ["OMP_WAIT_POLICY"])
        run(work, "--threads", "1")
    """
    assert python(code).communicate()[0] == "1 PASSIVE\n"


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


@pytest.mark.skipif(os.name != "posix", reason="pipes as on POSIX")
def test_a_reader_that_leaves_early_is_no_error() -> None:
    process = python("import typer\nrun(lambda: [typer.echo('word ' * 1000) for _ in range(1000)])")
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait()
