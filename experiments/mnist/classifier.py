"""A classifier of clean digits: it reads what the separators put out, and never learns from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fewshot_sep import files
from fewshot_sep.experiments.mnist.digits import Digits
from fewshot_sep.experiments.mnist.tasks import SIZE, Drawer

EPOCHS, BATCH = 5, 100


class DigitClassifier(nn.Module):
    """Shape: `(batch, 1, 32, 32)` in [0, 1] -> `(batch, 10)` logits."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((1, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 16, 10))

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Tensor:
        """Of each class, `(batch, 10)`; images `(batch, 1, side, side)`."""
        self.eval()
        fitted = F.interpolate(images, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
        return torch.cat([self(part).softmax(1) for part in torch.split(fitted, 500)])

    def read(self, images: Tensor) -> Tensor:
        """The class of each image, `(batch,)`."""
        return self.probabilities(images).argmax(1)


def trained(path: Path, digits: Digits, progress: Callable[[float], None] = lambda done: None) -> DigitClassifier:
    """The classifier kept in `path`, trained first where there is none."""
    if path.is_file():
        classifier = DigitClassifier()
        classifier.load_state_dict(load_file(path))
        return classifier
    clean = Drawer(digits)
    classifier = train(clean.images, torch.from_numpy(clean.labels), progress=progress)
    with files.replacing(path) as temporary:
        save_file(classifier.state_dict(), temporary)
    return classifier


def train(
    images: Tensor, labels: Tensor, seed: int = 0, progress: Callable[[float], None] = lambda done: None
) -> DigitClassifier:
    """A classifier trained on clean digits; images `(count, 1, 32, 32)`, labels `(count,)`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        classifier, steps = DigitClassifier(), EPOCHS * (len(images) // BATCH)
        optimizer = torch.optim.AdamW(classifier.parameters(), 3e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=max(2, steps))
        for step in range(steps):
            chosen = torch.randint(len(images), (BATCH,))
            optimizer.zero_grad()
            F.cross_entropy(classifier(images[chosen]), labels[chosen]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            progress((step + 1) / steps)
    return classifier
