"""The labels of a library: names of its instruments and families, and names mapped to them.

In the families of `DISTINCT` the members are known by their own names (a violin is no cello): each that the library
holds enough of is a label of its own, the rest of the family share one. Elsewhere the family is the label: what one
library calls a steel guitar, another one and most stems call a guitar. Invented instruments have no label.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from fewshot_sep.experiments.seeds.settings import MIN_ROWS
from fewshot_sep.loops.curation import filenames
from fewshot_sep.loops.library import Library

DISTINCT = frozenset({"drums", "strings", "brass", "reed", "pipe", "voice"})

_MEANT = {"horn": "french horn"}  # with an orchestra's stems; to a producer a "horn" is a brass section


@dataclass(frozen=True)
class Labels:
    """The labels of a system, in the order of its outputs."""

    names: tuple[str, ...]

    def find(self, instrument: str, family: str = "") -> str | None:
        """The label of an instrument: its own name, else its family's, None where neither is a label.

        Args:
            instrument: a name of the library, a stem's or an item's ("pluck_pad").
            family: of the library's row; guessed from the name if empty.
        """
        name = _plain(instrument)
        if name in self.names:
            return name
        known = filenames.instrument(name)
        if not family and known and known.name in self.names:
            return known.name
        family = _family(family or (known.family if known else _shared_family(name)))
        return family if family in self.names else None

    def number(self, instrument: str, family: str = "") -> int | None:
        """Place in `names` of the instrument's label, None where it has none."""
        found = self.find(instrument, family)
        return None if found is None else self.names.index(found)


def of_library(library: Library) -> Labels:
    """The labels that the library's training split can teach, in alphabetical order."""
    rows = [row for row in library if row.split == "train" and not row.family.startswith("invented")]
    counts = Counter(_plain(row.instrument) for row in rows if row.family in DISTINCT)
    own = {name for name, count in counts.items() if count >= MIN_ROWS}
    return Labels(tuple(sorted(own | {_family(row.family) for row in rows if _plain(row.instrument) not in own})))


def _plain(instrument: str) -> str:
    """Lower case, words apart, without the maker that the library puts in brackets.

    >>> _plain("synth bass (fluidr3)"), _plain("Backing_Vocals"), _plain("horn")
    ('synth bass', 'backing vocals', 'french horn')
    """
    name = " ".join(instrument.lower().partition(" (")[0].replace("_", " ").split())
    return _MEANT.get(name, name)


def _family(family: str) -> str:
    """Synthesisers' pads, leads and effects are one family."""
    return "synth" if family.startswith("synth") else family


def _shared_family(name: str) -> str:
    """The family that all known words of a name agree on, else nothing."""
    families = {_family(filenames.family_of(word)) for word in filenames.words(name)} - {"other"}
    return families.pop() if len(families) == 1 else ""
