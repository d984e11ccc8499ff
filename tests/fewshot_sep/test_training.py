"""Training: that it learns, resumes as if nothing had happened, and says what it does."""

from __future__ import annotations

import csv
import itertools
import math
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from torch import Tensor

from fewshot_sep import objectives, plots, presets, systems, training
from fewshot_sep.errors import FewshotSepError
from fewshot_sep.evidence import ABSENT, ALONE, AMONG, Evidence
from fewshot_sep.objectives import Loss, Objective
from fewshot_sep.training import STREAM_STRIDE, TrainingOptions, rate_factor, targets_as_queries, train
from tests.fewshot_sep.test_weights import Bomb

State = dict[str, Tensor]
USUAL: dict[str, Any] = {"warm_up": 1, "cool_down": 0.0, "check_every": 3, "device": "cpu"}


class Example(NamedTuple):
    mixture: Tensor
    evidence: Evidence
    target: Tensor


def example(preset: str, number: int) -> Example:
    """A tone in noise; the same number gives the same batch."""
    settings, random = presets.get(preset), torch.Generator().manual_seed(number)
    time = torch.arange(settings.segment) / settings.sample_rate
    tone = 0.3 * torch.sin(2 * math.pi * 440 * time)
    level = 0.5 + torch.rand(2, 1, 1, generator=random)
    noise = 0.1 * torch.randn(2, settings.channels, settings.segment, generator=random)
    target = level * tone.expand(2, settings.channels, -1)
    return Example(target + noise, Evidence.of_alone(tone.expand(2, 1, -1).contiguous()), target)


class Session(Objective[systems.AnySystem]):
    """A training by a preset's own objective, which records every step."""

    def __init__(
        self, run: Path, preset: str = "tiny", fixed: bool = False, die_at: int | None = None, **options: Any
    ) -> None:
        super().__init__()
        torch.manual_seed(1)
        system = systems.build(preset)
        self.trained = [system]  # in a list, so that it is no submodule
        self.objective = objectives.for_system(system)
        self.losses: list[float] = []
        self.firsts: list[int] = []  # numbers of the first batches asked for
        self.before: list[State] = []  # weights before each step
        self.queries: list[Tensor] = []
        self.die_at = die_at

        def batches(first: int) -> Iterator[Example]:
            self.firsts.append(first)
            return (example(preset, 0 if fixed else number) for number in itertools.count(first))

        train(system, self, batches, [example(preset, 1000)], TrainingOptions(**{**USUAL, **options}), run)

    def forward(self, system: systems.AnySystem, mixture: Tensor, evidence: Evidence, target: Tensor) -> Loss:
        if system.training:
            if len(self.losses) == self.die_at:
                raise RuntimeError("the power failed")
            self.before.append(self.state)
            self.queries.append(evidence.alone)
        loss: Loss = self.objective(system, mixture, evidence, target)
        if system.training:
            self.losses.append(float(loss.total.detach()))
        return loss

    @property
    def state(self) -> State:
        return {name: value.clone() for name, value in self.trained[0].state_dict().items()}


