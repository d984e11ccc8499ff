"""The recipe against itself with one thing changed: `python -m fewshot_sep.experiments.flagship.ablation LIBRARY -o RUNS`.

Trains every variant for the same number of steps on the same library with the same seed, evaluates each on ITEMS, and
writes the table. What was done before is not done again; several calls can train different variants side by side.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from fewshot_sep import presets, weights
from fewshot_sep.experiments.flagship import ablation_report
from fewshot_sep.experiments.flagship.variants import FILE, VARIANTS
from fewshot_sep.experiments.kit.resume import same_as_before
from fewshot_sep.loops import library as libraries
from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks.mixing import AudioPool
from fewshot_sep.loops.tasks.train import computing_device, train_on
from fewshot_sep.training import TrainingOptions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path, help="a loop library, see fewshot-sep make-library")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the runs, one for each variant")
    parser.add_argument("--items", type=Path, help="folder with items.json to evaluate on; else it only trains")
    parser.add_argument("--variant", action="append", choices=VARIANTS, help="may be repeated; all if none")
    parser.add_argument("--preset", default="slim", help="of kind mask; slim: half the width of the shipped one")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    given = parser.parse_args()
    library = libraries.read(given.library)
    asked = {name: getattr(given, name) for name in ("preset", "steps", "batch", "seed", "device")}
    train(library, given.output, given.variant or list(VARIANTS), **asked)
    if given.items:
        print(ablation_report.write(library, given.items, given.output))


def train(
    library: Library,
    output: Path,
    names: list[str],
    *,
    preset: str,
    steps: int,
    batch: int,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Train variants, or go on; the weights of each lie in `output / name`, their card beside them.

    Raises:
        BadLibrary: too little to draw tasks from.
        FewshotSepError: there is a run with other settings.
    """
    for name in names:
        same_as_before(output / name, {"preset": preset, "steps": steps, "batch": batch, "seed": seed})
    todo = [name for name in names if not (output / name / FILE).is_file()]
    if not todo:
        return
    place = computing_device(device)
    pool, held_back = (
        AudioPool(library, split, presets.get(preset).sample_rate, place) for split in ("train", "valid")
    )
    warm_up, check = max(1, min(500, steps // 10)), max(1, steps // 4)
    options = TrainingOptions(steps, warm_up=warm_up, check_every=check, seed=seed, device=device)
    for name in todo:
        _train(name, preset, pool, held_back, batch, options, output / name)


def _train(
    name: str, preset: str, pool: AudioPool, held_back: AudioPool, batch: int, options: TrainingOptions, run: Path
) -> None:
    variant = VARIANTS[name]
    heard = pool.only(variant.keep) if variant.keep else pool
    torch.manual_seed(options.seed)
    system = variant.build(preset)
    options = options._replace(target_first=variant.target_first, optimizer=variant.optimizer)
    seconds = train_on(heard, held_back, system, variant.mixing, batch, options, run)
    facts = {
        "variant": name,
        "about": variant.about,
        "steps": options.steps,
        "examples": options.steps * batch,
        "minutes": round(seconds / 60, 1),
        "device": torch.cuda.get_device_name() if pool.device.type == "cuda" else "cpu",
        "seed": options.seed,
        "data": {"files": len(heard.rows), "instruments": len(heard.instruments)},
    }
    weights.save(system, run / FILE, facts)


if __name__ == "__main__":
    main()
