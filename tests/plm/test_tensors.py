import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from plmrs.errors import UserError
from plmrs.plm import tensors
from plmrs.plm.checkpoint import Plm, find_plm
from plmrs.plm.tensors import read_tensors

CPU = torch.device("cpu")
NAME = "encoder.layer.1.output.dense.weight"

FORMATS: dict[str, dict[str, Any]] = {
    "safetensors": {},
    "bin": {"safetensors": False},
    "sharded safetensors": {"shards": 3},
    "sharded bin": {"safetensors": False, "shards": 3},
}


@pytest.fixture(scope="module", params=FORMATS.values(), ids=FORMATS.keys())
def folder(request: pytest.FixtureRequest, make_plm: Any) -> Path:
    """A BERT's folder in each format of weights."""
    made: Path = make_plm("bert", **request.param)
    return made


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def load(file: Path) -> dict[str, torch.Tensor]:
    return load_file(file) if file.suffix == ".safetensors" else torch.load(file, weights_only=True)


def save(content: dict[str, torch.Tensor], file: Path) -> None:
    if file.suffix == ".safetensors":
        file.unlink(missing_ok=True)  # What was read from it may still be mapped; older versions write into that.
        save_file(content, file, {"format": "pt"})
    else:
        torch.save(content, file)


def weight_files(folder: Path) -> list[Path]:
    return [*folder.glob("*.safetensors"), *folder.glob("*.bin")]


def everything(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in weight_files(folder) for name, tensor in load(file).items()}


def holder(folder: Path, name: str = NAME) -> Path:
    """The file that holds a tensor."""
    return next(file for file in weight_files(folder) if name in load(file))


def asked(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def read(folder: Path, name: str = NAME, shape: tuple[int, ...] = (32, 64)) -> torch.Tensor:
    return read_tensors(find_plm(str(folder)), {name: asked(*shape)}, CPU)[name]


def test_a_tensor_is_what_the_file_holds(folder: Path) -> None:
    stored = everything(folder)
    assert len(stored) > 30
    assert torch.equal(read(folder), stored[NAME])
    wanted = {name: asked(*tensor.shape, dtype=torch.bfloat16) for name, tensor in stored.items()}
    found = read_tensors(find_plm(str(folder)), wanted, CPU)
    assert sorted(found) == sorted(stored)
    for name, tensor in stored.items():
        assert torch.equal(found[name], tensor.to(torch.bfloat16)), name


def test_only_the_files_asked_for_are_opened(make_plm: Any, tmp_path: Path) -> None:
    for form in ("sharded safetensors", "sharded bin"):
        copy = Path(shutil.copytree(make_plm("bert", **FORMATS[form]), tmp_path / form))
        plm, file = find_plm(str(copy)), holder(copy)
        for other in set(weight_files(copy)) - {file}:
            other.unlink()
        assert torch.equal(read_tensors(plm, {NAME: asked(32, 64)}, CPU)[NAME], load(file)[NAME])


def test_a_tensor_has_memory_of_its_own(copy: Path) -> None:
    plm, file = find_plm(str(copy)), holder(copy)
    before = load(file)[NAME].clone()
    tensor = read_tensors(plm, {NAME: asked(32, 64)}, CPU)[NAME]
    file.write_bytes(bytes(file.stat().st_size))
    assert torch.equal(tensor, before)
    assert tensor.untyped_storage().nbytes() == tensor.nbytes
    assert tensor.is_contiguous()


def test_many_mappings_give_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = everything(folder)
    monkeypatch.setattr(tensors, "MAPPED", 20_000)  # A few small tensors a mapping, a large one alone.
    found = read_tensors(find_plm(str(folder)), {name: asked(*tensor.shape) for name, tensor in stored.items()}, CPU)
    assert all(torch.equal(found[name], tensor) for name, tensor in stored.items())


@pytest.mark.parametrize("prefix", ["model.", "model.decoder.", "bert.", "roberta.", "decoder.", "transformer."])
def test_a_name_is_found_behind_any_prefix(copy: Path, prefix: str) -> None:
    expected = everything(copy)
    for file in weight_files(copy):
        save({prefix + name: tensor for name, tensor in load(file).items()}, file)
    for file in copy.glob("*.index.json"):
        shards = json.loads(file.read_text())["weight_map"]
        file.write_text(json.dumps({"weight_map": {prefix + name: shard for name, shard in shards.items()}}))
    assert torch.equal(read(copy), expected[NAME])


def test_a_part_that_was_saved_alone_has_shorter_names(tiny_opt: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_opt, tmp_path / "alone"))
    stored = load(copy / "model.safetensors")
    save({name.removeprefix("decoder."): tensor for name, tensor in stored.items()}, copy / "model.safetensors")
    name = "decoder.layers.1.fc1.weight"
    assert torch.equal(read(copy, name, (64, 32)), stored[name])


