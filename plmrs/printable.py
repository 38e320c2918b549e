"""Texts of any origin as a terminal may be sent them."""

_OBEYED = (range(0x20), range(0x7F, 0xA0), range(0x202A, 0x202F), range(0x2066, 0x206A), range(0xD800, 0xE000))
_COMMANDS = {code: chr(code).encode("unicode_escape").decode() for codes in _OBEYED for code in codes}
"""Characters that a terminal obeys instead of showing them, or cannot be sent, and how each is written."""


def printable(text: str) -> str:
    r"""A text as one line that a terminal shows as it is, wherever it came from.

    Example: `Dune\x1b[2J` has `\x1b` written out instead of clearing the screen.
    """
    return text.translate(_COMMANDS)
