from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer import Typer
from typer.testing import CliRunner

from fewshot_sep.errors import FewshotSepError
from fewshot_sep.experiments.bachata import figures, measure, page, text
from fewshot_sep.experiments.bachata.clip_tests import MIXTURE_PHASE
from fewshot_sep.experiments.bachata.examples import draw
from fewshot_sep.experiments.bachata.models import ThesisSystem
from fewshot_sep.experiments.bachata.run import FULL, INSTRUMENTS, SECTIONS, VARIANTS, Settings, Variant, bachata
from fewshot_sep.experiments.bachata.song_tests import WAYS
from fewshot_sep.experiments.kit import resume
from fewshot_sep.loops.tasks.mixing import AudioPool


@pytest.fixture
def metrics() -> dict[str, Any]:
    """What metrics.json holds, with numbers that tell where they come from."""
    each = {name: float(place) for place, name in enumerate(INSTRUMENTS)}
    full = {name: dict.fromkeys(("si_sdr", "si_sdri", "sdr", "sir", "sar"), value) for name, value in each.items()}
    songs = [
        {
            "song": "song 1",
            "intro": intro,
            "way": way,
            "si_sdri": dict.fromkeys(INSTRUMENTS, 10.0 * place - (intro > 0) * place),
            "on_downbeats": 1.0 if intro == 0 else 0.25,
            "louder_start": each,
        }
        for intro in range(4)
        for place, way in enumerate(WAYS)
    ]
    phases = {MIXTURE_PHASE: 1.5, "MISI": 2.5, "the true phase": 99.0}
    return {
        "settings": Settings()._asdict(),
        "material": "soundfonts x.sf2",
        "clips": {"train": 1000, "valid": 100},
        "voices_never_heard": ["bass", "guira", "guitar"],
        "collections_heard_by_the_shipped_model": ["x"],
        "trainings": {name: {"parameters": 480_000, "epochs": 50, "iterations": 3, "seconds": 60} for name in VARIANTS},
        "loss": {name: [0.04, 0.03, 0.02, 0.01] for name in VARIANTS},
        "test": {"the mixture itself": full, "ideal ratio mask": full},
        "variants": {name: each for name, variant in VARIANTS.items() if not variant.short},
        "sections": {
            name: {section: 1.0 + (name.endswith(section)) for section in SECTIONS}
            for name in ("any-instrument", *(f"only-{section}" for section in SECTIONS))
        },
        "phases": {"true magnitudes": phases, "predicted magnitudes": phases},
        "queries": {"spread": each, "range": each, "voice": 0.3, "section": -0.2, "right": 4.0, "wrong": -1.0},
        "whole_songs": {
            "songs": songs,
            "shifts": {"0": 3.0, "1": 2.0, "2": 1.0, "3": 0.5},
            "starts": {way: float(place) for place, way in enumerate(WAYS)},
            "stretched": each,
        },
        "band": {name: {"ceiling": 1.0, "shipped": 2.0} for name in INSTRUMENTS},
    }


def test_an_intro_costs_what_the_songs_with_one_lack(metrics: dict[str, Any]) -> None:
    assert text.intro_cost(metrics) == pytest.approx({way: float(place) for place, way in enumerate(WAYS)})


def test_the_report_answers_every_item(metrics: dict[str, Any]) -> None:
    written = text.report(metrics)
    assert "**reduced**" in written and "14 minutes" in written and "but the bongo" in written
    for item in (
        "a GAN",
        "residual blocks",
        "better phase",
        "44 kHz",
        "choice of the target audio",
        "louder starting beat",
        "section-specific models",
        "intro-issue",
        "unseen instruments",
    ):
        assert f"| {item} |" in written
    for picture in ("figure6", "figure8", "figure9", "figure10", "test", "intros"):
        assert f"({picture}.png)" in written
    for line in written.splitlines():
        assert "nan" not in line.lower().split()
    assert "`python -m fewshot_sep.experiments.bachata.run`" in written
    assert "SI-SDRi 2.0 in the section a model was trained on, 1.0 in the others" in written


def test_the_report_names_its_command(metrics: dict[str, Any]) -> None:
    for settings, options in (
        (FULL, "--full"),
        (FULL._replace(seed=3), "--full --seed 3"),
        (Settings(width=4, short_iterations=9), "--width 4 --short-iterations 9"),
    ):
        written = text.report({**metrics, "settings": settings._asdict()})
        assert f"`python -m fewshot_sep.experiments.bachata.run {options}`" in written
        assert ("This is the full run" in written) == (settings.width == 64)


def test_figures_are_drawn(metrics: dict[str, Any], pool: AudioPool, tmp_path: Path) -> None:
    figures.clipping(metrics["loss"], 6, tmp_path / "8.png")
    figures.instruments(metrics["loss"], 3, tmp_path / "10.png")
    figures.by_instrument(metrics["test"], tmp_path / "test.png")
    figures.intros(metrics["whole_songs"]["songs"], tmp_path / "intros.png")
    figures.spectrograms(ThesisSystem(Variant(), 1).eval(), draw(pool, 1, 18000)[0], tmp_path / "6.png")
    assert all(path.stat().st_size > 3000 for path in tmp_path.glob("*.png")) and len(list(tmp_path.iterdir())) == 5


def test_the_page_holds_its_sound(pool: AudioPool, tmp_path: Path) -> None:
    examples = draw(pool, 2, 18000)
    songs = {"song <1>": (examples[0].mixture, dict(zip(INSTRUMENTS, 3 * examples[0].stems, strict=True)))}
    page.write(tmp_path / "page.html", examples, [example.stems for example in examples], songs, 11025, "a & b")
    written = (tmp_path / "page.html").read_text()
    sounds = re.findall(r'src="data:audio/ogg;base64,([^"]+)"', written)
    assert len(sounds) == 2 * (1 + 8) + 5
    assert "song &lt;1&gt;" in written and "a &amp; b" in written
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(sounds[0])))
    assert (rate, len(sound)) == (11025, 18000)
    mixture = examples[0].mixture
    assert np.corrcoef(sound, mixture)[0, 1] > 0.9


def test_a_measured_part_is_read_back(tmp_path: Path) -> None:
    said: list[str] = []
    for value in (1.0, 2.0):
        part = measure._part(tmp_path / "m" / "x.json", "a_b", lambda value=value: {"x": value}, said.append)
        assert part == {"x": 1.0}
    assert said == ["measuring a b"]


def test_another_run_is_not_gone_on_with(tmp_path: Path) -> None:
    resume.same_as_before(tmp_path, {"width": 3})
    app = Typer()
    app.command()(bachata)
    result = CliRunner().invoke(app, ["-o", str(tmp_path)])
    assert isinstance(result.exception, FewshotSepError) and "another width" in str(result.exception)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, typer; from fewshot_sep.experiments.bachata.run import bachata; app = typer.Typer(); app.command()(bachata)\n"
        "try: app(['--help'])\n"
        "except SystemExit as done: assert not done.code\n"
        "assert not {'torch', 'librosa', 'scipy', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--full" in done.stdout