def test_a_decoders_tensor_is_never_taken_for_an_encoders(make_plm: Any, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(make_plm("t5", head=True), tmp_path / "lacking"))
    stored = load(copy / "model.safetensors")
    name = "encoder.block.1.layer.0.SelfAttention.q.weight"
    assert name.replace("encoder", "decoder") in stored
    assert torch.equal(read(copy, name, (32, 32)), stored.pop(name))
    save(stored, copy / "model.safetensors")
    with pytest.raises(UserError, match=f"lacks the tensor {name}"):
        read(copy, name, (32, 32))


def test_norms_may_have_the_names_of_berts_first_checkpoints(copy: Path) -> None:
    norm = "encoder.layer.0.output.LayerNorm"
    expected = everything(copy)

    def old(name: str) -> str:
        return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")

    for file in weight_files(copy):
        save({f"bert.{old(name)}": tensor for name, tensor in load(file).items()}, file)
    for file in copy.glob("*.index.json"):
        shards = json.loads(file.read_text())["weight_map"]
        file.write_text(json.dumps({"weight_map": {f"bert.{old(name)}": shard for name, shard in shards.items()}}))
    assert torch.equal(read(copy, f"{norm}.weight", (32,)), expected[f"{norm}.weight"])
    assert torch.equal(read(copy, f"{norm}.bias", (32,)), expected[f"{norm}.bias"])


def test_a_bin_file_of_an_early_pytorch_is_read_at_once(
    make_plm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(make_plm("bert", safetensors=False), tmp_path / "early"))
    file = copy / "pytorch_model.bin"
    stored = load(file)
    torch.save(stored, file, _use_new_zipfile_serialization=False)
    wanted = {name: asked(*tensor.shape) for name, tensor in stored.items()}
    monkeypatch.setattr(tensors, "MAPPED", 1)
    loads: list[Any] = []
    whole = torch.load
    monkeypatch.setattr(torch, "load", lambda *given, **options: loads.append(0) or whole(*given, **options))
    found = read_tensors(find_plm(str(copy)), wanted, CPU)
    assert all(torch.equal(found[name], tensor) for name, tensor in stored.items())
    assert len(loads) == 2  # For the names, and for all tensors.


def without_it(file: Path) -> None:
    save({name: tensor for name, tensor in load(file).items() if name != NAME}, file)


def another_shape(file: Path) -> None:
    save({**load(file), NAME: torch.zeros(32, 8)}, file)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (without_it, f"lacks the tensor {NAME}"),
        (another_shape, rf"the tensor {NAME} has the shape \[32, 8\], config\.json asks for \[32, 64\]"),
        (cut, "cannot be read: "),
        (emptied, "cannot be read: "),
    ],
)
def test_what_is_wrong_with_a_file_is_named(copy: Path, damage: Callable[[Path], None], says: str) -> None:
    plm, file = find_plm(str(copy)), holder(copy)
    damage(file)
    with pytest.raises(UserError, match=says) as caught:
        read_tensors(plm, {NAME: asked(32, 64)}, CPU)
    assert str(file) in caught.value.message
    assert caught.value.remedy
    assert "\n" not in caught.value.message


def test_a_tensor_the_index_does_not_know_is_named(make_plm: Any, tmp_path: Path) -> None:
    for form in ("sharded safetensors", "sharded bin"):
        copy = Path(shutil.copytree(make_plm("bert", **FORMATS[form]), tmp_path / form))
        plm: Plm = find_plm(str(copy))
        index = next(copy.glob("*.index.json"))
        shards = json.loads(index.read_text())["weight_map"]
        shards.pop(NAME)
        index.write_text(json.dumps({"weight_map": shards}))
        with pytest.raises(UserError) as caught:
            read_tensors(plm, {NAME: asked(32, 64)}, CPU)
        assert caught.value.message == f"{index} lacks the tensor {NAME}."


class Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("it_ran"),))


@pytest.mark.parametrize("content", [{"a": Evil()}, [1, 2]])
def test_a_bin_file_that_holds_something_else_is_an_error(
    make_plm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any
) -> None:
    copy = Path(shutil.copytree(make_plm("bert", safetensors=False), tmp_path / "evil"))
    monkeypatch.chdir(tmp_path)
    torch.save(content, copy / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"pytorch_model\.bin (cannot be read|is damaged|holds objects)"):
        read(copy)
    (copy / "pytorch_model.bin").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(UserError, match=r"pytorch_model\.bin (cannot be read|is damaged|holds objects)"):
        read(copy)
    assert not Path("it_ran").exists()