@pytest.fixture(autouse=True)
def no_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than these runs."""
    monkeypatch.setattr(plots, "loss_curve", lambda logs, picture: None)


def difference(one: State, other: State) -> float:
    return max((one[name].double() - other[name].double()).abs().max().item() for name in one)


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.parametrize(("preset", "rate"), [("tiny", 1e-2), ("tiny-image", 2e-2)])
def test_one_batch_is_learnt(preset: str, rate: float, tmp_path: Path) -> None:
    losses = Session(tmp_path, preset, fixed=True, steps=20, check_every=20, learning_rate=rate).losses
    assert len(losses) == 20
    assert sum(losses[-3:]) / 3 < 0.8 * losses[0]


def test_run_leaves_checkpoint_log_and_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    Session(tmp_path, steps=6)
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()
    assert len(list((tmp_path / "log" / "version_0").glob("events.out.tfevents.*"))) == 1
    rows = table(tmp_path / "log" / "version_0" / "metrics.csv")
    assert [row["step"] for row in rows if row["valid/loss"]] == ["2", "5"]
    assert {"valid/cross_entropy", "valid/snr_db", "valid/si_sdri_db"} <= rows[0].keys()
    assert imread(tmp_path / "curve.png").std() > 0.01


@pytest.mark.parametrize(("preset", "optimizer"), [("tiny", "adamw"), ("tiny", "muon"), ("tiny-image", "adamw")])
def test_a_resumed_run_equals_an_uninterrupted_one(preset: str, optimizer: str, tmp_path: Path) -> None:
    options = {"steps": 6, "ema_decay": 0.5, "optimizer": optimizer}
    whole = Session(tmp_path / "whole", preset, **options)
    with pytest.raises(RuntimeError, match="the power failed"):
        Session(tmp_path / "parts", preset, die_at=4, **options)
    rest = Session(tmp_path / "parts", preset, **options)
    assert rest.firsts == [3]
    assert rest.losses == pytest.approx(whole.losses[3:], rel=1e-6)
    assert difference(rest.state, whole.state) < 1e-7


def test_a_run_that_was_moved_resumes_from_its_newest_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        Session(tmp_path / "old", steps=12, die_at=4)
    (tmp_path / "old").rename(tmp_path / "new")
    with pytest.raises(RuntimeError):
        Session(tmp_path / "new", steps=12, die_at=5)
    assert [path.name for path in (tmp_path / "new" / "checkpoints").iterdir()] == ["last.ckpt"]
    assert Session(tmp_path / "new", steps=12).firsts == [6]


def test_a_finished_run_resumes_with_more_steps(tmp_path: Path) -> None:
    """From its last weights, not from their average."""
    whole = Session(tmp_path / "whole", steps=6, ema_decay=0.5)
    Session(tmp_path / "parts", steps=3, ema_decay=0.5)
    rest = Session(tmp_path / "parts", steps=6, ema_decay=0.5)
    assert rest.firsts == [3]
    assert len(rest.losses) == 3
    assert difference(rest.before[0], whole.before[3]) == 0
    logs = [table(log) for log in sorted(tmp_path.glob("parts/log/*/metrics.csv"))]
    assert len(logs) == 2
    assert int(logs[0][-1]["step"]) < int(logs[1][0]["step"])


def test_targets_are_their_own_queries_at_first_and_not_again_when_resumed(tmp_path: Path) -> None:
    one, two, three = (example("tiny", number) for number in range(3))
    with pytest.raises(RuntimeError):
        Session(tmp_path, steps=4, check_every=1, target_first=2, die_at=2)
    assert torch.equal(Session(tmp_path, steps=3, check_every=1, target_first=2).queries[0], three.evidence.alone)
    queries = Session(tmp_path / "whole", steps=3, check_every=1, target_first=2).queries
    assert torch.equal(queries[0], one.target.mean(1, keepdim=True))
    assert torch.equal(queries[1], two.target.mean(1, keepdim=True))
    assert torch.equal(queries[2], three.evidence.alone)


def test_clips_of_an_absent_target_and_of_other_roles_stay() -> None:
    batch = example("tiny", 0)
    target = batch.target * torch.tensor([0.0, 1.0])[:, None, None]
    task, role = torch.tensor([0, 1, 0, 1]), torch.tensor([ALONE, ALONE, AMONG, ABSENT])
    clips = torch.randn(4, 2, target.shape[-1])
    evidence = targets_as_queries(Example(batch.mixture, Evidence(clips, task, role), target))
    assert torch.equal(evidence.clips[1], target[1].mean(0).expand(2, -1))
    assert torch.equal(evidence.clips[[0, 2, 3]], clips[[0, 2, 3]])
    assert torch.equal(evidence.task, task) and torch.equal(evidence.role, role)


def test_a_run_of_another_optimizer_is_not_resumed(tmp_path: Path) -> None:
    Session(tmp_path, steps=1, check_every=1, optimizer="adamw")
    with pytest.raises(FewshotSepError, match="begun with the optimizer adamw, not muon"):
        Session(tmp_path, steps=2, optimizer="muon")


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    first = Session(tmp_path, steps=4, ema_decay=0.5)
    again = Session(tmp_path, steps=4, ema_decay=0.5)
    assert not again.losses
    assert difference(again.state, first.state) == 0


def test_the_result_is_the_exponential_moving_average(tmp_path: Path) -> None:
    raw = Session(tmp_path / "raw", steps=4, ema_decay=0.0)
    assert difference(raw.state, raw.before[-1]) > 1e-5
    averaged = Session(tmp_path / "averaged", steps=4, ema_decay=0.5)
    assert averaged.losses == pytest.approx(raw.losses)
    after = [*averaged.before[1:], raw.state]  # an average of nothing but the last weights is the last weights
    for name, value in averaged.state.items():
        if value.is_floating_point():
            expected = after[0][name]
            for updates, state in enumerate(after[1:], 1):
                decay = min(0.5, (1 + updates) / (10 + updates))
                expected = decay * expected + (1 - decay) * state[name]
            torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)


def test_validation_uses_the_average(tmp_path: Path) -> None:
    averaged = Session(tmp_path, steps=3, ema_decay=0.5)
    rows = table(tmp_path / "log" / "version_0" / "metrics.csv")
    with torch.no_grad():
        system = averaged.trained[0].eval()
        mixture, evidence, target = example("tiny", 1000)
        loss = objectives.for_system(system)(system, mixture, evidence, target).total
    assert float(rows[-1]["valid/loss"]) == pytest.approx(float(loss), rel=0.02)  # it ran in half precision there


class Slope(systems.Trainable):
    """Two numbers, whose gradient is that of a line through the batch's points."""

    def __init__(self) -> None:
        super().__init__()
        self.network = torch.nn.Linear(1, 1)
        torch.nn.init.zeros_(self.network.weight)
        torch.nn.init.zeros_(self.network.bias)


