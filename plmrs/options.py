"""The command line's dialect: the fields of a verb's configuration as options.

A command's options are made when that command is called, not when the program starts: `plmrs --help` needs no
configuration, and pydantic is half of its time. The arguments are brought into one spelling (`--devices=0 1`) before
Typer parses them, so that Typer needs no knowledge of the dialect.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer
from typer.core import TyperCommand

from plmrs.errors import UserError

if TYPE_CHECKING:
    from plmrs.config import VerbConfig

CONFIG = "plmrs.config"
"""Where a command's context keeps its configuration, in `context.meta`."""

_NUMBERS = re.compile(r"-?[\d,]+")
_OPTION = re.compile(r"--?[A-Za-z_]")
_TRUE, _FALSE = {"true", "yes", "on", "t", "y", "1"}, {"false", "no", "off", "f", "n", "0"}


@dataclass(frozen=True)
class Option:
    """A configuration field as the command line shows it; `default` is spelled as a user would write it."""

    key: str
    flags: tuple[str, ...]
    kind: Literal["value", "numbers", "words", "switch"]
    metavar: str
    help: str
    panel: str | None = None
    default: str | None = None
    env: str | None = None
    bare: str | None = None


def options_of(kind: "type[VerbConfig]") -> dict[str, Option]:
    """The options of a verb by key: one a field, and `--config` and `--preset`."""
    from plmrs.origins import preset_names

    found = {"config": Option("config", ("--config",), "value", "FILE", "YAML file of options; flags go over it.")}
    if kind.presets:
        names = ", ".join(preset_names()) or "there is none"
        found["preset"] = Option("preset", ("--preset",), "value", "NAME", f"Named options below --config: {names}.")
    for section in kind.sections().values():
        for key, field in section.model_fields.items():
            found.setdefault(key, _option(key, field, section.panel))
    return found


def _option(key: str, field: Any, panel: str) -> Option:
    from plmrs.origins import flag
    from plmrs.section import choices, is_tuple, value_type

    extra = field.json_schema_extra
    core, _ = value_type(field.annotation)
    several = is_tuple(field.annotation)
    member, _ = value_type(get_args(core)[0] if several else core)
    names = {int: "INT", float: "FLOAT", Path: "PATH"}
    metavar = "|".join(map(str, choices(field.annotation))) or names.get(member, "TEXT")
    words = several and extra["words"]
    if several:
        metavar += " ..." if member is int or words else ",..."
    default = field.default
    if isinstance(default, tuple):
        default = " ".join(map(str, default))
    return Option(
        key,
        (flag(key), *extra["aliases"]),
        "switch" if core is bool else "words" if words else "numbers" if several and member is int else "value",
        f"[{metavar}]" if extra["bare"] else metavar,
        field.description,
        panel,
        None if default is None else str(default),
        extra["env"],
        extra["bare"],
    )


class VerbCommand(TyperCommand):
    """A subcommand that takes the options of `CONFIGS[its name]` besides its function's own parameters."""

    @cached_property
    def config(self) -> "type[VerbConfig]":
        """The configuration class of this command."""
        from plmrs.origins import CONFIGS

        return CONFIGS[str(self.name)]

    @cached_property
    def options(self) -> dict[str, Option]:
        """The options of this command by key."""
        return options_of(self.config)

    @cached_property
    def _parameters(self) -> list[Any]:
        return _typer_parameters(self.options)

    def get_params(self, ctx: Any) -> list[Any]:
        """The function's own parameters, then the options."""
        *own, help_option = super().get_params(ctx)
        return [*own, help_option, *self._parameters]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse arguments in any accepted spelling.

        Raises:
            UserError: see `one_spelling`.
        """
        return super().parse_args(ctx, list(one_spelling(args, self.options, ctx.command_path)))

    def invoke(self, ctx: Any) -> Any:
        """Make the configuration, then call the function.

        Raises:
            UserError: see `plmrs.origins.configure`.
        """
        from plmrs.origins import configure

        sources: dict[str, dict[str, Any]] = {"COMMANDLINE": {}, "ENVIRONMENT": {}}
        for key in self.options:
            value = ctx.params.pop(key)
            sources.get(ctx.get_parameter_source(key).name, {})[key] = value
        flags = sources["COMMANDLINE"]
        file, preset = flags.pop("config", None), flags.pop("preset", None)
        ctx.meta[CONFIG] = configure(self.config, flags, sources["ENVIRONMENT"], preset, Path(file) if file else None)
        return super().invoke(ctx)


def _typer_parameters(options: Mapping[str, Option]) -> list[Any]:
    """Typer's own option objects, made by giving Typer a function of that signature."""
    parameters = []
    for option in options.values():
        annotation, default, flags = (str | None), option.default, list(option.flags)
        if option.kind == "switch":
            annotation, default = bool, option.default == "True"  # type: ignore[assignment]
            flags[0] += f"/--no-{flags[0].removeprefix('--')}"
        info = typer.Option(
            *flags,
            help=option.help,
            metavar=None if option.kind == "switch" else option.metavar,
            rich_help_panel=option.panel,
            envvar=option.env,
            show_envvar=option.env is not None,
        )
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter(option.key, kind, default=default, annotation=Annotated[annotation, info]))

    def takes_options() -> None:
        return None

    takes_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    app = typer.Typer(add_completion=False)
    app.command()(takes_options)
    return list(typer.main.get_command(app).params)


