"""YAML of options: what stands there as text, and one line for all that YAML could do besides."""

import os
from pathlib import Path

import pytest

from plmrs.cli import main
from plmrs.config import TrainConfig
from plmrs.errors import UserError
from plmrs.model.run import create_run, open_run
from plmrs.plain_yaml import LONGEST, YamlError, read_yaml
from plmrs.workspace import Workspace

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
REFUSED = {
    "!!python/object/apply:os.system ['touch made']": "the kind tag:yaml.org,2002:python/object/apply:os.system",
    "lr: !!python/object/new:subprocess.Popen [[touch, made]]": "the kind tag:yaml.org,2002:python/object/new",
    "lr: !!python/name:os.system": "the kind tag:yaml.org,2002:python/name:os.system",
    LAUGHS: "a reference (*) to another place is not taken",
    "lr: 1\nseed: 2\nlr: 3\n": "at line 3: lr stands twice",
    "lr:\t1\n": "cannot start any token",
    "lr: \x00": "special characters are not allowed",
    "[" * 100_000: "too many values lie within one another",
    "{a: " * 50_000: "too many values lie within one another",
    "lr: !!timestamp x": "the kind",
    "lr: !!bool x": "the kind",
    "lr: !!int ''": "the kind",
    "lr: !!map x": "the kind",
    "? [1]\n: 2": "a key is no text",
    "lr: 1\n---\nlr: 2": "found another document",
    "x: " + "a" * LONGEST: "it has more than 262,144 characters",
}


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_option_is_refused_in_a_line(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "options.yaml").write_text(text)
    assert main(["train", "--config", "options.yaml"]) == 2
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.startswith("Error: --config: options.yaml is not valid YAML")
    assert REFUSED[text] in first
    assert len(first) < 300
    assert len(rest) <= 1
    assert os.listdir(tmp_path) == ["options.yaml"]  # noqa: PTH208


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_a_run_from_elsewhere_is_read_no_other_way(text: str, tmp_path: Path) -> None:
    places = Workspace(tmp_path / "data", tmp_path / "runs")
    create_run(places.run("one"), TrainConfig(), {"dataset": "d"})
    (places.run("one") / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=r"config.yaml is damaged: ") as error:
        open_run(places, "one")
    assert "\n" not in error.value.message
    assert not list(tmp_path.rglob("made"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", "010"),
        ("2024-05-01", "2024-05-01"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("yes", "yes"),
        (".inf", ".inf"),
        ("=", "="),
        ("1e-3", "1e-3"),
        ("~", None),
        ("null", None),
        ("'null'", "null"),
        ("", None),
        ('"a\\tb"', "a\tb"),
        ("[5, 'a b', null]", ["5", "a b", None]),
        ("!!str 5", "5"),
    ],
)
def test_a_value_is_the_text_that_stands_there(text: str, value: object) -> None:
    assert read_yaml(f"key: {text}\n") == {"key": value}


def test_nothing_is_nothing() -> None:
    assert read_yaml("# only this\n") is None
    with pytest.raises(YamlError, match="at line 2: "):
        read_yaml("a: b\n]\n")