class SquaredError(Objective[Slope]):
    def forward(self, system: Slope, mixture: Tensor, evidence: Evidence, target: Tensor) -> Loss:
        return Loss((system.network(mixture) - target).square().mean(), {})


def points(number: int) -> Example:
    random = torch.Generator().manual_seed(number)
    x = torch.randn(4, 1, 1, generator=random)
    return Example(x, Evidence.of_alone(x), 3 * x + torch.randn(4, 1, 1, generator=random))


def all_points(first: int) -> Iterator[Example]:
    return map(points, itertools.count(first))


def both_points(first: int) -> Iterator[Example]:
    """What two processes draw, as one batch."""
    for one, other in zip(all_points(first), all_points(STREAM_STRIDE + first), strict=True):
        mixture, target = torch.cat([one.mixture, other.mixture]), torch.cat([one.target, other.target])
        yield Example(mixture, Evidence.of_alone(mixture), target)


def fit_slope(
    run: Path,
    batches: training.Stream = all_points,
    objective: Objective[Slope] | None = None,
    clock: Callable[[], float] = time.perf_counter,
    **options: Any,
) -> tuple[training.Spent, Slope]:
    system, checks = Slope(), [points(1000), points(1001)]
    settings = TrainingOptions(**{**USUAL, "ema_decay": 0.5, **options})
    return train(system, objective or SquaredError(), batches, checks, settings, run, clock=clock), system


def test_two_processes_take_the_step_of_both_their_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_precision", lambda device: "32-true")

    for steps in (5, 8):  # resumed once
        _, alone = fit_slope(tmp_path / "one", both_points, steps=steps)
        spent, shared = fit_slope(tmp_path / "two", steps=steps, devices=2)
        assert difference(alone.state_dict(), Slope().state_dict()) > 1e-3
        assert difference(alone.state_dict(), shared.state_dict()) < 1e-6
        assert spent.seconds > 0 and spent.steps == steps
    rows = (table(tmp_path / name / "log" / "version_0" / "metrics.csv") for name in ("one", "two"))
    one, two = (float(next(row["valid/loss"] for row in run if row["valid/loss"])) for run in rows)
    assert one == pytest.approx(two, rel=1e-4)


def test_no_process_waits_for_a_figure_that_another_has_not(tmp_path: Path) -> None:
    class Uneven(SquaredError):
        def forward(self, system: Slope, mixture: Tensor, evidence: Evidence, target: Tensor) -> Loss:
            loss, parts = super().forward(system, mixture, evidence, target)
            own = not torch.is_grad_enabled() and torch.distributed.get_rank() == 0
            return Loss(loss, parts | ({"si_sdri_db": loss.detach()} if own else {}))

    spent, _ = fit_slope(tmp_path, objective=Uneven(), steps=4, check_every=2, devices=2)
    rows = table(tmp_path / "log" / "version_0" / "metrics.csv")
    assert spent.steps == 4 and any(row["valid/si_sdri_db"] for row in rows)


