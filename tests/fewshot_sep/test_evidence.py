from __future__ import annotations

import pytest
import torch

from fewshot_sep.evidence import ABSENT, ALONE, AMONG, Evidence


def test_clips_alone_are_the_tasks_in_their_order() -> None:
    clips = torch.randn(5, 2, 10)
    task, role = torch.tensor([0, 1, 2, 0, 2]), torch.tensor([ALONE, ALONE, ALONE, AMONG, ABSENT])
    assert Evidence(clips, task, role).alone.equal(clips[:3])
    assert Evidence.of_alone(clips).alone.equal(clips)


@pytest.mark.parametrize("task", [[0, 1, 2], [1, 2, 0]])
def test_a_task_without_a_clip_alone_is_refused(task: list[int]) -> None:
    evidence = Evidence(torch.zeros(3, 1, 10), torch.tensor(task), torch.tensor([ALONE, ALONE, AMONG]))
    with pytest.raises(ValueError, match="not every task has a clip of its instrument alone"):
        _ = evidence.alone
