from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from fewshot_sep.experiments.kit.adversarial import Discriminator
from typer import Typer
from typer.testing import CliRunner, Result

from fewshot_sep.experiments.kit import curves
from fewshot_sep.experiments.mnist import classifier, digits, evaluate, trainer
from fewshot_sep.experiments.mnist.digits import Digits
from fewshot_sep.experiments.mnist.models import MODELS, DigitSystem
from fewshot_sep.experiments.mnist.run import mnist
from fewshot_sep.experiments.mnist.tasks import Drawer


def command(*arguments: str) -> Result:
    app = Typer()
    app.command()(mnist)
    return CliRunner().invoke(app, [*arguments, "--width", "2", "--batch", "4", "--tasks", "64", "--device", "cpu"])


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few digits and a quick judge, so that the whole command takes seconds."""
    parts = {"train": digits.load("train"), "test": digits.load("test")}
    few = {name: Digits(part.images[:1200], part.labels[:1200]) for name, part in parts.items()}
    monkeypatch.setattr(digits, "load", lambda part, folder=None: few[part])
    monkeypatch.setattr(classifier, "EPOCHS", 1)


@pytest.mark.parametrize("model", MODELS)
def test_output_is_an_image(model: str) -> None:
    system = DigitSystem(model, width=2).eval()
    output = system(torch.rand(3, 1, 32, 32), torch.rand(3, 2, 32, 32))
    assert output.shape == (3, 1, 32, 32)
    assert float(output.min()) >= 0 and float(output.max()) <= 1


def test_the_thesis_network_has_its_latent_image() -> None:
    network = DigitSystem("concat", 64).network
    assert network.encode(torch.rand(2, 2, 32, 32))[-1].shape == (2, 1024, 2, 2)  # type: ignore[operator]


@pytest.mark.parametrize("model", MODELS)
def test_a_few_tasks_are_learnt(model: str) -> None:
    torch.manual_seed(0)
    tasks = Drawer(digits.load("train"), 8).draw(0)
    system = DigitSystem(model, width=4)
    optimizer = torch.optim.Adam(system.parameters(), 1e-2)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss, _ = system.loss(tasks.mixture, tasks.queries, tasks.target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_each_player_of_the_game_learns_from_its_own_loss() -> None:
    torch.manual_seed(0)
    system = DigitSystem("concat", width=2, adversarial=True)
    tasks = Drawer(digits.load("train"), 4).draw(0)
    loss, parts = system.loss(tasks.mixture, tasks.queries, tasks.target)
    assert {"deceit", "discrimination", "psnr_db"} == set(parts)
    assert isinstance(system.judge, Discriminator)
    own = torch.autograd.grad(parts["discrimination"], list(system.judge.parameters()), retain_graph=True)
    loss.backward()
    for gradient, parameter in zip(own, system.judge.parameters(), strict=True):
        assert parameter.grad is not None and parameter.grad.allclose(gradient, atol=1e-7)
    assert any(p.grad is not None and bool(p.grad.any()) for p in system.network.parameters())


def test_figures_of_a_perfect_and_of_an_idle_separator() -> None:
    clean = digits.load("test")

    class Reader(classifier.Judge):
        """Knows every image of the test set by heart; anything else is a zero."""

        def read(self, images: torch.Tensor) -> torch.Tensor:
            lookup = {image.numpy().tobytes(): int(label) for image, label in zip(whole, clean.labels, strict=True)}
            return torch.tensor([lookup.get(image.numpy().tobytes(), -1) for image in images])

    whole = Drawer(clean).images
    answers: list[torch.Tensor] = []

    class Perfect(DigitSystem):
        def forward(self, mixture: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
            return answers.pop(0)

    class Idle(DigitSystem):
        def forward(self, mixture: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
            return mixture

    right = Drawer(clean, 64, seed=evaluate.TEST_SEED)
    wrong = Drawer(clean, 64, seed=evaluate.TEST_SEED, wrong=True)
    answers += [right.draw(0).target, wrong.draw(0).target]
    perfect = evaluate.measure(Perfect("concat", 2), Reader(), clean, 64)
    assert perfect["agreement"] == perfect["target_agreement"] == 1
    assert perfect["psnr_db"] == pytest.approx(100)
    assert perfect["wrong_query"] == 1
    idle = evaluate.measure(Idle("concat", 2), Reader(), clean, 64)
    assert idle["agreement"] == idle["mixture_agreement"] == 0
    assert idle["psnr_db"] == idle["mixture_psnr_db"] < 20


def test_the_command_trains_measures_and_goes_on(small: None, tmp_path: Path) -> None:
    result = command("-o", str(tmp_path), "--steps", "20", "--variant", "film-unseen")
    assert result.exit_code == 0, result.output
    for name in ("report.md", "task.png", "gallery.png", "loss.png", "by_count.png", "evolution-film-unseen.png"):
        assert (tmp_path / name).stat().st_size > 500
    entry = json.loads((tmp_path / "metrics.json").read_text())["variants"]["film-unseen"]
    assert entry["unseen_classes"] == [3, 8]
    assert set(entry["by_count"]) == {str(n) for n in range(2, 9)}
    assert 0 <= entry["unseen"]["agreement"] <= 1
    steps, outputs = trainer.read_snapshots(tmp_path / "film-unseen")
    assert steps == list(range(0, 21, 2))
    assert len(outputs) == 11
    more = command("-o", str(tmp_path), "--steps", "30", "--variant", "film-unseen")
    assert more.exit_code == 0, more.output
    assert trainer.read_snapshots(tmp_path / "film-unseen")[0] == [*range(0, 19, 2), 20, 21, 24, 27, 30]
    assert len(curves.losses(sorted((tmp_path / "film-unseen").glob("log/*/metrics.csv")), 100)) == 1
    other = command("-o", str(tmp_path), "--steps", "30", "--variant", "film-unseen", "--seed", "1")
    assert other.exit_code != 0
    assert "another seed" in str(other.exception)


def test_an_unknown_variant_is_refused(tmp_path: Path) -> None:
    result = command("-o", str(tmp_path / "out"), "--variant", "transformer")
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()
