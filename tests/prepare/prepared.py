"""What `prepare` says on the way, and what it leaves, in a user's words."""

from plmrs.data.dataset import Dataset
from plmrs.report import Silent


class Notes(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def warn(self, line: str) -> None:
        self.lines.append(f"warning: {line}")


def histories(dataset: Dataset) -> dict[str, list[str]]:
    """The ids of each user's items, oldest first."""
    ids, taken = dataset.item_ids(), dataset.histories
    bounds = zip(dataset.user_ids(), taken.start, taken.stop, strict=True)
    return {user: [ids[item - 1] for item in taken.items[a:b]] for user, a, b in bounds}
