from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer import Typer
from typer.testing import CliRunner, Result

from fewshot_sep.experiments.kit import curves, stats, tables, variants
from fewshot_sep.experiments.mnist import classifier, digits, evaluate, models, report, snapshots, trainer
from fewshot_sep.experiments.mnist.digits import Digits
from fewshot_sep.experiments.mnist.run import mnist
from fewshot_sep.experiments.mnist.settings import MODELS, Model
from fewshot_sep.experiments.mnist.tasks import Drawer

every_model = pytest.mark.parametrize("model", MODELS)


def command(*arguments: str) -> Result:
    app = Typer()
    app.command()(mnist)
    return CliRunner().invoke(
        app, [*arguments, "--width", "4", "--batch", "4", "--tasks", "64", "--classes", "30", "--device", "cpu"]
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few digits, so that the whole command takes seconds."""
    parts = {"train": digits.load("train"), "test": digits.load("test")}
    few = {name: Digits(part.images[:1200], part.labels[:1200]) for name, part in parts.items()}
    monkeypatch.setattr(digits, "load", lambda part, folder=None: few[part])
    monkeypatch.setattr(trainer, "SNAPSHOTS", 2)


@every_model
def test_output_is_an_image(model: Model) -> None:
    with torch.inference_mode():
        output = models.build(model, 4).eval()(*torch.rand(3, 5, 1, 32, 32))
    assert output.shape == (5, 1, 32, 32)
    assert float(output.min()) >= 0 and float(output.max()) <= 1


def test_the_thesis_network_has_its_latent_image() -> None:
    network = models.ConcatSystem(64).network
    assert network.encode(torch.rand(2, 3, 32, 32))[-1].shape == (2, 1024, 2, 2)


@pytest.mark.parametrize(
    ("model", "steps"),
    [("attention", 50), *(pytest.param(model, 120, marks=pytest.mark.slow) for model in ("concat", "film"))],
)
def test_a_few_tasks_are_learnt_by_heart(model: Model, steps: int) -> None:
    """What is there is read, found and told from what is absent; copies of the queries are nearest to half at most."""
    torch.manual_seed(1)
    tasks = Drawer(digits.load("train"), 9, absent=1 / 3, refused=0.5, seed=1).draw(0)
    there = tasks.target.flatten(1).any(1)
    system, objective = models.build(model, 8), models.DigitObjective()
    optimizer = torch.optim.Adam(system.parameters(), 4e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        objective(system, *trainer.lesson(tasks)).total.backward()
        optimizer.step()
    with torch.no_grad():
        output, logits = system.eval().answer(*tasks.told)
    copy = torch.minimum(tasks.queries, tasks.mixture)
    found, copied = ((evaluate.nearest(image, tasks.parts) == 0)[there] for image in (output, copy))
    read = (classifier.bundled().read(output) == tasks.labels[:, 0])[there]
    better = evaluate.psnr(output, tasks.target)[there] - evaluate.psnr(copy, tasks.target)[there]
    assert found.sum() >= 5 > 3 >= copied.sum()
    assert read.sum() >= 5 and better.median() > 3
    assert logits[there].min() > logits[~there].max()


def test_likeness_is_low_for_the_target_and_high_for_another_part_and_teaches_outputs_and_encoder_apart() -> None:
    torch.manual_seed(0)
    tasks = Drawer(digits.load("train"), 32).draw(0)
    encoder = models.glyph_encoder()

    def likenesses(output: torch.Tensor) -> torch.Tensor:
        return models.likenesses(encoder, output, tasks.queries, tasks.parts[:, :, 0], tasks.labels[:, 0])

    first, other = likenesses(tasks.parts[:, 0]), likenesses(tasks.parts[:, 1])
    assert first[0] < other[0] and first[1] == other[1]
    output = tasks.target.clone().requires_grad_()
    of_output, of_encoder = likenesses(output)
    of_output.backward(retain_graph=True)
    assert output.grad is not None and not any(p.grad.any() for p in encoder.parameters() if p.grad is not None)
    of_encoder.backward()
    assert all(p.grad is not None and p.grad.any() for p in encoder.parameters())


def test_presence_teaches_nothing_but_itself() -> None:
    torch.manual_seed(0)
    tasks = Drawer(digits.load("train"), 6).draw(0)
    system = models.build("attention", 4)
    system.answer(*tasks.told)[1].sum().backward()
    taught = {name.split(".")[0] for name, p in system.named_parameters() if p.grad is not None and p.grad.any()}
    assert taught == {"presence"}


def test_the_threshold_leaves_a_twentieth_of_what_is_there_empty() -> None:
    torch.manual_seed(0)
    system, drawer = models.build("concat", 4), Drawer(digits.load("train"), 64)
    trainer.calibrate(system, drawer, batches=5)
    assert 0.03 < evaluate.answers(system, drawer, 320).empty.float().mean() < 0.07


def test_the_reader_reads_clean_digits_and_takes_an_overlay_for_none_more_than_for_another() -> None:
    clean, reader = Drawer(digits.load("test")), classifier.bundled()
    assert (reader.read(clean.images).numpy() == clean.labels).mean() >= 0.99
    shares = reader.probabilities(Drawer(digits.load("test"), 500).draw(0).mixture).mean(0)
    assert shares.min() > 0.05 and shares.max() < 0.2


def test_an_image_is_bent_the_way_the_field_says() -> None:
    images = torch.rand(2, 1, 32, 32)
    assert torch.allclose(models.bend(images, torch.zeros(2, 2, 8, 8)), images, atol=1e-5)
    right = torch.zeros(2, 2, 8, 8)
    right[:, 0] = 2 / 32 * 3
    assert torch.allclose(models.bend(images, right)[..., :-3], images[..., 3:], atol=1e-5)


@every_model
def test_query_and_what_is_refused_both_tell(model: Model) -> None:
    torch.manual_seed(0)
    system = models.build(model, 8).eval()
    system.threshold.fill_(-torch.inf)
    tasks = Drawer(digits.load("train"), 4, refused=1.0).draw(0)
    with torch.no_grad():
        first = system(*tasks.told)
        for other in ((tasks.mixture, tasks.refused, tasks.refused), (tasks.mixture, tasks.queries, tasks.queries)):
            assert not first.equal(system(*other))


def test_figures_of_a_perfect_and_of_an_idle_separator() -> None:
    clean = digits.load("test")
    ordered = Drawer(clean)
    labels = {image.numpy().tobytes(): int(label) for image, label in zip(ordered.images, ordered.labels, strict=True)}

    class Reader(classifier.DigitClassifier):
        """Knows every image of the test set by heart, and no other."""

        def read(self, images: torch.Tensor) -> torch.Tensor:
            return torch.tensor([labels.get(image.numpy().tobytes(), -1) for image in images])

    class Perfect(models.DigitSystem):
        def __init__(self) -> None:
            super().__init__(torch.nn.Identity())
            asked: tuple[dict[str, Any], ...] = ({}, {"refused": 1.0}, {"wrong": True}, {"absent": 1.0})
            drawers = [Drawer(clean, 64, seed=evaluate.TEST_SEED, **how) for how in asked]
            self.answers = [drawer.draw(0).target for drawer in drawers]

        def answer(self, *told: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            target = self.answers.pop(0)
            return target, target.flatten(1).any(1).float() - 0.5

    class Idle(models.DigitSystem):
        def answer(self, *told: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return told[0], torch.ones(len(told[0]))

    perfect = evaluate.measure(Perfect(), Reader(), clean, 64)
    assert perfect["agreement"] == perfect["target_agreement"] == perfect["wrong_query"] == 1
    assert perfect["nearest"] == perfect["refused_agreement"] == perfect["empty"] == perfect["area"] == 1
    assert all(perfect[f"agreement_{label}"] == 1 for label in range(10))
    assert perfect["falsely_empty"] == 0 and perfect["psnr_db"] == pytest.approx(100)
    idle = evaluate.measure(Idle(torch.nn.Identity()), Reader(), clean, 64)
    assert idle["agreement"] == idle["mixture_agreement"] == idle["empty"] == 0
    assert idle["area"] == 0.5 and idle["nearest"] < 0.6
    assert idle["psnr_db"] == idle["mixture_psnr_db"] < 20


@pytest.mark.slow
def test_the_command_trains_measures_and_resumes(small: None, tmp_path: Path) -> None:
    run = tmp_path / "concat" / "0"
    result = command("-o", str(tmp_path), "--steps", "20", "--seeds", "2")
    assert result.exit_code == 0, result.output
    written = (tmp_path / "report.md").read_text()
    for name in (*report.PICTURES, "glyphs.png", "loss.png", "by_count.png", "evolution-concat.png"):
        assert f"({name})" in written and (tmp_path / name).read_bytes()[:4] == b"\x89PNG"
    entries = json.loads((tmp_path / "metrics.json").read_text())["variants"]["concat"]
    assert set(entries) == {"0", "1"} and entries["0"]["held_out"] == [3, 8]
    assert set(entries["0"]["by_count"]["unseen"]) == {str(n) for n in range(2, 9)}
    found = stats.of_seeds([100 * entry["unseen"]["agreement"] for entry in entries.values()])
    assert tables.interval(found) in written
    assert variants.load(run, models.build("concat", 4)).threshold != 0, "chosen before the weights are written"
    steps, outputs = snapshots.read(run)
    assert steps == [0, 10, 20] and len(outputs) == 3
    more = command("-o", str(tmp_path), "--steps", "30", "--variant", "concat")
    assert more.exit_code == 0, more.output
    assert snapshots.read(run)[0] == [0, 10, 20, 30]
    assert len(curves.losses(sorted(run.glob("log/*/metrics.csv")), 100)) == 1
    other = command("-o", str(tmp_path), "--steps", "30", "--variant", "concat", "--digits", "3")
    assert other.exit_code != 0 and "another digits" in str(other.exception)


@pytest.mark.slow
def test_variants_on_digits_alone_need_no_invented_classes(small: None, tmp_path: Path) -> None:
    assert command("-o", str(tmp_path), "--steps", "2", "--variant", "film-digits").exit_code == 0
    facts = json.loads((tmp_path / "film-digits" / "0" / "run.json").read_text())
    assert facts["invented"] is False and facts["model"] == "film"


def test_an_unknown_variant_is_refused(tmp_path: Path) -> None:
    result = command("-o", str(tmp_path / "out"), "--variant", "transformer")
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()
