from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer import Typer
from typer.testing import CliRunner, Result

from fewshot_sep.experiments.kit import curves
from fewshot_sep.experiments.mnist import classifier, digits, evaluate, models, snapshots
from fewshot_sep.experiments.mnist.digits import Digits
from fewshot_sep.experiments.mnist.run import mnist
from fewshot_sep.experiments.mnist.settings import Model
from fewshot_sep.experiments.mnist.tasks import Drawer

either_model = pytest.mark.parametrize("model", ["concat", "film"])


def command(*arguments: str) -> Result:
    app = Typer()
    app.command()(mnist)
    return CliRunner().invoke(app, [*arguments, "--width", "2", "--batch", "4", "--tasks", "64", "--device", "cpu"])


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few digits and a quickly trained classifier, so that the whole command takes seconds."""
    parts = {"train": digits.load("train"), "test": digits.load("test")}
    few = {name: Digits(part.images[:1200], part.labels[:1200]) for name, part in parts.items()}
    monkeypatch.setattr(digits, "load", lambda part, folder=None: few[part])
    monkeypatch.setattr(classifier, "EPOCHS", 1)


@either_model
def test_output_is_an_image(model: Model) -> None:
    with torch.inference_mode():
        output = models.build(model, 2).eval()(torch.rand(3, 1, 32, 32), torch.rand(3, 2, 32, 32))
    assert output.shape == (3, 1, 32, 32)
    assert float(output.min()) >= 0 and float(output.max()) <= 1


def test_the_thesis_network_has_its_latent_image() -> None:
    network = models.ConcatSystem(64).network
    assert network.encode(torch.rand(2, 2, 32, 32))[-1].shape == (2, 1024, 2, 2)


@either_model
def test_a_few_tasks_are_learnt(model: Model) -> None:
    torch.manual_seed(0)
    tasks = Drawer(digits.load("train"), 8).draw(0)
    system, objective = models.build(model, 4), models.DigitObjective()
    optimizer = torch.optim.Adam(system.parameters(), 1e-2)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = objective(system, tasks.mixture, tasks.evidence, tasks.target)
        loss.total.backward()
        optimizer.step()
        losses.append(loss.total.item())
        assert loss.parts["psnr_db"].item() == pytest.approx(-10 * torch.log10(loss.total).item())
    assert losses[-1] < 0.5 * losses[0]


def test_figures_of_a_perfect_and_of_an_idle_separator() -> None:
    clean = digits.load("test")
    labels = {
        image.numpy().tobytes(): int(label) for image, label in zip(Drawer(clean).images, clean.labels, strict=True)
    }

    class Reader(classifier.DigitClassifier):
        """Knows every image of the test set by heart, and no other."""

        def read(self, images: torch.Tensor) -> torch.Tensor:
            return torch.tensor([labels.get(image.numpy().tobytes(), -1) for image in images])

    class Perfect(models.DigitSystem):
        def __init__(self) -> None:
            super().__init__()
            drawers = [Drawer(clean, 64, seed=evaluate.TEST_SEED, wrong=wrong) for wrong in (False, True)]
            self.answers = [drawer.draw(0).target for drawer in drawers]

        def forward(self, mixture: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
            return self.answers.pop(0)

    class Idle(models.DigitSystem):
        def forward(self, mixture: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
            return mixture

    perfect = evaluate.measure(Perfect(), Reader(), clean, 64)
    assert perfect["agreement"] == perfect["target_agreement"] == perfect["wrong_query"] == 1
    assert perfect["psnr_db"] == pytest.approx(100)
    idle = evaluate.measure(Idle(), Reader(), clean, 64)
    assert idle["agreement"] == idle["mixture_agreement"] == 0
    assert idle["psnr_db"] == idle["mixture_psnr_db"] < 20


@pytest.mark.slow
def test_the_command_trains_measures_and_resumes(small: None, tmp_path: Path) -> None:
    run = tmp_path / "film-unseen"
    result = command("-o", str(tmp_path), "--steps", "20", "--variant", "film-unseen")
    assert result.exit_code == 0, result.output
    written = (tmp_path / "report.md").read_text()
    for name in ("task.png", "gallery.png", "loss.png", "by_count.png", "evolution-film-unseen.png"):
        assert f"({name})" in written and (tmp_path / name).read_bytes()[:4] == b"\x89PNG"
    entry = json.loads((tmp_path / "metrics.json").read_text())["variants"]["film-unseen"]
    assert entry["unseen_classes"] == [3, 8] and set(entry["by_count"]) == {str(n) for n in range(2, 9)}
    psnr_db, *shares = entry["seen"]["psnr_db"], entry["seen"]["agreement"], entry["unseen"]["agreement"]
    assert f"| {psnr_db:.1f} | {100 * shares[0]:.1f} % | {100 * shares[1]:.1f} % |" in written
    steps, outputs = snapshots.read(run)
    assert steps == list(range(0, 21, 2)) and len(outputs) == 11
    more = command("-o", str(tmp_path), "--steps", "30", "--variant", "film-unseen")
    assert more.exit_code == 0, more.output
    assert snapshots.read(run)[0] == [*range(0, 19, 2), 20, 21, 24, 27, 30]
    assert len(curves.losses(sorted(run.glob("log/*/metrics.csv")), 100)) == 1
    other = command("-o", str(tmp_path), "--steps", "30", "--variant", "film-unseen", "--seed", "1")
    assert other.exit_code != 0 and "another seed" in str(other.exception)


def test_an_unknown_variant_is_refused(tmp_path: Path) -> None:
    result = command("-o", str(tmp_path / "out"), "--variant", "transformer")
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()
