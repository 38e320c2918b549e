import shutil
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file, save_file

from plmrs.devices import Devices
from plmrs.errors import UserError
from plmrs.plm.checkpoint import find_plm
from plmrs.preinfer.memory import device_memory, seconds_a_token

CPU = Devices("cpu", [0])


def test_processes_share_what_is_free() -> None:
    alone, four = device_memory(CPU), device_memory(Devices("cpu", [0, 1, 2, 3]))
    assert 0.4 * psutil.virtual_memory().available < alone < psutil.virtual_memory().total
    assert alone / 5 < four < alone / 3


def test_a_block_is_timed_without_the_others(opt: Path, tmp_path: Path) -> None:
    plm = find_plm(str(shutil.copytree(opt, tmp_path / "tiny-opt")))
    file = plm.folder / "model.safetensors"
    save_file({name: tensor for name, tensor in load_file(file).items() if ".1." in name}, file, {"format": "pt"})
    times = [seconds_a_token(plm, "32", CPU, length) for length in (1, 17, 2000)]
    assert all(1e-9 < seconds < 1e-2 for seconds in times)
    file.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        seconds_a_token(plm, "32", CPU, 17)


def test_a_plm_of_one_block_is_timed(make_plm: object) -> None:
    folder = make_plm("bert", num_hidden_layers=1)  # type: ignore[operator]
    assert seconds_a_token(find_plm(str(folder)), "bf16", CPU, 17) > 0
