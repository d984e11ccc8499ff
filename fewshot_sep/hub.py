"""Weights in a Hugging Face hub: fetched by name, published with a model card. Needs the extra `hub`.

A model is the two files that `fewshot_sep.weights` reads, `weights.safetensors` and its card `weights.json`, beside the
`README.md` that the hub shows. Nothing else is fetched, so no pickle is. What was fetched stays in the hub's cache;
`HF_HUB_OFFLINE=1` uses the cache alone, `HF_ENDPOINT` names another hub.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, NamedTuple

import typer

from fewshot_sep import cli, extras, files, weights
from fewshot_sep.errors import OutputError, WeightsError, first_line

LIBRARY = "fewshot-sep"
WEIGHTS, CARD = "weights.safetensors", "weights.json"
NAME = re.compile(r"(?P<repo>[\w][\w.-]*/[\w][\w.-]*)(@(?P<revision>[\w][\w./-]*))?")


class Fetched(NamedTuple):
    """Weights in the cache, and the name, with its commit, that gives the same again."""

    path: Path
    name: str


def is_name(text: str) -> bool:
    """Whether it can only be meant for a hub: nothing here has that name.

    >>> is_name("someone/horns"), is_name("someone/horns@v1"), is_name("horns.safetensors"), is_name("a/b/c")
    (True, True, False, False)
    """
    return bool(NAME.fullmatch(text)) and not text.endswith(".safetensors") and not Path(text).exists()


def fetch(name: str) -> Fetched:
    """The weights `user/model`, or `user/model@revision`: a branch, a tag or a commit, which never changes.

    Both files are of one commit, even if the model is changed meanwhile.

    Raises:
        EngineMissing: huggingface_hub is not installed.
        WeightsError: no such model or revision, no network and not in the cache.
    """
    found = NAME.fullmatch(name)
    if found is None:
        raise WeightsError(f"{name}: no name of a model; give user/model or user/model@revision")
    repo, revision = found["repo"], found["revision"]
    client = _client()

    def get(file: str, revision: str | None) -> Path:
        return Path(client.hf_hub_download(repo, file, revision=revision, endpoint=_endpoint(), library_name=LIBRARY))

    with _explained(name):
        commit = get(CARD, revision).parent.name
        return Fetched(get(WEIGHTS, commit), f"{repo}@{commit}")


def publish(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder that `train` wrote, or weights with their card beside them.")
    ],
    name: Annotated[str, typer.Argument(metavar="USER/MODEL", help="Its name in the hub; made if it is not there.")],
    licence: Annotated[str, typer.Option(help="Licence of the weights, as the hub calls it: mit, cc-by-4.0 ...")],
    private: Annotated[bool, typer.Option("--private", help="Show it to nobody else.")] = False,
) -> None:
    """Publish weights in the Hugging Face hub, with a model card; prints the name that pins what was published.

    `hf auth login`, or HF_TOKEN, says who you are.

    Example:
      fewshot-sep publish runs/mine someone/horns --licence cc-by-4.0
      fewshot-sep separate song.mp3 --query horn.wav --weights someone/horns -o out
    """
    cli.say(upload(run, name, licence, private))


def upload(run: Path, name: str, licence: str, private: bool = False) -> str:
    """Publish a run's weights, in one commit; the name with that commit.

    Raises:
        EngineMissing: huggingface_hub is not installed.
        WeightsError: missing or damaged weights; a name that no hub knows.
        OutputError: the hub refuses them.
    """
    found = NAME.fullmatch(name)
    if found is None or found["revision"]:
        raise typer.BadParameter(f"{name!r} is not USER/MODEL", param_hint="USER/MODEL")
    path = run / WEIGHTS if run.is_dir() else run
    weights.verify(path)
    card = weights.card(path)
    client = _client()
    parts = {
        WEIGHTS: path,
        CARD: path.with_suffix(".json").read_bytes(),
        "README.md": readme(name, card, licence).encode(),
    }
    operations = [client.CommitOperationAdd(path_in_repo=file, path_or_fileobj=part) for file, part in parts.items()]
    try:
        hub = client.HfApi(_endpoint(), library_name=LIBRARY)
        hub.create_repo(name, private=private, exist_ok=True)
        commit = hub.create_commit(name, operations, commit_message=f"Weights {card['sha256'][:12]}")
    except (OSError, ValueError, RuntimeError) as error:
        raise OutputError(f"{name}: not published ({first_line(error)}); see `hf auth whoami`") from error
    return f"{name}@{commit.oid}"


def readme(name: str, card: dict[str, Any], licence: str) -> str:
    """The page that the hub shows: its own metadata, how to use the weights, what is known of them."""
    client = _client()
    data = client.ModelCardData(
        license=licence,
        library_name=LIBRARY,
        pipeline_tag="audio-to-audio",
        tags=["music-source-separation", "query-by-example", "few-shot", f"preset:{card.get('preset')}"],
        model_name=name,
        eval_results=list(_results(client, card)) or None,
    )
    known = {key: value for key, value in card.items() if key not in ("evaluation", "data")}
    return "\n".join(
        [
            f"---\n{data.to_yaml()}\n---\n\n# {name}\n",
            "Separates any instrument from a song, given a short clip of how it sounds: weights of fewshot-sep.\n",
            f"```\nfewshot-sep separate song.mp3 --query clip.wav --weights {name} -o out\n```\n",
            f'```python\nfrom fewshot_sep import Separator\nseparator = Separator.from_pretrained("{name}")\n```\n',
            f"## Training\n\n```json\n{files.to_json({**known, 'data': card.get('data')})}```\n",
            *([f"## Evaluation\n\n```json\n{files.to_json(card['evaluation'])}```\n"] if "evaluation" in card else []),
        ]
    )


def _results(client: ModuleType, card: dict[str, Any]) -> Iterator[Any]:
    """Medians of the card's evaluation, one for each method and kind of item."""
    for method, kinds in card.get("evaluation", {}).items():
        for kind, figures in kinds.items() if isinstance(kinds, dict) else ():
            if isinstance(figures, dict) and "si_sdri" in figures:
                yield client.EvalResult(
                    task_type="audio-to-audio",
                    dataset_type="songs-with-stems",
                    dataset_name=f"{figures['items']} items, {kind} query",
                    metric_type="si_sdri",
                    metric_name=f"SI-SDR improvement (dB, median), {method}",
                    metric_value=figures["si_sdri"][0],
                )


def _client() -> ModuleType:
    extras.require("hub")
    import huggingface_hub

    return huggingface_hub


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    from huggingface_hub.errors import (
        EntryNotFoundError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except RepositoryNotFoundError as error:
        reason = "no such file here and no such model in the hub, or not for you; `hf auth login` says who you are"
        raise WeightsError(f"{name}: {reason}") from error
    except RevisionNotFoundError as error:
        raise WeightsError(f"{name}: the model has no such revision") from error
    except LocalEntryNotFoundError as error:
        raise WeightsError(f"{name}: no such file here, not in the cache, and the hub cannot be reached") from error
    except EntryNotFoundError as error:
        raise WeightsError(f"{name}: no model of fewshot-sep, it lacks {WEIGHTS} or {CARD}") from error
    except (OSError, ValueError) as error:
        raise WeightsError(f"{name}: cannot be fetched ({first_line(error)})") from error
