"""The one place that imports torchaudio: its wheels link CUDA, which a CPU build of torch does not bring.

Where the compiled extension cannot load, a stub replaces it and `torchaudio.transforms` works as usual; reading and
writing of files, which the stub lacks, is done by `fewshot_sep.audio`. `MODE` tells `doctor` which it is.
"""

from __future__ import annotations

import sys
import types
from typing import Any


def _load() -> tuple[Any, str]:
    try:
        import torchaudio.transforms

        return torchaudio.transforms, "native"
    except OSError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
    stub = types.ModuleType("torchaudio._extension")
    stub._IS_TORCHAUDIO_EXT_AVAILABLE = False  # type: ignore[attr-defined]
    stub._IS_ALIGN_AVAILABLE = False  # type: ignore[attr-defined]
    stub._check_cuda_version = lambda: None  # type: ignore[attr-defined]

    def fail_if_no_align(function: Any) -> Any:
        def refuse(*args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("forced alignment needs torchaudio's compiled extension")

        return refuse

    stub.fail_if_no_align = fail_if_no_align  # type: ignore[attr-defined]
    sys.modules["torchaudio._extension"] = stub
    import torchaudio.transforms

    return torchaudio.transforms, "without its compiled extension"


transforms, MODE = _load()
