"""What a user can get wrong: one line that names it, a remedy, exit code 2, nothing half-written."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from plmrs.cli import main

ITEMS = "item_id,text\n" + "".join(f"{i},title {i}\n" for i in range(20))
CLICKS = "user_id,item_id,timestamp\n" + "".join(f"u{u},{(u + s) % 20},{s}\n" for u in range(8) for s in range(6))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the raw tables of two data sets, `one` of them prepared."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "items.csv").write_text(ITEMS)
    (tmp_path / "clicks.csv").write_text(CLICKS)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "others.csv").write_text(ITEMS.replace("title", "another title"))
    assert main(["prepare", "one", "--items", "items.csv", "--interactions", "clicks.csv"]) == 0
    return tmp_path


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock")}


@pytest.mark.parametrize(
    ("line", "said", "remedy"),
    [
        ("prepare two --items none.csv --interactions clicks.csv", "none.csv", ""),
        ("prepare two --items items.csv --interactions clicks.csv --user-column customer", "customer", "user_id"),
        ("prepare two --items empty.csv --interactions clicks.csv", "empty.csv", ""),
        ("prepare MIND_smal", "MIND_smal", "MIND_small"),
        ("prepare two --itmes items.csv", "--itmes", "--items"),
        ("train --dataset onee --input-type id", "no data set onee", "Did you mean one?"),
        ("train --dataset MIND_smal --input-type id", "no data set MIND_smal", "Did you mean MIND_small?"),
        ("train --plm facebook/opt-1.3b", "facebook/opt-1.3b", "minilm"),
        ("train --sasrec-seq-len x", "--sasrec-seq-len", ""),
        ("train --input-type id --sasrec-n-heads 3", "--sasrec-n-heads 3 does not divide", ""),
        ("train --projection-inner-sizes 8 9", "--projection-inner-sizes gives 2 widths", ""),
        ("preinfer --devices 7", "device 7", "--accelerator cpu"),
        ("evaluate nothing", "nothing", "plmrs train"),
        ("inspect nothing", "nothing", "one"),
    ],
)
def test_one_line_and_exit_code_2(
    shop: Path, capsys: pytest.CaptureFixture[str], line: str, said: str, remedy: str
) -> None:
    before = files(shop)
    assert main(line.split()) == 2
    error, *rest = capsys.readouterr().err.strip().splitlines()
    assert error.startswith("Error: ")
    assert said in error
    assert len(rest) <= 1
    assert remedy in "".join(rest) + error
    assert files(shop) == before


def test_the_cache_of_another_data_set(shop: Path, tiny_bert: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "two", "--items", "others.csv", "--interactions", "clicks.csv"]) == 0
    assert main(["preinfer", "--dataset", "one", "--plm", str(tiny_bert)]) == 0
    (cache,) = shop.glob("data/cache/one/*/*.zarr")
    capsys.readouterr()
    assert main(["train", "--dataset", "two", "--cache", str(cache)]) == 2
    assert "it holds the items of data set one, not two" in capsys.readouterr().err
    assert not list(shop.glob("runs/*"))


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with 2 MiB of room."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a small file system takes root")
    place = tmp_path / "tiny"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], check=False)
    if mounted.returncode:
        pytest.skip("this system lets no small file system be mounted")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)  # A data set that was opened may still be mapped.


@pytest.mark.parametrize("verb", ["prepare", "preinfer", "train"])
def test_a_full_disk(
    shop: Path, tiny_disk: Path, tiny_bert: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    """The disk fills while a verb writes: one line, and what was there before is whole."""
    root = tiny_disk / "data"
    shutil.copytree(shop / "data", root)
    before = files(tiny_disk)
    (tiny_disk / "filler").write_bytes(b"0" * 64)
    with (tiny_disk / "filler").open("wb") as filler:
        free = shutil.disk_usage(tiny_disk).free
        filler.write(b"0" * (free - (64 << 10 if verb == "train" else 4 << 10)))
    lines = {
        "prepare": ["prepare", "demo"],
        "preinfer": ["preinfer", "--plm", str(tiny_bert)],
        "train": ["train", "--input-type", "id", "--max-epochs", "1", "--runs", str(tiny_disk / "runs")],
    }
    capsys.readouterr()
    assert main([*lines[verb], "--root", str(root)]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert any(line.startswith("Error: ") for line in said.splitlines())
    assert {path for path in before if not path.is_file()} == set()
    assert not list(root.glob("prepared/demo"))
    assert not (tiny_disk / "runs" / "one-id" / "metrics.json").exists()
