"""Command lines, files and environments of any kind: a configuration that comes back the same, or one line."""

import contextlib
import io
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from damaged import DEEP, FAST
from hypothesis import given
from hypothesis import strategies as st

from plmrs.cli import main
from plmrs.config import TrainConfig, VerbConfig
from plmrs.model.run import create_run, open_run
from plmrs.options import options_of
from plmrs.origins import CONFIGS
from plmrs.workspace import Workspace

ODD = [
    "", "0", "1", "-1", "NaN", "nan", "inf", "-inf", "1e400", "1e308", "9" * 30, "9223372036854775808", "0x10", "1_0",
    "٣", "½", "true", "True", "None", "none", "auto", "last", "-", "--", "--x", "=", "a=b", "../../x", "/", "a\nb",
    "\x1b[2J", "[/red]", "\udcff", "é", "x" * 5000, "0,1", "0 1", "[0,1]", "{a}", "{", "1.5", "1e3", "+5", " 5 ", "\t",
    "\u202e", "yes", "no", "512MiB", "-5MiB", "1e30GiB", "wandb", "0.8,0.1,0.1", ",", "-h", "--help", "\x1f", "32",
]  # fmt: skip
VALUES = st.one_of(st.sampled_from(ODD), st.text(st.characters(exclude_characters="\0"), max_size=12))


def flags_of(verb: str) -> list[str]:
    found = [flag for option in options_of(CONFIGS[verb]).values() for flag in option.flags]
    return [*found, *(f"--no-{flag[2:]}" for flag in found[:5]), *(flag.replace("-", "_") for flag in found), "--typo"]


@st.composite
def lines(draw: Any) -> list[str]:
    verb = draw(st.sampled_from(sorted(CONFIGS)))
    line = [verb]
    for flag in draw(st.lists(st.sampled_from(flags_of(verb)), max_size=4)):
        given_so = draw(st.booleans())
        line += [f"{flag}={draw(VALUES)}"] if given_so else [flag, *draw(st.lists(VALUES, max_size=2))]
    return line


def called(line: list[str], environment: dict[str, str] | None = None) -> tuple[int, VerbConfig | None, str]:
    """The exit code of a command line, the configuration its verb was given, and what it said on standard error."""
    got: list[Any] = []

    def verb(*given_to: Any) -> list[Any]:
        got.append(given_to[-2])
        return []

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        for name, value in {"PLMRS_ROOT": "", "PLMRS_RUNS": "", **(environment or {})}.items():
            patch.setenv(name, value) if value else patch.delenv(name, raising=False)
        patch.setitem(sys.modules, f"plmrs.{line[0]}.command", SimpleNamespace(**{line[0]: verb}))
        with contextlib.redirect_stderr(io.StringIO()) as error:
            code = main(line)
    return code, got[0] if got else None, error.getvalue()


def check(line: list[str]) -> None:
    code, config, said = called(line)
    if config is not None:
        assert code == 0
        assert type(config).from_flat(config.flat()) == type(config).from_flat(
            config.flat(), config.origins
        ).model_copy(update={"origins": {}})
        return
    if code == 0:
        assert "--help" in line
        return
    assert code == 2
    first, *remedy = said.rstrip("\n").split("\n")
    assert first.startswith("Error: ")
    assert len(remedy) <= 1
    assert all(character.isprintable() or ord(character) > 0x9F for character in first)


test_any_command_line = FAST(given(lines())(check))
test_any_command_line_deep = pytest.mark.slow(pytest.mark.timeout(7200)(DEEP(given(lines())(check))))

FIELDS = sorted({key for section in TrainConfig.sections().values() for key in section.model_fields})


def round_trip(values: dict[str, str]) -> None:
    """What flags give, a YAML file gives as well; and a run's config.yaml gives it once more."""
    line = ["train", *(f"--{key.replace('_', '-')}={value}" for key, value in values.items())]
    code, config, said = called(line)
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "options.yaml"
        file.write_text(yaml.safe_dump(values, allow_unicode=True), "utf-8")
        file_code, from_file, file_said = called(["train", f"--config={file}"])
        assert code == file_code, (said, file_said)
        if not isinstance(config, TrainConfig):
            return
        assert from_file is not None
        assert config.flat() == from_file.flat()
        workspace = Workspace(Path(place) / "data", Path(place) / "runs")
        create_run(workspace.run("one"), config, {"dataset": "d"})
        assert open_run(workspace, "one").config == config
        again_code, again, again_said = called(["train", "--config", str(workspace.run("one") / "config.yaml")])
        assert again_code == 0, again_said
        assert again is not None
        assert again.flat() == config.flat()


# A switch is true by its flag alone, whatever else YAML may say; words and files are of the command line.
SETTINGS = st.dictionaries(st.sampled_from(FIELDS), VALUES.filter(lambda text: "\x1f" not in text), max_size=3)
RUNS = SETTINGS.filter(lambda values: all(text.isprintable() for text in values.values()))

test_flags_and_files_agree = FAST(given(RUNS)(round_trip))
test_flags_and_files_agree_deep = pytest.mark.slow(pytest.mark.timeout(7200)(DEEP(given(RUNS)(round_trip))))


@pytest.mark.parametrize("value", ["nan", "NaN", "inf", "-inf", "1e400", "9" * 30, "-1", "", " ", "٣", "true"])
@pytest.mark.parametrize("flag", ["--lr", "--weight-decay", "--batch-size", "--seed", "--devices", "--topk-list"])
def test_numbers_that_are_none(flag: str, value: str) -> None:
    code, config, said = called(["train", f"{flag}={value}"])
    if config is None:
        assert code == 2
        assert flag in said
    else:
        assert flag in {"--lr", "--weight-decay"}
        assert value == "9" * 30


@pytest.mark.parametrize("name", ["../../x", "/x", "..", ".", "a/b", "a\\b", "-x", "x" * 300, "数" * 80, "x.partial-1"])
def test_names_that_lead_out_of_the_workspace(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for line in (["train", f"--name={name}"], ["prepare", "demo", f"--name={name}"]):
        code, config, said = called(line)
        assert (code, config) == (2, None)
        assert "cannot be the name of a folder" in said
    (tmp_path / "options.yaml").write_text(yaml.safe_dump({"name": name}, allow_unicode=True), "utf-8")
    assert called(["train", "--config=options.yaml"])[0] == 2
    assert main(["prepare", "--", name]) == 2
    assert [path.name for path in tmp_path.rglob("*")] == ["options.yaml"]


def test_the_environment_is_read_as_flags_are(tmp_path: Path) -> None:
    for value in ("a\nb", "\udcff", " "):
        code, _, said = called(["train"], {"PLMRS_ROOT": value})
        assert code == 2
        assert said.startswith("Error: PLMRS_ROOT: ")
