"""A data set that was changed without a change of its files' sizes."""

import hashlib
from pathlib import Path

import pytest

from plmrs.cli import main
from plmrs.data.dataset import Dataset, open_dataset
from plmrs.workspace import Workspace


@pytest.fixture
def verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The data set, and `plmrs inspect hand --verify`: exit code and what it says."""
    (tmp_path / "items.csv").write_text("item_id,text\n" + "".join(f"i{i},text {i}\n" for i in range(50)))
    clicks = [f"u{i % 10},i{i},{i}\n" for i in range(50)]
    (tmp_path / "clicks.csv").write_text("user_id,item_id,timestamp\n" + "".join(clicks))
    place = ["--root", str(tmp_path / "data")]
    tables = ["--items", str(tmp_path / "items.csv"), "--interactions", str(tmp_path / "clicks.csv")]
    assert main(["prepare", "table", "--name", "hand", *tables, *place]) == 0
    capsys.readouterr()

    def run(*more: str) -> tuple[int, str]:
        code = main(["inspect", "hand", "--verify", *more, *place])
        said = capsys.readouterr()
        return code, " ".join((said.out + said.err).split())

    return open_dataset(Workspace(tmp_path / "data", tmp_path / "runs"), "hand"), run


def test_files_as_they_were_written_are_sound(verify):
    dataset, run = verify
    code, said = run()
    size = sum((dataset.folder / name).stat().st_size for name in ("items.feather", "histories.feather"))
    assert code == 0
    assert f"Sound: items.feather and histories.feather are as they were written, {size:,} bytes." in said
    kept = dataset.manifest["files"]["items.feather"]["sha256"]
    assert kept == hashlib.sha256((dataset.folder / "items.feather").read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["items.feather", "histories.feather"])
def test_one_other_byte_is_found(verify, name: str):
    dataset: Dataset = verify[0]
    path = dataset.folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    code, said = verify[1]()
    assert code == 2
    assert f"{name} is not as it was written" in said
    assert said.endswith("Run `plmrs prepare hand` again.")


def test_a_data_set_is_not_mended(verify):
    code, said = verify[1]("--repair")
    assert code == 2
    assert "--repair is for caches; hand is a data set." in said
