"""`plmrs inspect CACHE --verify`: a sound cache is called so, and whatever is not is found and named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
from damages import BEFALLEN, chunk, flip, put_another_in_its_place

from plmrs.cache.integrity import drop_units
from plmrs.cache.layout import Layout
from plmrs.cache.store import Cache
from plmrs.cli import main
from plmrs.errors import UserError
from plmrs.workspace import Workspace

Cached = Callable[[str], Cache]
Look = Callable[..., Any]

KINDS = ["final", "hidden", "both"]


def told(look: Look, what: object, **options: Any) -> str:
    """The line that the details of a cache end with."""
    table = look(what, verify=True, **options)[0]
    return str(table.notes[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_cache_is_called_so_in_one_line_with_counts(kind: str, cached: Cached, look: Look) -> None:
    cache = cached(kind)
    line = told(look, cache.path)
    n_texts, n_tokens = len(cache.texts), int(cache.texts.length.sum())
    assert n_texts == 598
    assert line.startswith(f"Sound: 3 of 3 units are as they were written, 598 texts of {n_tokens:,} tokens. ")
    found = line.partition("tokens. ")[2]
    assert found.endswith("% at most, as rounding does.")
    assert 25 <= int(found.split()[0]) <= 32


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("befallen", BEFALLEN)
def test_damage_is_found_and_named(befallen: str, kind: str, cached: Cached, look: Look) -> None:
    cache, damage = cached(kind), BEFALLEN[befallen]
    array = cache.arrays[-1]
    damage.do(cache, array)
    with pytest.raises(UserError) as caught:
        look(cache.path.stem, verify=True)
    arrays = ", ".join(cache.arrays) if damage.all_arrays else array
    n = {"unit": 1, "units": 2 + (damage.units == "units 0–2")}[damage.units.split()[0]]
    start = f"{n} of 3 units of the cache {cache.path} are damaged: {damage.units} ({arrays}): {damage.reason}"
    assert caught.value.message.startswith(start)
    assert caught.value.remedy == f"`plmrs inspect {cache.path} --repair` makes them again."


def test_all_damage_is_named_and_what_is_alike_together(cached: Cached, look: Look) -> None:
    cache = cached("both")
    flip(cache, "last")
    for array in ("mean", "cls"):
        chunk(cache, array, 0).unlink()
        chunk(cache, array, 2).unlink()
    with pytest.raises(UserError) as caught:
        look(cache.path, verify=True)
    assert caught.value.message.endswith(
        "units 0, 2 (mean, cls): its chunk is missing; unit 1 (last): its checksum does not fit."
    )


def test_another_cache_in_its_place_is_found(cached: Cached, look: Look) -> None:
    cache = cached("final")
    put_another_in_its_place(cache)
    for name in (cache.path, cache.path.stem, cache.fingerprint):
        with pytest.raises(UserError, match=f"{cache.path} holds another cache, .* of someone/other"):
            look(name, verify=True)


def test_damaged_tables_and_manifests_are_found(cached: Cached, look: Look) -> None:
    cache = cached("final")
    drop_units(cache, range(3))  # Even then.
    table = cache.path / "length" / "c" / "0"
    table.write_bytes(b"\x63" + table.read_bytes()[1:])
    with pytest.raises(UserError, match=r"tables of texts in the cache .* are damaged"):
        look(cache.path, verify=True)
    manifest = cache.path / "zarr.json"
    manifest.write_text(manifest.read_text().replace('"tokenized_len": 30', '"tokenized_len": 31'))
    with pytest.raises(UserError, match=r"manifest of the cache .* is damaged: its fingerprint differs"):
        look(cache.path.stem, verify=True)


def test_the_command_line(cached: Cached, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    cache = cached("final")
    line = ["inspect", cache.path.stem, "--verify", "--root", str(workspace.root)]
    assert main(line) == 0
    assert "\nSound: 3 of 3 units" in capsys.readouterr().out
    flip(cache, "cls")
    assert main(line) == 2
    error, remedy = capsys.readouterr().err.splitlines()[-2:]
    assert "damaged: unit 1 (cls): its checksum does not fit." in error
    assert "--repair" in remedy


def test_what_is_not_done_is_no_damage(cached: Cached, look: Look) -> None:
    cache = cached("final")
    drop_units(cache, [1])
    assert told(look, cache.path).startswith("Sound: 2 of 3 units are as they were written")
    drop_units(cache, [0, 2])
    line = "Sound: 0 of 3 units are as they were written, 0 texts of 0 tokens. There is nothing to recompute yet."
    assert told(look, cache.path) == line


@pytest.mark.parametrize("kind", KINDS)
def test_the_sample_reaches_every_unit(kind: str, cached: Cached) -> None:
    from plmrs.inspect.recompute import SAMPLE, draw

    cache = cached(kind)
    drop_units(cache, [1])
    bounds, seen = cache.layout.bounds, []
    for _ in range(20):
        texts = draw(cache)
        units = np.searchsorted(bounds, texts, side="right") - 1
        assert set(units.tolist()) == {0, 2}
        assert len(texts) <= SAMPLE
        assert (np.diff(texts) > 0).all()
        seen.append(tuple(texts.tolist()))
    assert len(set(seen)) > 1


def forge(cache: Cache, array: str, unit: int, share: float) -> None:
    """Change a unit's numbers, and its checksum and mark with them."""
    kinds: dict[str, Any] = {"float16": np.float16, "float32": np.float32, "bfloat16": np.uint16}
    file = chunk(cache, array, unit)
    values = np.frombuffer(file.read_bytes()[:-4], kinds[cache.dtype])
    if cache.dtype == "bfloat16":
        wide = (values.astype(np.uint32) << 16).view(np.float32) * np.float32(1 + share)
        values = (np.nan_to_num(wide).view(np.uint32) >> 16).astype(np.uint16)
    else:
        values = (np.nan_to_num(values) * (1 + share)).astype(values.dtype)
    crc = google_crc32c.value(values.tobytes())
    file.write_bytes(values.tobytes() + crc.to_bytes(4, "little"))
    mark = cache.path / "done" / f"{unit}.json"
    content = json.loads(mark.read_text())
    content["crc32c"][array] = crc
    mark.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("kind", "array", "share"),
    [("final", "mean", 0.01), ("final", "cls", 1.0), ("hidden", "hidden", 0.01), ("both", "hidden", 0.3)],
)
def test_a_forgers_work_is_found_by_the_sample(kind: str, array: str, share: float, cached: Cached, look: Look) -> None:
    cache = cached(kind)
    forge(cache, array, 1, share)
    cache.read_unit(1, array)  # It deceives the checksums.
    with pytest.raises(UserError) as caught:
        look(cache.path, verify=True)
    assert f"{cache.path} does not hold what {cache.plm} gives" in caught.value.message
    assert caught.value.message.endswith("%: unit 1.")
    off = float(caught.value.message.partition("by up to ")[2].partition("%")[0]) / 100
    assert off == pytest.approx(share, rel=0.15)
    assert "Remove" in caught.value.remedy


