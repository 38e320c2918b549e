"""The dialect: every spelling of a command line and a YAML file, and what each mistake is answered with."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from plmrs import origins
from plmrs.cli import app
from plmrs.config import TrainConfig
from plmrs.errors import UserError
from plmrs.options import CONFIG, VerbCommand, one_spelling, options_of
from plmrs.origins import CONFIGS, configure, did_you_mean, flag, nearest

Parse = Callable[[str], Any]


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Parse:
    """The configuration that a command line gives, such as `train --plm minilm`."""
    monkeypatch.delenv("PLMRS_ROOT", raising=False)

    def run(line: str) -> Any:
        got: list[Any] = []

        def verb(*given: Any) -> list[Any]:
            got.extend(given[:-1])
            return []

        name = shlex.split(line)[0]
        monkeypatch.setitem(sys.modules, f"plmrs.{name}.command", SimpleNamespace(**{name: verb}))
        console = SimpleNamespace(show=lambda tables: None)
        typer.main.get_command(app).main(shlex.split(line), "plmrs", standalone_mode=False, obj=console)
        return got[-1]

    return run


@pytest.fixture
def yaml_file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "options.yaml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("verb", CONFIGS)
def test_one_field_is_one_flag(verb: str) -> None:
    kind = CONFIGS[verb]
    options = options_of(kind)
    for section in kind.sections().values():
        for key, field in section.model_fields.items():
            assert options[key].flags[0] == flag(key)
            assert (options[key].help, options[key].panel) == (field.description, section.panel)
    flags = [name for option in options.values() for name in option.flags]
    assert len(flags) == len(set(flags))


def test_every_subcommand_takes_its_options() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert list(commands) == list(CONFIGS)
    assert all(isinstance(command, VerbCommand) for command in commands.values())
    assert CONFIG


@pytest.mark.parametrize(
    ("arguments", "spelling"),
    [
        ("--sasrec_seq_len 50", "--sasrec-seq-len=50"),
        ("--plm facebook/opt-1.3b", "--plm-name=facebook/opt-1.3b"),
        ("--devices 0 1 2 --lr 1", "--devices=0 1 2|--lr=1"),
        ("--devices '0 1 2'", "--devices=0 1 2"),
        ("--devices=0,1", "--devices=0,1"),
        ("--devices 0, 1", "--devices=0, 1"),
        ("--devices 0 1 name", "--devices=0 1|name"),
        ("--devices=0 1", "--devices=0|1"),
        ("--devices None 3", "--devices=None|3"),
        ("--mask-seen", "--mask-seen"),
        ("--mask_seen False name", "--no-mask-seen|name"),
        ("--mask-seen true", "--mask-seen"),
        ("--mask-seen=0", "--no-mask-seen"),
        ("--mask-seen 0", "--mask-seen|0"),
        ("--mask-seen n", "--mask-seen|n"),
        ("--mask-seen=n --use-prompt=Y", "--no-mask-seen|--use-prompt"),
        ("--no_mask_seen", "--no-mask-seen"),
        ("--resume", "--resume=last"),
        ("--resume --lr 1", "--resume=last|--lr=1"),
        ("--resume first", "--resume=first"),
        ("--lr -1e-3", "--lr=-1e-3"),
        ("--name=--odd", "--name=--odd"),
        ("--name= x", "--name=|x"),
        ("a -- --b", "a|--|--b"),
        ("--help", "--help"),
        ("-", "-"),
    ],
)
def test_arguments_get_one_spelling(arguments: str, spelling: str) -> None:
    got = one_spelling(shlex.split(arguments), options_of(TrainConfig), "plmrs train")
    assert "|".join(got) == spelling


def test_flags_become_values_with_their_origin(parse: Parse) -> None:
    config = parse("train --devices 0 1 --mask_seen False --topk_list 1 3 --whitening None --plm minilm")
    assert config.device.devices == (0, 1)
    assert config.protocol.mask_seen is False
    assert config.protocol.topk_list == (1, 3)
    assert config.model.whitening == "none"
    assert config.plm.plm_name == "minilm"
    assert config.origins["devices"] == config.origins["whitening"] == "flag"
    assert config.origins["lr"] == "default"


def test_the_raw_tables_are_named_in_every_spelling(parse: Parse) -> None:
    for flags in ("--text-fields title,abstract", "--text_columns title,abstract", "--text-columns 'title abstract'"):
        assert parse(f"prepare mine {flags}").raw.text_fields == ("title", "abstract")
    # With commas between, a space is part of a name or of a time.
    spaced = parse(
        "prepare mine --text-fields 'Name of it, About it' --split-times '2024-01-01 06:00,2024-01-02 06:00'"
    )
    assert spaced.raw.text_fields == ("Name of it", "About it")
    assert spaced.splits.split_times == ("2024-01-01 06:00", "2024-01-02 06:00")
    config = parse(
        "prepare hm --name hm-5 --text_template '{title}, {abstract}' --split ratio --split-shares 0.6,0.2,0.2"
    )
    assert (config.raw.name, config.raw.text_template) == ("hm-5", "{title}, {abstract}")
    assert (config.splits.split, config.splits.split_shares) == ("ratio", (0.6, 0.2, 0.2))
    assert parse("prepare hm --split-times 2020-09-08,2020-09-15").splits.split_times == ("2020-09-08", "2020-09-15")
    assert parse("prepare hm --k_core 5 --drop_repeats all").filters.model_dump(include={"k_core", "drop_repeats"}) == {
        "k_core": 5,
        "drop_repeats": "all",
    }


def test_a_flag_that_repeats_the_default_is_a_flag(parse: Parse) -> None:
    assert parse("train --batch-size 64").origins["batch_size"] == "flag"
    assert parse("train --mask-seen").origins["mask_seen"] == "flag"


def test_of_a_repeated_flag_the_last_counts(parse: Parse) -> None:
    assert parse("train --lr 1 --lr 2").optimiser.lr == 2


def test_sources_lie_over_one_another(
    parse: Parse, yaml_file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "small.yaml").write_text("lr: 0.1\nseed: 1\nbatch_size: 8\nroot: from_preset\n")
    monkeypatch.setattr(origins, "PRESETS", tmp_path / "presets")
    path = yaml_file("seed: 2\nbatch_size: 9\n")
    monkeypatch.setenv("PLMRS_ROOT", "from_environment")
    monkeypatch.setenv("PLMRS_RUNS", "runs_there")
    config = parse(f"train --preset small --config {path} --batch-size 10")
    assert (config.optimiser.lr, config.trainer.seed, config.trainer.batch_size) == (0.1, 2, 10)
    assert (config.workspace.root, config.workspace.runs) == (Path("from_preset"), Path("runs_there"))
    found = [config.origins[key] for key in ("lr", "seed", "batch_size", "runs", "max_epochs")]
    assert found == ["preset small", f"file {path}", "flag", "environment", "default"]


def test_an_empty_environment_variable_counts_as_unset(parse: Parse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLMRS_ROOT", "")
    assert parse("inspect").workspace.root == Path("data")


def test_the_saved_options_of_a_run_serve_another_verb(parse: Parse, yaml_file: Callable[[str], Path]) -> None:
    import yaml

    path = yaml_file(yaml.safe_dump(TrainConfig.from_flat({"topk_list": "7", "lr": 0.5}).flat()))
    assert parse(f"evaluate RUN --config {path}").protocol.topk_list == (7,)
    assert parse(f"train --config {path}").optimiser.lr == 0.5


def test_yaml_types_do_not_matter(parse: Parse, yaml_file: Callable[[str], Path]) -> None:
    path = yaml_file("precision: 32\ndevices: 1\ntopk_list: 5 10\nlr: 1e-3\nmask_seen: no\nwhitening: null\nname: 7\n")
    config = parse(f"train --config {path}")
    assert (config.trainer.precision, config.device.devices, config.protocol.topk_list) == ("32", (1,), (5, 10))
    assert (config.optimiser.lr, config.protocol.mask_seen, config.trainer.name) == (1e-3, False, "7")


@pytest.mark.parametrize(
    ("line", "message", "remedy"),
    [
        ("train --sasrec-seq-len x", "--sasrec-seq-len: 'x' is not a whole number.", "It sets: Items SASRec sees."),
        ("train --sasrec_seq_len 2.5", "--sasrec-seq-len: 2.5 is not a whole number.", ""),
        ("train --batch-size 0", "--batch-size: 0 is less than 1, the least it can be.", ""),
        ("train --lr fast", "--lr: 'fast' is not a number.", ""),
        ("train --lr -1", "--lr: -1 is not greater than 0.", ""),
        ("train --sasrec-hidden-dropout 1", "--sasrec-hidden-dropout: 1 is not less than 1.", ""),
        ("train --devices 0 -1", "--devices: -1 is less than 0, the least it can be.", ""),
        ("train --devices gpu", "--devices: 'gpu' is not a whole number.", ""),
        ("train --devices ''", "--devices: [] gives no value.", ""),
        ("train --input-type txt", "--input-type: 'txt' is not 'text', 'id' or 'text+id'.", "Did you mean text?"),
        ("train --mask-seen=maybe", "--mask-seen: 'maybe' is neither true nor false.", ""),
        ("train --no-mask-seen=True", "--no-mask-seen takes no value.", "--mask-seen False"),
        ("train --sasrec-n-heads 3", "--sasrec-n-heads 3 does not divide --sasrec-hidden-size 64.", ""),
        ("train --lr", "--lr needs a value.", "Learning rate"),
        ("train --whitening x", "--whitening: 'x' is not 'none' and is not a whole number.", "whitened to"),
        ("train --name --lr 1", "--name needs a value.", ""),
        ("train --sasrec-seqlen 5", "plmrs train has no option --sasrec-seqlen.", "Did you mean --sasrec-seq-len"),
        ("train --layers 5", "plmrs train has no option --layers.", "--sasrec-n-layers"),
        ("train --zzzz", "plmrs train has no option --zzzz.", "`plmrs train --help`"),
        ("train -devices 0", "plmrs train has no option -devices.", "Did you mean --devices"),
        ("evaluate RUN --plm x", "plmrs evaluate has no option --plm.", "option of plmrs preinfer and plmrs train."),
        (
            "prepare x --split-shares 0.8,0.2",
            "--split-shares: ['0.8', '0.2'] gives fewer than 3 values.",
            "for training",
        ),
        (
            "prepare x --split-shares .7,.1,.1,.1",
            "--split-shares: ['.7', '.1', '.1', '.1'] gives more than 3 values.",
            "for training",
        ),
        ("prepare x --split-times 5", "--split-times: ['5'] gives fewer than 2 values.", "validation and test begin"),
        ("prepare x --split-times ''", "--split-times: [] gives no value.", ""),
        ("prepare x --k-core 0", "--k-core: 0 is less than 1, the least it can be.", ""),
        ("prepare x --drop-repeats al", "--drop-repeats: 'al' is not 'none', 'consecutive' or 'all'.", "mean all?"),
        ("prepare x --text-field t", "plmrs prepare has no option --text-field.", "Did you mean --text-fields"),
        ("prepare x --abstracts", "plmrs prepare has no option --abstracts.", ""),
        ("prepare --preset x", "plmrs prepare has no option --preset.", "It is an option of plmrs train."),
        ("train --config absent.yaml", "--config: absent.yaml does not exist.", ""),
    ],
)
def test_a_mistake_is_named(parse: Parse, line: str, message: str, remedy: str) -> None:
    with pytest.raises(UserError) as error:
        parse(line)
    assert error.value.message == message
    assert remedy in error.value.remedy


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("sasrec_seq_len: x", "sasrec_seq_len in {path}: 'x' is not a whole number.", ""),
        ("sasrec_seqlen: 5", "{path}: there is no option 'sasrec_seqlen'.", "Did you mean sasrec_seq_len"),
        ("plm: x", "{path}: there is no option 'plm'.", "Did you mean plm_name?"),
        ("model:\n  lr: 1", "{path}: there is no option 'model'.", ""),
        ("5: 5", "{path}: there is no option '5'.", ""),
        ("", "--config: {path} is empty.", ""),
        ("- lr", "--config: {path} holds a list, not options.", ""),
        ("lr: [1", "--config: {path} is not valid YAML at line 1: ", ""),
        ("batch_size: null", "batch_size in {path}: None is not a whole number.", ""),
        ("batch_size: yes", "batch_size in {path}: 'yes' is not a whole number.", ""),
        ("topk_list: {a: 1}", "topk_list in {path}: {'a': '1'} is not a list of values.", ""),
    ],
)
def test_a_mistake_in_a_file_names_the_file(
    parse: Parse, yaml_file: Callable[[str], Path], text: str, message: str, remedy: str
) -> None:
    path = yaml_file(text)
    with pytest.raises(UserError) as error:
        parse(f"train --config {path}")
    assert error.value.message.startswith(message.replace("{path}", str(path)))
    assert remedy in error.value.remedy


def test_a_config_that_is_no_text_file(parse: Parse, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is no text file"):
        parse(f"train --config {tmp_path / 'x'}")
    with pytest.raises(UserError, match="is a folder"):
        parse(f"train --config {tmp_path}")


def test_an_unknown_preset_is_answered_with_those_there_are(
    parse: Parse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "goodbooks.yaml").write_text("lr: 1\n")
    monkeypatch.setattr(origins, "PRESETS", tmp_path)
    assert "goodbooks" in options_of(TrainConfig)["preset"].help
    with pytest.raises(UserError) as error:
        parse("train --preset goodbook")
    assert error.value.message == "--preset: there is no preset 'goodbook'."
    assert error.value.remedy == "Did you mean goodbooks? There is: goodbooks."


@pytest.mark.parametrize("name", origins.preset_names())
def test_presets_keep_the_rules(name: str) -> None:
    configure(TrainConfig, {}, preset=name)


def test_a_broken_environment_variable_is_named() -> None:
    with pytest.raises(UserError, match="PLMRS_ROOT: b'5' is not a path"):
        configure(CONFIGS["inspect"], {}, {"root": b"5"})  # type: ignore[dict-item]


def test_near_words() -> None:
    assert nearest("trian", ["train", "prepare"]) == ["train"]
    assert nearest("--hidden-size", ["--sasrec-hidden-size", "--lr"]) == ["--sasrec-hidden-size"]
    assert did_you_mean("qqqq", ["train"]) == ""
