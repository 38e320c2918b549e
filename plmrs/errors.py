"""What goes wrong through the user's input: one line, a remedy, exit code 2."""

from plmrs.printable import printable


class UserError(Exception):
    """An error the user can mend.

    Args:
        message: One line that names the file, row or option at fault.
        remedy: One line that says what to do about it.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        # What it quotes may come from anywhere.
        self.message = printable(message)
        self.remedy = printable(remedy)
        super().__init__(self.message)
