"""Lays the repository's READMEs, reports and figures out as the site's pages, at the paths that they have here.

So a relative link is right in the repository and on the site alike.
"""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = ("*.md", "docs/pages/*.md", "experiments/**/*.md")
ASSETS = ("docs/pages/*", "experiments/**/report/**/*", "experiments/**/*.sh", "experiments/**/*.csv")
MORE = (
    "LICENSE",
    "CITATION.cff",
    "docs/onnx_example.py",
    "loops/instruments/sources.csv",
    "fewshot_sep/pretrained/prompted.json",
    "experiments/demo/data/LICENSE.txt",
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """MkDocs calls this with what it found; the theme's own files stay."""
    paths = sorted({path for pattern in (*PAGES, *ASSETS, *MORE) for path in ROOT.glob(pattern) if path.is_file()})
    ours = [File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)) for path in paths]
    return Files([*(file for file in files if file.is_media_file() or file.is_css() or file.is_javascript()), *ours])
