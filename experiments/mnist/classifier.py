"""A classifier of digits: it reads what the separators put out, and never learns from it.

`python -m fewshot_sep.experiments.mnist.classifier` trains the bundled one, in about six minutes on a core.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fewshot_sep import files
from fewshot_sep.experiments.mnist.digits import Digits, load
from fewshot_sep.experiments.mnist.glyphs import warp
from fewshot_sep.experiments.mnist.tasks import SIZE, Drawer

BUNDLED = Path(__file__).parent / "data" / "reader.safetensors"
EPOCHS, BATCH, OVERLAYS = 20, 125, 25  # of a batch's images so many are overlays, that read as nothing
WIDTHS = (16, 32, 64)


class DigitClassifier(nn.Module):
    """Shape: `(batch, 1, 32, 32)` in [0, 1] -> `(batch, 10)` logits."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((1, *WIDTHS), WIDTHS, strict=False):
            for inputs in (before, after):
                layers += [nn.Conv2d(inputs, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(WIDTHS[-1] * (SIZE // 8) ** 2, 10)
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Tensor:
        """Of each class, `(batch, 10)`; images `(batch, 1, side, side)`."""
        self.eval()
        fitted = F.interpolate(images, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
        return torch.cat([self(part).softmax(1) for part in torch.split(fitted, 500)])

    def read(self, images: Tensor) -> Tensor:
        """The class of each image, `(batch,)`."""
        return self.probabilities(images).argmax(1)


def bundled() -> DigitClassifier:
    """The classifier that comes with this package."""
    classifier = DigitClassifier()
    classifier.load_state_dict(load_file(BUNDLED))
    return classifier.eval()


def worn(images: Tensor, others: Tensor, random: torch.Generator) -> Tensor:
    """Images as separators put them out: faint, blurred, cut where another one crosses, with traces of that.

    Shape: twice `(batch, 1, 32, 32)` -> the same.
    """

    def some(most: float) -> Tensor:
        """Up to `most` in half of the batch, nothing in the other."""
        drawn = torch.rand(2, len(images), 1, 1, 1, generator=random)
        return most * (2 * drawn[0] - 1).clamp(min=0)

    cut = images * (1 - some(1) * others)
    traced = torch.maximum(cut, some(0.4) * others)
    return torch.lerp(traced, F.avg_pool2d(traced, 3, 1, 1), some(1)) * (1 - some(0.6))


def train(digits: Digits, epochs: int = EPOCHS, seed: int = 0) -> DigitClassifier:
    """A classifier of all classes of `digits`, each in other hands and worn; overlays shall read as nothing."""
    clean = Drawer(digits)
    labels = F.one_hot(torch.from_numpy(clean.labels), 10).float()
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        classifier, steps = DigitClassifier(), epochs * (len(labels) // BATCH)
        optimizer = torch.optim.AdamW(classifier.parameters(), 4e-3, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps, pct_start=0.1)
        for _ in range(steps):
            rows = torch.randint(len(labels), (2, BATCH), generator=random)
            images, others = warp(clean.images[rows.flatten()], random).chunk(2)
            images, wanted = worn(images, others, random), labels[rows[0]]
            count = OVERLAYS
            images[:count] = torch.maximum(images[:count], others[:count]).maximum(others[count : 2 * count])
            wanted[:count] = 0.1
            optimizer.zero_grad()
            F.cross_entropy(classifier(images), wanted, label_smoothing=0.05).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return classifier.eval()


if __name__ == "__main__":
    reader = train(load("train"))
    with files.replacing(BUNDLED) as temporary:
        save_file({name: value.half() for name, value in reader.state_dict().items()}, temporary)
    test = Drawer(load("test"))
    print(f"{(bundled().read(test.images).numpy() == test.labels).mean():.2%} of the test digits read right")