def test_parameters_of_an_objective_are_trained_too(tmp_path: Path) -> None:
    class Scaled(SquaredError):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(1))

        def forward(self, system: Slope, mixture: Tensor, evidence: Evidence, target: Tensor) -> Loss:
            return super().forward(system, mixture, evidence, self.scale * target)

    objective = Scaled()
    fit_slope(tmp_path, objective=objective, steps=3)
    assert objective.scale.item() != 1


@pytest.mark.parametrize("processes", [1, 2])
def test_the_console_shows_steps_and_losses_and_nothing_of_lightning(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], processes: int
) -> None:
    fit_slope(tmp_path, steps=6, devices=processes)
    printed = capfd.readouterr()
    lines = printed.err.splitlines()
    assert printed.out == "" and len(lines) == 2
    for line, step in zip(lines, ("3/6", "6/6"), strict=True):
        assert re.fullmatch(rf"step {step}, loss [\d.]+, validation [\d.]+, \S+ examples/s, \d+:\d\d:\d\d left", line)


def test_without_tensorboard_the_log_is_a_table_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.importlib.util, "find_spec", lambda name: None)
    fit_slope(tmp_path, steps=3)
    assert [path.name for path in (tmp_path / "log" / "version_0").iterdir()] == ["metrics.csv"]


NODE = """
import sys
from pathlib import Path
import torch
from tests.fewshot_sep import test_training
from fewshot_sep import training
training._precision = lambda device: "32-true"
_, system = test_training.fit_slope(Path(sys.argv[1]), steps=4, nodes=2)
torch.save(system.state_dict(), Path(sys.argv[1]) / "end")
"""


@pytest.mark.slow
def test_two_machines_take_the_step_of_both_their_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_precision", lambda device: "32-true")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    script, root = tmp_path / "node.py", Path(__file__).parents[2]
    script.write_text(NODE)
    world = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "PYTHONPATH": str(root)}
    command = [sys.executable, script, tmp_path / "two"]
    nodes = [subprocess.Popen(command, env=world | {"NODE_RANK": rank}, cwd=root) for rank in "01"]
    assert [node.wait(240) for node in nodes] == [0, 0]
    _, alone = fit_slope(tmp_path / "one", both_points, steps=4)
    assert difference(alone.state_dict(), torch.load(tmp_path / "two" / "end")) < 1e-6


