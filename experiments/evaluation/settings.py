"""The vocabulary of an evaluation: methods, kinds of items and figures, as files, commands and reports name them.

Nothing heavy is imported, and no other experiment: their methods are known by name here, and where to load them from.
"""

from __future__ import annotations

from typing import NamedTuple

BASELINES = ("mixture", "silence", "nmf", "irm", "mixphase")
UNINFORMED = frozenset({"mixture", "silence"})
"""Baselines to which the query says nothing."""
ORACLES = frozenset({"irm", "mixphase"})
"""Upper bounds: they look at the true stems instead of the query."""

_OURS = "fewshot_sep.experiments.evaluation.methods:separator"
SEEDS = ("wavenet", "label-twin")
"""A system of the seed papers and a twin of ours, conditioned on the instrument's label, whatever the clips are."""


class Trained(NamedTuple):
    """A method that runs trained weights.

    Attributes:
        loader: `module:function` of the method's name, the file of weights (None for the bundled ones) and the device.
        training: the command that makes weights, for methods that have none bundled.
        file: where that command puts them.
    """

    loader: str
    training: str = ""
    file: str = ""


TRAINED = {
    **{name: Trained(_OURS) for name in ("segment", "segment-no-suppression", "song")},
    "illes2020": Trained(_OURS, "fewshot-sep train LIBRARY -o RUN --preset illes2020", "RUN/weights.safetensors"),
    **{
        name: Trained(
            "fewshot_sep.experiments.seeds.methods:load",
            f"python -m fewshot_sep.experiments.seeds.train LIBRARY -o RUNS --system {name}",
            f"RUNS/{name}/weights.safetensors",
        )
        for name in SEEDS
    },
}
BUNDLED = tuple(name for name, method in TRAINED.items() if not method.training)
PROMPTED = (*BUNDLED, "nmf")
"""Methods that take clips of any role: `NAME:ROLE+ROLE`, such as `segment:among+absent`; else of the first alone."""
METHOD_ALIASES = {"clip": "segment", "once": "segment-no-suppression", "variant": "segment-no-suppression"}
"""Names that methods have in older runs and commands."""

NATIVE = ("same", "cross", "absent")
"""Kinds that `items.json` may hold: the query is from the same song, from another song with the same instrument, or of
an instrument that the song does not have, for which silence is right."""
PRESENT = ("same", "cross")
"""Those of them whose target is in the mixture."""
CONDITIONS = (*NATIVE, "itself", "wrong", "shuffled", "clips", "borders", "sources")
"""All kinds; the later ones are derived from items of the kind `same`, see `conditions`."""
KIND_NAMES = {kind: kind for kind in CONDITIONS} | {"same": "intra-song", "cross": "cross-song", "itself": "oracle"}
"""Kinds as reports name them; files keep the short ones."""
KIND_ALIASES = {shown: kind for kind, shown in KIND_NAMES.items()}

COLLAPSED_DB = -40.0
"""An output below this, re its mixture, is as good as none."""
SILENT_DB = -60.0
"""A reference below this, re its mixture, holds nothing to be found."""
MAX_SOURCES = 5
"""Mixtures of more sources are left out of the table by number of sources."""