def one_spelling(arguments: list[str], options: Mapping[str, Option], command: str) -> Iterator[str]:
    """Arguments as `--flag=value`, `--switch`, `--no-switch` and positional ones.

    `--devices 0 1 --use_prompt True --resume` → `--devices=0 1`, `--use-prompt`, `--resume=last`.

    Raises:
        UserError: an option is unknown, lacks its value, or is a switch with a value that is neither true nor false.
    """
    by_flag = {name: option for option in options.values() for name in option.flags}
    negated = {f"--no-{name[2:]}": name for name, option in by_flag.items() if option.kind == "switch"}
    rest = list(arguments)
    while rest:
        token = rest.pop(0)
        name, equals, value = token.partition("=")
        name = name.replace("_", "-")
        if token == "--":
            yield from [token, *rest]
            return
        if not token.startswith("-") or token in {"-", "--help"}:
            yield token
        elif name in negated:
            if equals:
                raise UserError(f"{name} takes no value.", f"Write {negated[name]} True or {negated[name]} False.")
            yield f"--no-{by_flag[negated[name]].flags[0][2:]}"
        elif name in by_flag:
            yield _spelled(by_flag[name], name, value if equals else None, rest)
        else:
            raise _unknown(name, by_flag.keys() | negated.keys(), command)


def _spelled(option: Option, name: str, value: str | None, rest: list[str]) -> str:
    """One option in its one spelling; without `value`, its values are taken off the front of `rest`."""
    following = rest[0] if rest and not _OPTION.match(rest[0]) else None
    if option.kind == "switch":
        if value is None:
            # A lone 0 or y may be the name of a run, a word such as True hardly.
            spelled_out = following is not None and len(following) > 1 and following.lower() in _TRUE | _FALSE
            value = rest.pop(0) if spelled_out else "true"
        if value.lower() not in _TRUE | _FALSE:
            raise UserError(f"{name}: {value!r} is neither true nor false.")
        return option.flags[0] if value.lower() in _TRUE else f"--no-{option.flags[0][2:]}"
    if value is None:
        if following is None and option.bare is None:
            raise UserError(f"{name} needs a value.", f"It sets: {option.help}")
        value = str(option.bare) if following is None else rest.pop(0)
        if option.kind == "numbers" and _NUMBERS.fullmatch(value):
            while rest and _NUMBERS.fullmatch(rest[0]):
                value += f" {rest.pop(0)}"
        elif option.kind == "words":
            from plmrs.section import BETWEEN_WORDS

            while rest and not _OPTION.match(rest[0]):
                value += BETWEEN_WORDS + rest.pop(0)
    return f"{option.flags[0]}={value}"


def _unknown(name: str, known: "set[str]", command: str) -> UserError:
    from plmrs.origins import CONFIGS, did_you_mean

    flags = {verb: [flag for o in options_of(kind).values() for flag in o.flags] for verb, kind in CONFIGS.items()}
    others = [f"plmrs {verb}" for verb in flags if name in flags[verb]]
    hint = f"It is an option of {' and '.join(others)}." if others else did_you_mean(name, known)
    return UserError(f"{command} has no option {name}.", hint or f"`{command} --help` lists its options.")
