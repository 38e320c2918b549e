"""What another version of plmrs wrote: refused in a line that says what to do, or made again, as it says."""

import json
from pathlib import Path

import pytest
from pyarrow import feather
from scenes import CACHE
from told import Run, told_in_one_line

VERSIONS = pytest.mark.parametrize("version", [1, 99], ids=["older", "newer"])


def set_format(path: Path, version: int, *keys: str) -> None:
    """Give a JSON file another version, which lies below some keys."""
    content = json.loads(path.read_text())
    part = content
    for key in keys:
        part = part[key]
    part["format"] = version if part["format"] != version else 0
    path.write_text(json.dumps(content))


def check_refused(run: Run, line: str, path: str, version: int, remedy: str) -> None:
    code, said = run(line)
    assert code == 2, (line, said)
    told = told_in_one_line(said)
    assert path in told
    assert "format" in told
    assert remedy in told.lower()
    assert ("Update plmrs" in told) == (version == 99), told


def check_listed(run: Run, words: str) -> None:
    code, said = run("inspect")
    assert code == 0
    assert words in said


@VERSIONS
@pytest.mark.parametrize(
    ("manifest", "within", "remedy", "lines"),
    [
        (
            "data/prepared/shop/manifest.json", [], "plmrs prepare shop",
            ["preinfer --plm bert", "train --input-type id", "evaluate one", "recommend one", "inspect shop"],
        ),
        (
            "data/cache/shop/*/*.zarr/zarr.json", ["attributes"], "plmrs preinfer",
            [CACHE, "train --plm bert --cache {name}", "evaluate two", "recommend two", "inspect {name}"],
        ),
        (
            "runs/one/manifest.json", [], "train it again",
            ["train --resume one", "evaluate one", "recommend one", "export one", "inspect one"],
        ),
    ],
    ids=["data set", "cache", "run"],
)  # fmt: skip
def test_it_is_refused_and_listed(
    place: Path, run: Run, version: int, manifest: str, within: list[str], remedy: str, lines: list[str]
) -> None:
    (path,) = place.glob(manifest)
    name = str(path.parent.relative_to(place))
    set_format(path, version, *within)
    for line in lines:
        check_refused(run, line.format(name=name), name, version, remedy)
    check_listed(run, f"{name} has format")


@VERSIONS
def test_tokens(place: Path, run: Run, version: int) -> None:
    (path,) = place.glob("data/prepared/shop/tokens/*.feather")
    table = feather.read_table(path)
    usual = path.read_bytes()
    metadata = {**table.schema.metadata, b"format": str(version if version > 1 else 0).encode()}
    feather.write_feather(table.replace_schema_metadata(metadata), str(path), compression="uncompressed")
    code, said = run(f"{CACHE} --keep-tokens")
    assert code == 0, said
    assert f"Not used is {path.relative_to(place)}: another version of plmrs made it. It is replaced." in said
    assert path.read_bytes() == usual


@VERSIONS
def test_test_metrics(place: Path, run: Run, version: int) -> None:
    path = place / "runs/one/test_metrics.json"
    path.write_text(json.dumps({"format": version, "groups": [{"of": "another version"}]}))
    for line in ("inspect one", "inspect one two", "inspect"):
        code, said = run(line)
        assert code == 0, (line, said)
        assert line == "inspect" or "another version" in said
    code, said = run("train --resume one --max-epochs 1")  # it writes the model card
    assert code == 0, said
    code, said = run("evaluate one")
    assert code == 0, said
    assert json.loads(path.read_text())["format"] == 2
