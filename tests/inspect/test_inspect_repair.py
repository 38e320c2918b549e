"""`plmrs inspect CACHE --repair`: the bytes that were there before, and nothing else touched."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from damages import BEFALLEN, delete, flip, put_another_in_its_place

from plmrs.cache.find import list_caches, open_cache
from plmrs.cache.integrity import drop_units, verify
from plmrs.cache.store import Cache
from plmrs.cli import main
from plmrs.config import PreinferConfig
from plmrs.errors import UserError
from plmrs.plm.checkpoint import find_plm
from plmrs.preinfer.command import preinfer
from plmrs.preinfer.plan import sizes
from plmrs.report import Silent
from plmrs.workspace import Workspace, lock

Cached = Callable[[str], Cache]
Look = Callable[..., Any]
State = dict[str, tuple[bytes, int]]

KINDS = ["final", "hidden", "both"]


def everything(root: Path) -> State:
    """The content and the time of every file below a folder, but for locks."""
    return {
        str(file.relative_to(root)): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in root.rglob("*")
        if file.is_file() and file.suffix != ".lock"
    }


def of_units(names: list[str], units: set[int]) -> set[str]:
    """Those of some files that belong to units: their chunks and marks."""
    ends = [f"/c/{unit}/0" for unit in units] + [f"/done/{unit}.json" for unit in units]
    return {name for name in names if name.endswith(tuple(ends))}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("befallen", BEFALLEN)
def test_the_bytes_are_those_of_before_and_nothing_else_is_touched(
    befallen: str, kind: str, cached: Cached, look: Look, workspace: Workspace
) -> None:
    cache, damage = cached(kind), BEFALLEN[befallen]
    sound = everything(workspace.root)
    damage.do(cache, cache.arrays[-1])
    damaged = everything(workspace.root)
    assert {name: content for name, (content, _) in damaged.items()} != {n: c for n, (c, _) in sound.items()}
    table = look(cache.path, repair=True)[0]
    again = everything(workspace.root)
    assert {name: content for name, (content, _) in again.items()} == {n: c for n, (c, _) in sound.items()}
    first, _, last = damage.units.split()[1].partition("–")
    units = set(range(int(first), int(last or first) + 1))
    touched = {name for name, state in again.items() if state != damaged.get(name)}
    assert touched == of_units([*again], units)
    assert verify(open_cache(cache.path)) == []
    line = table.notes[-1]
    assert line.startswith(f"Made again: {len(units)} of 3 units; {damage.units} (")
    assert damage.reason in line
    assert dict(table.rows)["state"] == "complete"  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_missing_is_made_as_well(kind: str, cached: Cached, look: Look, workspace: Workspace) -> None:
    cache = cached(kind)
    sound = everything(workspace.root)
    flip(cache, cache.arrays[0])
    drop_units(cache, [0])
    shutil.rmtree(cache.path / cache.arrays[0] / "c" / "0")
    table = look(cache.path.stem, repair=True, verify=True)[0]
    assert {n: c for n, (c, _) in everything(workspace.root).items()} == {n: c for n, (c, _) in sound.items()}
    assert table.notes[-2] == (
        f"Made again: 2 of 3 units; unit 1 ({cache.arrays[0]}): its checksum does not fit; 1 were missing."
    )
    assert table.notes[-1].startswith("Sound: 3 of 3 units")


def test_a_sound_cache_is_left_alone_even_without_its_plm(
    cached: Cached, look: Look, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = cached("final")
    monkeypatch.setattr("plmrs.inspect.damage.find_same", lambda *given: pytest.fail("not needed"))
    before = everything(workspace.root)
    table = look(cache.fingerprint, repair=True)[0]
    assert table.notes[-1] == "Nothing was to be repaired: all 3 units are as they were written."
    assert everything(workspace.root) == before


def test_in_pieces_where_memory_is_short(cached: Cached, look: Look, workspace: Workspace, heard: Any) -> None:
    cache = cached("both")
    before = everything(workspace.root)
    delete(cache, "hidden")
    left = cache.path.with_name(f"{cache.path.name}.partial-repair-killed")
    (left / "block1.zarr").mkdir(parents=True)
    found = sizes(find_plm(cache.plm), "bf16", cache.texts.length, cache.layout)
    look(cache.path, heard, repair=True, max_memory=found.activations + 4 * found.unit + found.embeddings)
    made = [label.removeprefix("Making again, ") for label, *_ in heard.tracked if label.startswith("Making")]
    assert made == ["embeddings", "0", "1", "2"]
    assert {n: c for n, (c, _) in everything(workspace.root).items()} == {n: c for n, (c, _) in before.items()}
    assert [path.name for path in cache.path.parent.iterdir() if path.suffix != ".lock"] == [cache.path.name]


def make(workspace: Workspace, bert: Path, **options: Any) -> Cache:
    """The cache that `plmrs preinfer` makes beside those that are there."""
    before = {cache.path for cache in list_caches(workspace)}
    flat = {"root": workspace.root, "plm_name": str(bert), "precision": "32", "accelerator": "cpu", **options}
    preinfer(PreinferConfig.from_flat(flat), Silent())
    (made,) = (cache for cache in list_caches(workspace) if cache.path not in before)
    return made


def test_it_begins_where_it_began_before(
    encoded: dict[str, Path], workspace: Workspace, bert: Path, look: Look, heard: Any
) -> None:
    shutil.copytree(encoded["final"] / "prepared", workspace.root / "prepared")
    inexact = make(workspace, bert, plm_last_n_unfreeze=2, dtype="float16")
    of_inexact = make(workspace, bert)
    assert of_inexact.manifest["source"] == inexact.fingerprint
    exact_of_inexact = make(workspace, bert, plm_last_n_unfreeze=1, dtype="float32")
    assert exact_of_inexact.manifest["source"] == inexact.fingerprint
    assert "recomputed differ by" in look(of_inexact.path, verify=True)[0].notes[-1]
    before = everything(workspace.root)

    def mended(cache: Cache) -> list[str]:
        delete(cache, cache.arrays[0])
        heard.tracked.clear()
        look(cache.path, heard, repair=True)
        assert {n: c for n, (c, _) in everything(workspace.root).items()} == {n: c for n, (c, _) in before.items()}
        return [label for label, *_ in heard.tracked if label.startswith("Making")]

    assert mended(of_inexact) == ["Making again, 2"]  # From the deepest one that gives the same bytes …
    flip(exact_of_inexact, "hidden")
    heard.tracked.clear()
    delete(of_inexact, "mean")
    look(of_inexact.path, heard, repair=True)  # … and is sound.
    assert heard.tracked[-1][0] == "Making again, 1–2"
    look(exact_of_inexact.path, heard, repair=True)
    assert heard.tracked[-1][0] == "Making again, 1"
    assert {n: c for n, (c, _) in everything(workspace.root).items()} == {n: c for n, (c, _) in before.items()}
    assert mended(inexact) == ["Making again, embeddings, 0"]
    shutil.rmtree(exact_of_inexact.path)
    flip(inexact, "hidden")
    flip(of_inexact, "mean")
    before = everything(workspace.root)
    with pytest.raises(UserError, match=f"computed from the states in the cache {inexact.fingerprint}, which is gone"):
        look(of_inexact.path, repair=True)
    assert everything(workspace.root) == before


def test_states_that_are_less_exact_than_those_it_began_with_are_not_taken(
    cached: Cached, workspace: Workspace, bert: Path, look: Look, heard: Any
) -> None:
    cache = cached("final")
    make(workspace, bert, plm_last_n_unfreeze=1, dtype="float16")
    exact = make(workspace, bert, plm_last_n_unfreeze=2, dtype="float32")
    before = everything(workspace.root)
    for start in ("1–2", "embeddings, 0–2"):
        flip(cache, "last")
        look(cache.path, heard, repair=True)
        assert heard.tracked[-1][0] == f"Making again, {start}"
        shutil.rmtree(exact.path, ignore_errors=True)
        after = everything(workspace.root)
        assert {n: c for n, (c, _) in after.items()} == {n: before[n][0] for n in after}


def change_plm(cache: Cache, workspace: Workspace, make_dataset: Any) -> None:
    config = Path(cache.plm) / "config.json"
    config.write_text(config.read_text().replace("0.02", "0.03"))


def remove_plm(cache: Cache, workspace: Workspace, make_dataset: Any) -> None:
    shutil.rmtree(cache.plm)


def remove_weights(cache: Cache, workspace: Workspace, make_dataset: Any) -> None:
    (Path(cache.plm) / "model.safetensors").unlink()


def change_texts(cache: Cache, workspace: Workspace, make_dataset: Any) -> None:
    shutil.rmtree(workspace.prepared("small"))
    make_dataset(workspace, "small", [f"text {i}" for i in range(300)])


def remove_dataset(cache: Cache, workspace: Workspace, make_dataset: Any) -> None:
    shutil.rmtree(workspace.prepared("small"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (change_plm, "The weights or files of .*moved have changed since"),
        (remove_plm, "moved: there is no such folder"),
        (remove_weights, "moved holds no weights"),
        (change_texts, "Items or texts of data set small have changed since"),
        (remove_dataset, "No data set small is prepared"),
    ],
)
def test_it_is_refused_when_what_it_was_made_from_is_gone(
    change: Any, says: str, encoded: dict[str, Path], workspace: Workspace, bert: Path, look: Look, make_dataset: Any
) -> None:
    plm = shutil.copytree(bert, workspace.root.parent / "moved")
    shutil.copytree(encoded["final"] / "prepared", workspace.root / "prepared")
    cache = make(workspace, plm)
    flip(cache, "mean")
    change(cache, workspace, make_dataset)
    before = everything(workspace.root)
    with pytest.raises(UserError, match=f"The cache {cache.path} cannot be repaired: .*{says}") as caught:
        look(cache.path, repair=True)
    assert "\n" not in caught.value.message
    assert everything(workspace.root) == before


def test_what_is_damaged_beside_the_units_cannot_be_repaired(cached: Cached, look: Look, workspace: Workspace) -> None:
    cache = cached("final")
    put_another_in_its_place(cache)
    before = everything(workspace.root)
    with pytest.raises(UserError, match="holds another cache"):
        look(cache.path.stem, repair=True)
    assert everything(workspace.root) == before
    manifest = cache.path / "zarr.json"
    manifest.write_text("{")
    with pytest.raises(UserError, match="is no cache of plmrs, or a damaged one"):
        look(cache.path.stem, repair=True)


def test_damaged_tables_cannot_be_repaired(cached: Cached, look: Look, workspace: Workspace) -> None:
    cache = cached("final")
    table = cache.path / "text_of_item" / "c" / "0"
    table.write_bytes(table.read_bytes()[:-8])
    flip(cache, "mean")
    before = everything(workspace.root)
    with pytest.raises(UserError, match=r"cannot be repaired: .*tables of texts .* are damaged") as caught:
        look(cache.path, repair=True)
    assert caught.value.remedy.startswith(f"Remove {cache.path} ")
    assert everything(workspace.root) == before


def test_a_cache_in_another_workspace_is_mended_there(cached: Cached, look: Look, tmp_path: Path) -> None:
    cache = cached("final")
    flip(cache, "mean")
    table = look(cache.path, repair=True, verify=True, root=tmp_path / "elsewhere")[0]
    assert table.notes[-2].startswith("Made again: 1 of 3 units")
    assert "recomputed differ by" in table.notes[-1]


def test_two_processes_do_not_mend_at_once(cached: Cached, look: Look) -> None:
    cache = cached("final")
    flip(cache, "mean")
    with lock(cache.path, "encoding small"), pytest.raises(UserError, match="Another plmrs process is encoding small"):
        look(cache.path, repair=True)
    assert len(verify(cache)) == 1


def test_the_command_line(cached: Cached, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    cache = cached("hidden")
    flip(cache, "hidden")
    assert main(["inspect", cache.path.stem, "--repair", "--root", str(workspace.root)]) == 0
    told = capsys.readouterr()
    assert "\nMade again: 1 of 3 units; unit 1 (hidden): its checksum does not fit.\n" in told.out
    assert "Making again, embeddings, 0–1: " in told.err
