"""Where each value comes from: default, environment, preset, configuration file, flag, each over the one before.

The origin is kept beside the value, so that an error names what the user has to change, and an artifact can say how its
settings came about.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from plmrs.config import (
    EvaluateConfig,
    ExportConfig,
    InspectConfig,
    PreinferConfig,
    PrepareConfig,
    RecommendConfig,
    TrainConfig,
    VerbConfig,
)
from plmrs.errors import UserError
from plmrs.plain_yaml import LONGEST, YamlError, read_yaml
from plmrs.section import choices

CONFIGS: dict[str, type[VerbConfig]] = {
    "prepare": PrepareConfig,
    "preinfer": PreinferConfig,
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "recommend": RecommendConfig,
    "export": ExportConfig,
    "inspect": InspectConfig,
}
"""The configuration of each subcommand, in the order they are used."""

_DASHES = str.maketrans("", "", "-_")

PRESETS = Path(__file__).parent / "presets"

SHOWN = 100
"""Characters of a value that an error shows."""

Config = TypeVar("Config", bound=VerbConfig)


def configure(
    kind: type[Config],
    flags: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    preset: str | None = None,
    file: Path | None = None,
) -> Config:
    """Lay the sources over one another and check the result.

    Raises:
        UserError: a file or preset is missing or no mapping, a key is unknown, a value breaks its rule.
    """
    values: dict[str, Any] = {}
    origins = {field: "default" for section in kind.sections().values() for field in section.model_fields}
    sources = [(environment or {}, "environment")]
    if preset is not None:
        sources.append((_read_preset(preset), f"preset {preset}"))
    if file is not None:
        sources.append((_read_file(file), f"file {file}"))
    for given, origin in [*sources, (flags, "flag")]:
        for key, value in given.items():
            if key in origins:
                values[key], origins[key] = value, origin
            else:
                _refuse_unknown(key, origin)
    try:
        return kind.from_flat(values, origins)
    except ValidationError as error:
        raise _broken_rule(error, kind, origins) from None


def fields(kind: type[VerbConfig]) -> dict[str, Any]:
    """All option fields of a verb by name; a name that stands in two sections is one option."""
    return {key: field for section in kind.sections().values() for key, field in section.model_fields.items()}


def flag(key: str) -> str:
    """The flag of an option name: `plm_name` → `--plm-name`."""
    return "--" + key.replace("_", "-")


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """At most three of the known words that `word` may be a slip of, or a part of."""
    # Dashes are alike in all words and would make short ones look alike.
    letters = word.translate(_DASHES)[:SHOWN]
    names = {name.translate(_DASHES): name for name in sorted(known)}
    parts = [name for name in names if len(letters) > 2 and letters in name]
    near = [*get_close_matches(letters, names, 3, 0.7), *parts] or get_close_matches(letters, names, 1)
    return [names[name] for name in dict.fromkeys(near)][:3]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`Did you mean a or b?`, or nothing when no known word is near."""
    near = nearest(word, known)
    return f"Did you mean {' or '.join(near)}?" if near else ""


def preset_names() -> list[str]:
    """The presets that come with plmrs."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def _read_preset(name: str) -> dict[str, Any]:
    names = preset_names()
    if name not in names:
        hint = did_you_mean(name, names)
        raise UserError(f"--preset: there is no preset {name!r}.", f"{hint} There is: {', '.join(names)}.".strip())
    return _read_file(PRESETS / f"{name}.yaml")


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            content = read_yaml(file.read(LONGEST + 1))
    except FileNotFoundError:
        raise UserError(f"--config: {path} does not exist.") from None
    except IsADirectoryError:
        raise UserError(
            f"--config: {path} is a folder.", f"A run keeps its options in {path / 'config.yaml'}."
        ) from None
    except OSError as error:
        raise UserError(f"--config: {_shortened(str(path))} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UserError(f"--config: {path} is no text file.", "It takes a YAML file with a line an option.") from None
    except YamlError as error:
        raise UserError(f"--config: {path} is not valid YAML{error}.") from None
    if not isinstance(content, dict):
        found = "is empty" if content is None else f"holds a {type(content).__name__}, not options"
        raise UserError(f"--config: {path} {found}.", "It takes a line an option, such as `batch_size: 64`.")
    return content


def _refuse_unknown(key: Any, origin: str) -> None:
    known = {name for config in CONFIGS.values() for name in fields(config)}
    if key not in known:
        place = origin.removeprefix("file ")
        aliases = {
            alias.removeprefix("--").replace("-", "_"): name
            for config in CONFIGS.values()
            for name, field in fields(config).items()
            for alias in field.json_schema_extra["aliases"]
        }
        meant = f"Did you mean {aliases[key]}?" if key in aliases else did_you_mean(str(key), known)
        hint = meant or "Keys are the options of `plmrs train --help`, with underscores."
        raise UserError(f"{place}: there is no option {_shortened(repr(str(key)))}.", hint)


def _broken_rule(error: ValidationError, kind: type[VerbConfig], origins: Mapping[str, str]) -> UserError:
    """The first broken rule in one line: where the value was given, the value, the rule."""
    first, *rest = error.errors()
    # A field that takes several kinds of value breaks a rule of each; pydantic then names the kind in the place.
    several = len(first["loc"]) > 1 and isinstance(first["loc"][1], str)
    broken = [first, *(each for each in rest if several and each["loc"][0] == first["loc"][0])]
    rule = " and ".join(_rule(each["type"], each.get("ctx", {}), each["msg"]) for each in broken)
    if not first["loc"]:
        return UserError(f"{rule}.")
    key = str(first["loc"][0])
    field = fields(kind)[key]
    place = _place(key, origins.get(key, "default"), field)
    value = first["input"]
    known = choices(field.annotation)
    hint = did_you_mean(str(value), known) if known else ""
    return UserError(f"{place}: {_shown(value)} {rule}.", hint or f"It sets: {field.description}")


def _place(key: str, origin: str, field: Any) -> str:
    if origin.startswith(("file ", "preset ")):
        return f"{key} in {origin.removeprefix('file ')}"
    if origin == "environment" and isinstance(field.json_schema_extra, dict):
        return str(field.json_schema_extra["env"])
    return flag(key)


def _rule(kind: str, context: Mapping[str, Any], message: str) -> str:
    if kind.startswith("int_"):
        return "is not a whole number"
    if kind.startswith(("float_", "finite_")):
        return "is not a number"
    if kind.startswith("bool_"):
        return "is neither true nor false"
    if kind == "too_short" and not context["actual_length"]:
        return "gives no value"
    rules = {
        "greater_than_equal": "is less than {ge:g}, the least it can be",
        "greater_than": "is not greater than {gt:g}",
        "less_than_equal": "is greater than {le:g}, the most it can be",
        "less_than": "is not less than {lt:g}",
        "literal_error": "is not {expected}",
        "too_short": "gives fewer than {min_length} values",
        "too_long": "gives more than {max_length} values",
        "string_type": "is not text",
        "path_type": "is not a path",
        "tuple_type": "is not a list of values",
    }
    if kind in rules:
        return rules[kind].format(**context)
    return message.removeprefix("Value error, ").rstrip(".")


def _shown(value: Any) -> str:
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return _shortened(repr(value))
    return _shortened(str(value))


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
