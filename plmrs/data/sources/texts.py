"""An item's text from the columns of its table: some of them joined, or a template with their names in braces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter

import pyarrow as pa
import pyarrow.compute as pc

from plmrs.config import RawOptions
from plmrs.errors import UserError

RULE = (
    "White space in texts becomes single spaces; text fields are joined by a space. Where all columns of a template are"
    " empty there is no text."
)


@dataclass(frozen=True)
class Wording:
    """How columns become a text.

    Attributes:
        fields: The columns, in the order in which they stand in the text.
        between: What stands before, between and behind them. [fields + 1]
    """

    fields: tuple[str, ...]
    between: tuple[str, ...]

    def texts(self, columns: Mapping[str, pa.Array]) -> pa.Array:
        """The texts of some rows; a missing value is empty text. [rows]"""
        values = [pc.fill_null(columns[name], "") for name in self.fields]
        parts: list[pa.Array | str] = [self.between[0]]
        for value, behind in zip(values, self.between[1:], strict=True):
            parts += [value, behind]
        texts = tidy(pc.binary_join_element_wise(*parts, ""))
        if not any(part.strip() for part in self.between):
            return texts
        empty = pc.equal(tidy(pc.binary_join_element_wise(*values, "")), "")
        return pc.if_else(empty, "", texts)


def wording(options: RawOptions, default: Sequence[str] | str) -> Wording:
    """The wording that options ask for, else the default one.

    Args:
        options: `text_fields` or `text_template`.
        default: Fields to join, or a template.

    Raises:
        UserError: both are given, or the template is none.
    """
    if options.text_fields and options.text_template:
        raise UserError("--text-fields and --text-template are both given.", "Give one of them.")
    asked = options.text_template or options.text_fields or default
    if not isinstance(asked, str):
        return Wording(tuple(asked), ("", *[" "] * (len(asked) - 1), ""))
    advice = 'Write columns in braces, as in "{title}. {abstract}".'
    try:
        parts = list(Formatter().parse(asked))
    except ValueError as error:
        raise UserError(f"--text-template {asked!r} cannot be read: {error}.", advice) from None
    fields: list[str] = []
    between = [""]
    for literal, name, form, conversion in parts:
        between[-1] += literal
        if name is None:
            continue
        if not name or form or conversion:
            raise UserError(f"--text-template {asked!r} has braces that hold no name of a column.", advice)
        fields.append(name)
        between.append("")
    if not fields:
        raise UserError(f"--text-template {asked!r} names no column.", advice)
    return Wording(tuple(fields), tuple(between))


def tidy(text: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Texts without white space around them, every run of it inside one space; missing ones empty."""
    return pc.utf8_trim_whitespace(
        pc.replace_substring_regex(pc.fill_null(text, ""), r"[\s\v\x1c-\x1f\x{85}\p{Z}]+", " ")
    )
