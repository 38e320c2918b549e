"""What an option is: a field of a section, the spellings its value is read from, and sections in a bundle.

A section validates what a command line and a YAML file give, so both speak one dialect: `None` and `auto` for an
optional field, `0 1 2` or `0,1,2` for a tuple, numbers as numbers or as text.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo

LARGEST = 2**63 - 1
"""The largest whole number of any option: what the numbers of a computer hold."""
_ODD = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
BETWEEN_WORDS = "\x1f"
"""What separates the words of an option that takes them as they stand: a character that no id has."""


def option(
    default: Any,
    description: str,
    *aliases: str,
    env: str | None = None,
    bare: str | None = None,
    auto: bool = False,
    words: bool = False,
) -> Any:
    """A field that is an option.

    Args:
        default: Its value when neither the configuration file nor a flag gives one.
        description: Its line of help.
        aliases: Further flags for it, such as `--plm`.
        env: The environment variable that gives its default.
        bare: The value it takes when its flag stands alone.
        auto: Whether `auto` is a value of its own, where it would else mean none.
        words: Whether its values are words of the command line as they stand, spaces and commas in them included.
    """
    extra: dict[str, Any] = {"aliases": list(aliases), "env": env, "bare": bare, "auto": auto, "words": words}
    return Field(default, description=description, json_schema_extra=extra)


class Section(BaseModel):
    """A concern's options; `panel` is the heading they stand under in `--help`."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)
    panel: ClassVar[str]

    @field_validator("*", mode="before")
    @classmethod
    def _not_empty(cls, value: Any) -> Any:
        if isinstance(value, str) and not value.strip():
            raise ValueError("gives no value")
        return value

    @field_validator("*")
    @classmethod
    def _within_bounds(cls, value: Any, about: ValidationInfo) -> Any:
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, int) and each > LARGEST:
                raise ValueError(f"is greater than {LARGEST}, the most it can be")
        # A text of several lines is a text like any other.
        odd_in = str(value).replace("\n", " ") if about.field_name == "text_template" else str(value)
        if isinstance(value, (str, Path)) and (odd := _ODD.search(odd_in)):
            raise ValueError("is not UTF-8" if odd[0] > "\x7f" else "holds a line end or another control character")
        return value

    @model_validator(mode="before")
    @classmethod
    def _read_dialect(cls, values: Any) -> Any:
        fields = cls.model_fields
        return {name: spoken(value, fields[name]) if name in fields else value for name, value in values.items()}


def value_type(annotation: Any) -> tuple[Any, bool]:
    """The type below `Annotated` and `| None`, and whether None is allowed: `Positive | None` → (int, True)."""
    optional = False
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (Union, UnionType):
            members = [member for member in get_args(annotation) if member is not NoneType]
            optional |= len(members) < len(get_args(annotation))
            if len(members) > 1:
                return annotation, optional
            annotation = members[0]
        else:
            return annotation, optional


def is_tuple(annotation: Any) -> bool:
    """Whether the field holds several values."""
    return get_origin(value_type(annotation)[0]) is tuple


def choices(annotation: Any) -> tuple[str, ...]:
    """The values of a Literal field, none for another."""
    kind, _ = value_type(annotation)
    return get_args(kind) if get_origin(kind) is Literal else ()


def spoken(value: Any, field: FieldInfo) -> Any:
    """The value a person means who writes `value` for `field` on a command line or in a YAML file."""
    kind, optional = value_type(field.annotation)
    if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("words") and isinstance(value, str):
        return value.split(BETWEEN_WORDS)
    if optional and isinstance(value, str) and value.strip().lower() in {"none", "auto"}:
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        if value.strip().lower() == "none" or not ("auto" in (*choices(kind), extra.get("bare")) or extra.get("auto")):
            return None
    if get_origin(kind) is tuple:
        if isinstance(value, str):
            # With commas between, spaces are part of a column's name, or of a time.
            between = r"\s*,\s*" if get_args(kind)[0] is str and "," in value else r"[\s,]+"
            value = [part for part in re.split(between, value.strip("[]() ")) if part]
        elif isinstance(value, (int, float)):
            value = [value]
        return [_scalar(part, get_args(kind)[0]) for part in value] if isinstance(value, (list, tuple)) else value
    return _scalar(value, kind)


def _scalar(value: Any, kind: Any) -> Any:
    # YAML types what it reads: `precision: 32` is a number and `name: yes` a boolean, where the field wants text.
    kind, _ = value_type(kind)
    if kind is bool or not isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return value if kind in (int, float) else str(value)


class Bundle(BaseModel):
    """Sections that belong to one command.

    `origins` says where each value came from: default, environment, preset, file or flag.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    origins: Mapping[str, str] = {}

    @classmethod
    def sections(cls) -> dict[str, type[Section]]:
        """The sections by attribute name, in the order `--help` shows them."""
        kinds = {name: field.annotation for name, field in cls.model_fields.items()}
        found = {name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Section)}
        return {name: found[name] for name in sorted(found, key=lambda name: name == "workspace")}

    @classmethod
    def from_flat(cls, values: Mapping[str, Any], origins: Mapping[str, str] | None = None) -> Self:
        """Build the sections from one flat mapping of option names.

        Raises:
            pydantic.ValidationError: a value breaks its rule.
        """
        parts = {
            name: kind(**{key: values[key] for key in kind.model_fields if key in values})
            for name, kind in cls.sections().items()
        }
        return cls(**parts, origins=origins or {})

    def flat(self) -> dict[str, Any]:
        """Every option's effective value, by option name."""
        sections = [getattr(self, name).model_dump(mode="json") for name in self.sections()]
        return {key: value for section in sections for key, value in section.items()}
