"""What a batch of tasks is told of its instruments: clips, each with the role it plays as evidence."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fewshot_sep.prompt import ROLES

ALONE, AMONG, ABSENT = range(len(ROLES))
"""Roles of a clip, as places in `fewshot_sep.prompt.ROLES`."""


class Evidence(NamedTuple):
    """Clips of a batch of prompts, by role.

    No pair of task and role comes twice; prompts are sorted by role, then by task.

    Shape:
        clips: `(prompts, clips, samples)`, mono: what one task is given for one role; fewer clips are repeated.
        task: `(prompts,)` int64, which task each is for.
        role: `(prompts,)` int64, `ALONE`, `AMONG` or `ABSENT`.
        several: `(prompts,)` bool, whether what is `ALONE` in the clips is several instruments, which are the target
            together; None if it never is.

    >>> evidence = Evidence.of_alone(torch.zeros(4, 1, 100))
    >>> evidence.task.tolist(), evidence.role.tolist(), evidence.alone.shape
    ([0, 1, 2, 3], [0, 0, 0, 0], torch.Size([4, 1, 100]))
    """

    clips: Tensor
    task: Tensor
    role: Tensor
    several: Tensor | None = None

    @classmethod
    def of_alone(cls, clips: Tensor) -> Evidence:
        """Clips of its instrument alone for every task: `(batch, clips, samples)`."""
        task = torch.arange(len(clips), device=clips.device)
        return cls(clips, task, torch.full_like(task, ALONE))

    @property
    def alone(self) -> Tensor:
        """`(batch, clips, samples)`, for systems that know no other role; waits for the device.

        Raises:
            ValueError: a task has no clip of its instrument alone.
        """
        count = self.role.tolist().count(ALONE)
        if count <= max(self.task.tolist()):
            raise ValueError("not every task has a clip of its instrument alone")
        return self.clips[:count]
