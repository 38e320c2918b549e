import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from plmrs.errors import UserError
from plmrs.plm.checkpoint import FAMILIES, find_plm
from plmrs.plm.families.names import moved


@pytest.mark.parametrize("family", FAMILIES)
def test_sizes_are_read_as_each_family_spells_them(make_plm: Any, family: str) -> None:
    plm = find_plm(str(make_plm(family)))
    assert (plm.model_type, plm.hidden_size, plm.n_blocks) == (family, 32, 2)
    # RoBERTa's table has 66 rows; T5 has none.
    assert plm.max_tokens == (1_000_000 if family == "t5" else 64)


def test_a_t5_without_its_own_spelling_of_a_size_is_an_error(make_plm: Any) -> None:
    folder = make_plm("t5")
    file = folder / "config.json"
    config = json.loads(file.read_text())
    config["hidden_size"] = config.pop("d_model")
    file.write_text(json.dumps(config))
    with pytest.raises(UserError, match="gives no d_model"):
        find_plm(str(folder))


def test_sizes_are_read_without_torch(make_plm: Any) -> None:
    folders = [make_plm(family) for family in FAMILIES]
    code = "import sys; from plmrs.plm.checkpoint import find_plm; print(*map(find_plm, sys.argv[1:]), *sys.modules)"
    run = subprocess.run([sys.executable, "-c", code, *folders], check=True, capture_output=True, text=True)
    assert not {"torch", "transformers"} & set(run.stdout.split())


def test_every_family_has_its_module() -> None:
    import plmrs.plm.families

    beside = {file.stem for file in Path(plmrs.plm.families.__file__).parent.glob("*.py")}
    assert set(FAMILIES.values()) == beside - {"__init__", "names", "standins"}


def test_a_blocks_tensors_move_to_their_number_in_the_checkpoint() -> None:
    assert moved("layers.0.fc1.weight", "layers.", 3) == "layers.3.fc1.weight"
    assert moved("layers.12.layers.0.bias", "layers.", 30) == "layers.42.layers.0.bias"
    assert moved("norm.weight", "layers.", 3) == "norm.weight"