def test_the_sample_runs_in_pieces_where_memory_is_short(
    cached: Cached, look: Look, heard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from plmrs.plm.checkpoint import find_plm
    from plmrs.preinfer.plan import sizes

    cache = cached("final")
    texts = np.arange(0, 598, 60)
    monkeypatch.setattr("plmrs.inspect.recompute.draw", lambda cache: texts)
    length = cache.texts.length[texts]
    as_one = Layout(np.array([0, 10]), np.array([0, length.sum()]))
    found = sizes(find_plm(cache.plm), "32", length, as_one)
    memory = found.activations + 4 * found.unit + max(found.embeddings, found.block)
    line = told(look, cache.path, progress=heard, max_memory=memory)
    assert "10 texts recomputed differ by" in line
    assert heard.tracked == [("Verifying", 3, 0), ("Recomputing 10 texts", 4, 0)]
    assert told(look, cache.path, max_memory=1000).partition("tokens. ")[2].startswith("No text was recomputed: ")


def test_without_the_plm_it_is_said_that_nothing_was_recomputed(
    encoded: dict[str, Path], workspace: Workspace, bert: Path, look: Look, tmp_path: Path
) -> None:
    from plmrs.cache.find import list_caches
    from plmrs.config import PreinferConfig
    from plmrs.preinfer.command import preinfer
    from plmrs.report import Silent

    plm = shutil.copytree(bert, tmp_path / "moved")
    shutil.copytree(encoded["final"] / "prepared", workspace.root / "prepared")
    preinfer(PreinferConfig.from_flat({"root": workspace.root, "plm_name": str(plm), "precision": "32"}), Silent())
    (cache,) = list_caches(workspace)
    assert "recomputed differ by" in told(look, cache.path)
    config = plm / "config.json"
    config.write_text(config.read_text().replace("0.02", "0.03"))
    sound = "Sound: 3 of 3 units"
    line = told(look, cache.path)
    assert line.startswith(sound)
    assert line.endswith(f"No text was recomputed: The weights or files of {plm} have changed since.")
    shutil.rmtree(plm)
    assert told(look, cache.path).endswith(f"No text was recomputed: {plm}: there is no such folder.")
    shutil.rmtree(workspace.prepared("small"))
    line = told(look, cache.path)
    assert line.startswith(sound)
    assert "No text was recomputed: No data set small is prepared" in line


def test_a_cache_in_a_store_is_verified_too(cached: Cached, look: Look) -> None:
    cache = cached("hidden")
    place = f"file://{cache.path}"
    line = told(look, place)
    assert line.startswith("Sound: 3 of 3 units")
    assert "recomputed differ by" in line
    flip(cache, "hidden")
    with pytest.raises(UserError, match=r"1 of 3 units of the cache file://.* are damaged: unit 1") as caught:
        look(place, verify=True)
    assert caught.value.remedy == "Copy it there again."
    with pytest.raises(UserError, match=f"{place} is read only"):
        look(place, repair=True)


def test_changed_texts_are_not_compared(cached: Cached, look: Look, workspace: Workspace, make_dataset: Any) -> None:
    cache = cached("final")
    shutil.rmtree(workspace.prepared("small"))
    make_dataset(workspace, "small", [f"text {i}" for i in range(300)])
    assert told(look, cache.path).endswith(
        "No text was recomputed: Items or texts of data set small have changed since."
    )


def test_only_data_sets_and_caches_are_verified(look: Look, bert: Path) -> None:
    with pytest.raises(UserError, match=r"--verify is for data sets and caches; .* is a language model"):
        look(bert, verify=True)
