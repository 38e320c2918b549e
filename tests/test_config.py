"""Sections, the spellings their values are read from, and a verb's configuration as one flat mapping."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from plmrs.config import (
    CacheOptions,
    DeviceOptions,
    EvaluateOptions,
    FilterOptions,
    ModelOptions,
    RawOptions,
    SplitOptions,
    TrainConfig,
    TrainerOptions,
    VerbConfig,
    WorkspaceOptions,
)
from plmrs.origins import CONFIGS
from plmrs.section import choices, is_tuple, value_type

VERBS = pytest.mark.parametrize("kind", CONFIGS.values(), ids=CONFIGS)


@VERBS
def test_a_key_stands_once_in_a_verb(kind: type[VerbConfig]) -> None:
    keys = [key for section in kind.sections().values() for key in section.model_fields]
    assert len(keys) == len(set(keys))


@VERBS
def test_every_option_has_one_line_of_help(kind: type[VerbConfig]) -> None:
    for section in kind.sections().values():
        assert section.panel
        for key, field in section.model_fields.items():
            assert field.description, key
            assert "\n" not in field.description
            assert field.description.endswith("."), key


@VERBS
def test_defaults_keep_their_own_rules_and_survive_flattening(kind: type[VerbConfig]) -> None:
    config = kind.from_flat({})
    assert kind.from_flat(config.flat()) == config


def test_workspace_options_come_last() -> None:
    assert list(TrainConfig.sections())[-1] == "workspace"
    assert TrainConfig().workspace.open().root == Path("data")


@pytest.mark.parametrize("spelling", ["0 1 2", "0,1,2", "0, 1, 2", "[0, 1, 2]", [0, 1, 2], (0, 1, 2), ["0", "1", "2"]])
def test_lists_are_read_in_every_spelling(spelling: object) -> None:
    assert DeviceOptions(devices=spelling).devices == (0, 1, 2)


def test_a_single_value_makes_a_list() -> None:
    assert DeviceOptions(devices=2).devices == (2,)
    assert RawOptions(text_fields="title,abstract").text_fields == ("title", "abstract")


@pytest.mark.parametrize("spelling", ["None", "none", "auto", None])
def test_an_optional_field_can_be_unset(spelling: object) -> None:
    assert FilterOptions(max_item_seq_len=spelling).max_item_seq_len is None
    assert DeviceOptions(devices=spelling).devices is None


def test_auto_stays_where_it_is_a_choice() -> None:
    assert DeviceOptions(accelerator="auto").accelerator == "auto"


def test_numbers_from_yaml_are_read_as_the_text_they_were() -> None:
    options = TrainerOptions(precision=32, name=2024, max_epochs="7")
    assert (options.precision, options.name, options.max_epochs) == ("32", "2024", 7)


def test_a_boolean_is_no_number() -> None:
    with pytest.raises(ValidationError):
        TrainerOptions(max_epochs=True)


@pytest.mark.parametrize(("spelling", "value"), [("True", True), ("false", False), (True, True), ("no", False)])
def test_switches(spelling: object, value: bool) -> None:
    assert EvaluateOptions(mask_seen=spelling).mask_seen is value


@pytest.mark.parametrize(
    ("section", "values"),
    [
        (FilterOptions, {"min_item_seq_len": 0}),
        (DeviceOptions, {"devices": "-1"}),
        (DeviceOptions, {"devices": ""}),
        (ModelOptions, {"sasrec_hidden_dropout": 1.0}),
        (ModelOptions, {"similarity": "euclid"}),
        (CacheOptions, {"poolling_method": "mean"}),
        (EvaluateOptions, {"topk_list": "None"}),
        (RawOptions, {"text_columns": "title"}),
        (FilterOptions, {"drop_repeats": "some"}),
        (FilterOptions, {"k_core": 0}),
        (FilterOptions, {"sample_seed": -1}),
        (SplitOptions, {"split": "random"}),
        (SplitOptions, {"split_shares": "0.8,0.2"}),
        (SplitOptions, {"split_shares": "0.8,0.1,0.05,0.05"}),
        (SplitOptions, {"split_times": "2019-11-14"}),
        (WorkspaceOptions, {"root": None}),
    ],
)
def test_broken_rules_are_refused(section: type, values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        section(**values)


def test_heads_divide_the_width() -> None:
    with pytest.raises(ValidationError, match="--sasrec-n-heads 3 does not divide --sasrec-hidden-size 64"):
        ModelOptions(sasrec_n_heads=3)


def test_a_template_is_one_text_whatever_stands_in_it() -> None:
    assert RawOptions(text_template="{title}, {abstract}").text_template == "{title}, {abstract}"


@pytest.mark.parametrize("shares", ["0.8,0.1,0.2", "0.9,0.1,0", "0.9 0.05 0.04"])
def test_shares_make_one_together(shares: str) -> None:
    with pytest.raises(ValidationError, match="are not three shares that make 1 together"):
        SplitOptions(split_shares=shares)
    assert SplitOptions(split_shares="0.6 0.3 0.1").split_shares == (0.6, 0.3, 0.1)


def test_inner_sizes_are_one_fewer_than_layers() -> None:
    assert ModelOptions(projection_n_layers=3, projection_inner_sizes="256 128").projection_inner_sizes == (256, 128)
    with pytest.raises(ValidationError, match="gives 1 widths; 3 layers"):
        ModelOptions(projection_n_layers=3, projection_inner_sizes="256")


def test_sections_are_frozen() -> None:
    with pytest.raises(ValidationError):
        DeviceOptions().accelerator = "cpu"


def test_what_a_field_takes() -> None:
    fields = {**DeviceOptions.model_fields, **FilterOptions.model_fields}
    assert value_type(fields["max_item_seq_len"].annotation) == (int, True)
    assert value_type(fields["min_item_seq_len"].annotation) == (int, False)
    assert is_tuple(fields["devices"].annotation)
    assert not is_tuple(fields["accelerator"].annotation)
    assert choices(fields["accelerator"].annotation) == ("auto", "cpu", "gpu")
    assert choices(fields["devices"].annotation) == ()
