"""A PLM found again by its identity, and one known by its configuration alone."""

import shutil
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants

from plmrs.errors import UserError
from plmrs.plm.checkpoint import find_configuration, find_plm, find_same

OLD, NEW, GONE = "0" * 40, "1" * 40, "2" * 40


@pytest.fixture
def local_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty local hub cache, and a hub that must not be asked."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(HfApi, "model_info", lambda *given, **options: pytest.fail("the hub was asked"))
    return tmp_path


def put(local_hub: Path, commit: str, plm: Path) -> Path:
    """Lay a PLM into the local hub cache as the newest commit of someone/tiny."""
    place = local_hub / "models--someone--tiny"
    (place / "refs").mkdir(parents=True, exist_ok=True)
    (place / "refs" / "main").write_text(commit)
    return Path(shutil.copytree(plm, place / "snapshots" / commit))


def test_a_hub_name_of_the_commit_it_had(local_hub: Path, tiny_opt: Path, tiny_bert: Path) -> None:
    put(local_hub, OLD, tiny_opt)
    new = put(local_hub, NEW, tiny_bert)
    for commit, kind in ((OLD, "opt"), (NEW, "bert")):
        plm = find_same("someone/tiny", f"hub:someone/tiny@{commit}")
        assert (plm.identity, plm.model_type) == (f"hub:someone/tiny@{commit}", kind)
    with pytest.raises(UserError, match="someone/tiny of commit 222222222222 is not in the local hub cache") as caught:
        find_same("someone/tiny", f"hub:someone/tiny@{GONE}")
    assert caught.value.remedy == f"Download it: `hf download someone/tiny --revision {GONE}`."
    (new / "model.safetensors").unlink()
    with pytest.raises(UserError, match="holds no weights"):
        find_same("someone/tiny", f"hub:someone/tiny@{NEW}")


def test_a_folder_with_the_files_it_had(tiny_bert: Path, tiny_opt: Path) -> None:
    plm = find_plm(str(tiny_bert))
    assert find_same(plm.name, plm.identity) == plm
    with pytest.raises(UserError, match=r"The weights or files of .*tiny-opt have changed since"):
        find_same(str(tiny_opt), plm.identity)
    with pytest.raises(UserError, match="no such folder"):
        find_same("/no/such/folder", plm.identity)


def test_a_configuration_says_what_the_whole_folder_does(tiny_bert: Path, tmp_path: Path) -> None:
    whole = find_plm(str(tiny_bert))
    shutil.copy(tiny_bert / "config.json", tmp_path)
    alone = find_configuration(str(tmp_path))
    for known in ("model_type", "hidden_size", "n_blocks", "max_tokens"):
        assert getattr(alone, known) == getattr(whole, known)
    assert alone.weights == ()
    # No cache can be taken for one of it.
    assert alone.identity.startswith("config:")
    (tmp_path / "config.json").write_text((tmp_path / "config.json").read_text() + " ")
    assert find_configuration(str(tmp_path)).identity != alone.identity


def test_the_configuration_of_a_hub_name_lies_in_the_local_hub_cache(local_hub: Path, tiny_opt: Path) -> None:
    folder = put(local_hub, OLD, tiny_opt)
    (folder / "model.safetensors").unlink()
    plm = find_configuration("someone/tiny")
    assert (plm.name, plm.folder, plm.model_type) == ("someone/tiny", folder, "opt")


@pytest.mark.parametrize("name", ["/no/such/folder", "a name", "no/../such"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(UserError, match="there is no such folder"):
        find_configuration(name)
