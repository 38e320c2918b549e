"""Nothing is written through a link that leads out of a run or a cache."""

from pathlib import Path

import pytest

from plmrs.errors import UserError
from plmrs.links import check_links


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("kept")
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "metrics.csv").write_text("x")
    return tmp_path / "run"


@pytest.mark.parametrize("name", ["metrics", "checkpoints/best.ckpt", "plots"])
@pytest.mark.parametrize("target", ["../outside/file", "../outside", "/etc/passwd", "../not there"])
def test_a_link_out_is_refused(run: Path, name: str, target: str) -> None:
    (run / name).symlink_to(target if name.count("/") == 0 or target[0] == "/" else f"../{target}")
    with pytest.raises(UserError, match=f"{name} is a link out of"):
        check_links(run)


def test_links_within_and_to_the_folder_are_the_users_own(run: Path, tmp_path: Path) -> None:
    (run / "last.csv").symlink_to("metrics.csv")
    (run / "checkpoints" / "up").symlink_to("..")
    (tmp_path / "linked").symlink_to(run)
    check_links(tmp_path / "linked")
    check_links(tmp_path / "not there")
