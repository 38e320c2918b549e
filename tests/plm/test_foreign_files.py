"""PLMs from elsewhere: nothing that a folder holds is run, whatever it names."""

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig

from plmrs.errors import UserError
from plmrs.plm.checkpoint import find_plm
from plmrs.plm.pieces import load_piece
from plmrs.plm.tokenizer import load_tokenizer
from plmrs.plm.unpickled import unpickled

CPU = torch.device("cpu")
PACKAGE = Path(__file__).parents[2] / "plmrs"


class Touch:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.path,)


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def complaint(use: Callable[[], object]) -> str | None:
    """What is said of something that is used, in a line; None when all is well."""
    try:
        use()
    except UserError as error:
        said = error.message
    else:
        return None
    assert "\n" not in said
    return said


@pytest.fixture
def copy(make_plm: Any, tmp_path: Path) -> Path:
    return Path(shutil.copytree(make_plm("bert", safetensors=False), tmp_path / "copy"))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("inside", [True, False])
def test_a_pickle_is_not_run(copy: Path, tmp_path: Path, legacy: bool, inside: bool) -> None:
    made, file = tmp_path / "made", copy / "pytorch_model.bin"
    content = {**torch.load(file, weights_only=True), "odd": Touch(made)} if inside else Touch(made)
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UserError, match="would run code of the file"):
        load_piece(find_plm(str(copy)), 0, 1, torch.float32, CPU)
    assert not made.exists()
    torch.load(file, weights_only=False)  # it would have been made
    assert made.exists()


def test_a_bare_pickle_is_not_run(copy: Path, tmp_path: Path) -> None:
    (copy / "pytorch_model.bin").write_bytes(pickle.dumps(Touch(tmp_path / "made")))
    with pytest.raises(UserError, match=r"pytorch_model\.bin"):
        load_piece(find_plm(str(copy)), 0, 1, torch.float32, CPU)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"\x80\x02.", b"\x80\x02}q\x00.", b"x" * 1000, b"\x80\x02(" * 9]
)
def test_what_is_no_checkpoint_is_told_in_a_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    said = complaint(lambda: unpickled(tmp_path / "a.bin", "again"))
    assert said is None or str(tmp_path / "a.bin") in said


def test_files_are_unpickled_in_one_place() -> None:
    sources = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    assert [path for path, text in sources.items() if "torch.load(" in text] == ["plm/unpickled.py"]
    # One reads what a process wrote for another a moment ago, the other builds no objects.
    allowed = {"pickle.load": ["processes.py"], "yaml.load": ["plain_yaml.py"]}
    never = ("trust_remote_code=True", "weights_only=False", "allow_pickle", "os.system")
    for word in (*never, *allowed):
        found = [path for path, text in sources.items() if word in text]
        assert found in ([], allowed.get(word)), word


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_beside_the_weights_is_not_imported(copy: Path, tmp_path: Path, file: str) -> None:
    code = f"from pathlib import Path\nPath({str(tmp_path / 'made')!r}).touch()\nclass Mine: pass\n"
    for module in ("mine.py", "configuration_mine.py", "tokenization_mine.py"):
        (copy / module).write_text(code)
    names = {"AutoConfig": "mine.Mine", "AutoModel": "mine.Mine", "AutoTokenizer": ["mine.Mine", "mine.Mine"]}
    change(copy / file, auto_map=names, tokenizer_class="Mine", trust_remote_code=True)
    plm = find_plm(str(copy))
    for use in (lambda: load_tokenizer(plm), lambda: load_piece(plm, 0, 1, torch.float32, CPU)):
        complaint(use)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("kernel", ["someone/kernel", "kernels-community/flash-attn", "flash_attention_2", {"": "x/y"}])
def test_a_kernel_from_the_hub_is_not_fetched(copy: Path, kernel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load_piece(find_plm(str(copy)), 0, 1, torch.float32, CPU).model.config._attn_implementation
    asked: list[Any] = []
    kernels = "transformers.integrations.hub_kernels.load_and_register_attn_kernel"
    monkeypatch.setattr(kernels, lambda *names, **_: asked.append(names), raising=False)
    change(copy / "config.json", attn_implementation=kernel, _attn_implementation=kernel)
    assert load_piece(find_plm(str(copy)), 0, 1, torch.float32, CPU).model.config._attn_implementation == expected
    assert not asked


@pytest.mark.parametrize(
    "content",
    ['{"model_type": ' + "[" * 100_000, '{"model_type": "bert", "hidden_size": ' + "9" * 5000 + "}", "[]", "\x00", "{"],
    ids=range(5),
)
def test_a_configuration_that_is_none(copy: Path, content: str) -> None:
    (copy / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config.json") as error:
        find_plm(str(copy))
    assert "\n" not in error.value.message


@pytest.mark.parametrize("values", [
    {"hidden_size": True}, {"hidden_size": -5}, {"hidden_size": "32"}, {"num_hidden_layers": 1.5},
    {"hidden_size": None}, {"num_attention_heads": 0}, {"num_attention_heads": 5}, {"vocab_size": -1},
    {"hidden_act": "evil"}, {"intermediate_size": 10**30}, {"architectures": 5}, {"dtype": "evil"},
    {"pad_token_id": "x"}, {"layer_norm_eps": []}, {"hidden_size": 10**30}, {"id2label": 3},
    {"_attn_implementation": 7}, {"max_position_embeddings": 10**40},
], ids=str)  # fmt: skip
def test_sizes_that_fit_no_model(copy: Path, values: dict[str, Any]) -> None:
    change(copy / "config.json", **values)
    if complaint(lambda: load_piece(find_plm(str(copy)), 0, 1, torch.float32, CPU)) is None:
        unread = {"architectures", "dtype", "pad_token_id", "id2label", "_attn_implementation"}
        # From transformers 5.4 on, where configurations are dataclasses, they look at types.
        assert set(values) & (unread if is_dataclass(BertConfig) else {*unread, "layer_norm_eps"})
