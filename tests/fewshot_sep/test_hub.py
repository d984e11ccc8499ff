from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from fewshot_sep import Separator, hub, systems, weights
from fewshot_sep.errors import OutputError, WeightsError
from tests.fewshot_sep.hub_stand_in import HubServer, hub_server

constants = pytest.importorskip("huggingface_hub.constants")
NAME = "someone/horns"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(constants, name, str(tmp_path / "cache"), raising=False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with hub_server() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def run(folder: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    figures = {"items": 3, "segment": {"intra-song": {"items": 2, "si_sdri": [6.5, 7.0]}}}
    weights.save(systems.build("tiny"), folder / "weights.safetensors", {"steps": 7 + seed, "evaluation": figures})
    return folder


def test_what_is_published_comes_back_and_its_page_has_the_hub_s_metadata(server: HubServer, tmp_path: Path) -> None:
    made = run(tmp_path / "run")
    pinned = hub.upload(made, NAME, "cc-by-4.0")
    files = server.commits[NAME][-1]
    assert sorted(files) == ["README.md", "weights.json", "weights.safetensors"]
    _, head, text = files["README.md"].decode().split("---\n", 2)
    data = yaml.safe_load(head)
    assert (data["license"], data["library_name"]) == ("cc-by-4.0", "fewshot-sep")
    assert data["pipeline_tag"] == "audio-to-audio"
    assert data["model-index"][0]["results"][0]["metrics"][0]["value"] == 6.5
    assert f'from_pretrained("{NAME}")' in text

    separator = Separator.from_pretrained(NAME, device="cpu")
    assert pinned == separator.describe()["weights"] == f"{NAME}@{server.oid(NAME, 0)}"
    assert separator.describe()["sha256"] == weights.sha256(made / "weights.safetensors")
    expected = weights.load(made / "weights.safetensors").state_dict()
    assert all(value.equal(expected[name]) for name, value in separator.system.state_dict().items())


def test_a_pinned_revision_stays_what_it_was(server: HubServer, tmp_path: Path) -> None:
    first = hub.upload(run(tmp_path / "a"), NAME, "mit")
    second = hub.upload(run(tmp_path / "b", seed=1), NAME, "mit")
    assert first != second and hub.fetch(NAME).name == second
    assert weights.card(hub.fetch(first).path)["steps"] == 7
    assert weights.card(hub.fetch(second).path)["steps"] == 8
    with pytest.raises(WeightsError, match="no such revision"):
        hub.fetch(f"{NAME}@nothing")


def test_the_cache_does_without_the_hub(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = hub.upload(run(tmp_path / "run"), NAME, "mit")
    path = hub.fetch(NAME).path
    server.asked.clear()
    assert hub.fetch(pinned).path == path and not server.asked, "a commit never changes"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.fetch(NAME) == (path, pinned) and not server.asked
    with pytest.raises(WeightsError, match="not in the cache"):
        hub.fetch("someone/else")


def test_a_damaged_or_poisoned_model_is_refused(server: HubServer, tmp_path: Path) -> None:
    made = run(tmp_path / "run")
    hub.upload(made, NAME, "mit")
    server.commit(NAME, {"weights.safetensors": pickle.dumps("boo"), "weights.pkl": pickle.dumps("boo")})
    with pytest.raises(WeightsError, match="SHA-256"):
        Separator.from_pretrained(NAME, device="cpu")
    assert not [path for path in server.asked if path.endswith("pkl")]


def test_errors_say_what_is_missing(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match="no such model"):
        Separator.from_pretrained(NAME, device="cpu")
    server.commit(NAME, {"pytorch_model.bin": b""})
    with pytest.raises(WeightsError, match="lacks"):
        Separator.from_pretrained(NAME, device="cpu")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(OutputError, match="not published"):
        hub.upload(run(tmp_path / "run"), "someone/new", "mit")
    assert "someone/new" not in server.commits


def test_files_are_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(Path("someone/horns"))
    assert not hub.is_name("someone/horns") and hub.is_name("someone/trumpets")
    assert not hub.is_name("someone/horns/weights.safetensors")
    assert Separator.from_pretrained("someone/horns/weights.safetensors", "cpu").name == "weights.safetensors"