@given(steps=st.integers(1, 1000), warm_up=st.integers(0, 1000), cool_down=st.floats(0, 1))
def test_every_step_moves_at_most_at_full_rate(steps: int, warm_up: int, cool_down: float) -> None:
    options = TrainingOptions(steps=steps, warm_up=warm_up, cool_down=cool_down)
    some = range(0, steps, max(1, steps // 100))
    assert all(0 < rate_factor(step, step / steps, options) <= 1 for step in [*some, steps - 1])
    assert rate_factor(steps, 1.0, options) == rate_factor(steps + 20, 1 + 20 / steps, options) == 0


@given(steps=st.integers(1, 2000), cool_down=st.floats(0.01, 1))
def test_the_rate_over_time_is_that_over_steps(steps: int, cool_down: float) -> None:
    """Of a card that takes these steps in the minutes; warm-up counts whole steps, which makes the one difference."""
    by_steps = TrainingOptions(steps, warm_up=max(1, min(500, steps // 10)), cool_down=cool_down)
    by_clock = TrainingOptions(minutes=7, warm_up=500, cool_down=cool_down)
    for step in range(by_steps.warm_up + 10, steps, max(1, steps // 40)):
        progress = by_clock.progress(step, 7 * 60 * step / steps)
        expected = rate_factor(step, step / steps, by_steps)
        if step < (1 - cool_down) * steps or cool_down * steps >= 1:
            assert math.isclose(rate_factor(step, progress, by_clock), expected, rel_tol=1e-6, abs_tol=1e-9)


class Clock:
    """A second passes at each step."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def passes(self) -> Objective[Slope]:
        clock = self

        class Timed(SquaredError):
            def forward(self, system: Slope, mixture: Tensor, evidence: Evidence, target: Tensor) -> Loss:
                clock.now += torch.is_grad_enabled()  # not in validation
                return super().forward(system, mixture, evidence, target)

        return Timed()


def rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rate of each step from now on."""
    seen: list[float] = []
    step = torch.optim.AdamW.step

    def watched(self: torch.optim.AdamW, closure: Any = None) -> Any:
        seen.append(self.param_groups[0]["lr"])
        return step(self, closure)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    return seen


def test_a_run_of_minutes_ends_cooled_down_and_rises_again_with_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, clock = rates(monkeypatch), Clock()
    options: dict[str, Any] = {"learning_rate": 1.0, "warm_up": 500, "cool_down": 0.5}
    spent, _ = fit_slope(tmp_path, objective=clock.passes(), clock=clock, minutes=20 / 60, **options)
    assert spent == (20, 20.0)
    assert seen == pytest.approx([1 / 500, 0.5, *[1.0] * 9, *[0.1 * left for left in range(9, 0, -1)]])
    again, _ = fit_slope(tmp_path, objective=clock.passes(), clock=clock, minutes=20 / 60, **options)
    assert again == spent and len(seen) == 20
    clock.now += 100  # between sessions
    more, _ = fit_slope(tmp_path, objective=clock.passes(), clock=clock, minutes=40 / 60, **options)
    assert more == (40, 40.0)
    assert seen[20:] == pytest.approx([0.05 * left for left in range(20, 0, -1)])


def test_processes_stop_together_by_the_first_ones_clock(tmp_path: Path) -> None:
    clock = Clock()
    spent, _ = fit_slope(tmp_path, objective=clock.passes(), clock=clock, minutes=5 / 60, devices=2)
    assert spent == (5, 5.0)


def test_what_ends_the_first_process_ends_all(tmp_path: Path) -> None:
    class Ending(SquaredError):
        def forward(self, system: Slope, mixture: Tensor, evidence: Evidence, target: Tensor) -> Loss:
            if torch.distributed.get_rank() == 0:
                os.kill(os.getppid(), signal.SIGTERM)
            time.sleep(600)
            raise AssertionError("still at work")

    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with pytest.raises(SystemExit, match="143"):
            fit_slope(tmp_path, objective=Ending(), steps=2, devices=2)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not multiprocessing.active_children()


def test_a_run_is_of_steps_or_of_minutes(tmp_path: Path) -> None:
    lengths: list[dict[str, Any]] = [{}, {"steps": 3, "minutes": 1.0}]
    for options in lengths:
        with pytest.raises(FewshotSepError, match="either a number of steps or of minutes"):
            fit_slope(tmp_path, **options)


def test_a_run_ends_with_a_validation_however_short_it_is(tmp_path: Path) -> None:
    fit_slope(tmp_path, steps=2, check_every=500)
    (row,) = [row for row in table(tmp_path / "log" / "version_0" / "metrics.csv") if row["valid/loss"]]
    assert row["step"] == "1"


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    fit_slope(tmp_path / "run", steps=2)
    last, crater = tmp_path / "run" / "checkpoints" / "last.ckpt", tmp_path / "crater"
    torch.save({**torch.load(last), "extra": Bomb(crater)}, last)
    with pytest.raises(FewshotSepError, match=re.escape(f"{last}: no checkpoint that can be trusted")):
        fit_slope(tmp_path / "run", steps=4)
    assert not crater.exists()
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(FewshotSepError, match=re.escape(str(last))):
        fit_slope(tmp_path / "run", steps=4)


def test_the_share_of_a_cards_peak_is_logged_where_the_peak_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "peak_flops", lambda device: 1e6)
    fit_slope(tmp_path, steps=50, check_every=50)
    shares = [row["speed/share_of_bf16_peak"] for row in table(tmp_path / "log" / "version_0" / "metrics.csv")]
    assert float(next(filter(None, shares))) > 0


@pytest.mark.parametrize(
    ("name", "peak"), [("NVIDIA H100 80GB HBM3", 989e12), ("NVIDIA H100 PCIe", 756e12), ("NVIDIA T4", None)]
)
def test_peaks_by_name(monkeypatch: pytest.MonkeyPatch, name: str, peak: float | None) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert training.peak_flops(torch.device("cuda")) == peak
    assert training.peak_flops(torch.device("cpu")) is None


def test_rate_is_applied(tmp_path: Path) -> None:
    """In its first step Adam moves each weight by the rate, whatever the gradient; decay apart."""
    run = Session(tmp_path, steps=2, learning_rate=1e-3, warm_up=10, weight_decay=0.0)
    moved = [(run.before[1][name] - run.before[0][name]).abs().max() for name, _ in run.trained[0].named_parameters()]
    assert float(max(moved)) == pytest.approx(1e-4, rel=0.01)
