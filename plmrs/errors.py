"""What goes wrong through the user's input: one line, a remedy, exit code 2."""


class UserError(Exception):
    """An error the user can mend.

    Args:
        message: One line that names the file, row or option at fault.
        remedy: One line that says what to do about it.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
