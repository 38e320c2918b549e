"""Of the histories that a MIND file repeats beside a user's impressions, the longest text counts."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from plmrs.data.sources.mind_ids import Numbers


class Longest:
    """The longest text of each user, the first of equally long ones.

    Attributes:
        sizes: Bytes of all texts, by call of `add`.
    """

    def __init__(self) -> None:
        self.sizes: list[Numbers] = []
        self._best = np.zeros(0, np.int32)  # [users]
        self._owners: list[Numbers] = []
        self._texts: list[pa.StringArray] = []

    def add(self, users: Numbers, texts: list[pa.StringArray]) -> None:
        """Take texts and whose they are. [rows]"""
        sizes = np.concatenate([np.zeros(0, np.int32), *(pc.binary_length(part).to_numpy() for part in texts)])
        self.sizes.append(sizes)
        if not len(users):
            return
        more = np.zeros(max(0, int(users.max()) + 1 - len(self._best)), np.int32)
        self._best = np.concatenate([self._best, more])
        longer = np.flatnonzero(sizes > self._best[users])
        np.maximum.at(self._best, users[longer], sizes[longer])
        longest = longer[sizes[longer] == self._best[users[longer]]]
        rows = np.sort(longest[np.unique(users[longest], return_index=True)[1]])
        self._owners.append(users[rows])
        self._texts += pa.chunked_array(texts).take(pa.array(rows)).chunks

    def finish(self) -> tuple[Numbers, pa.StringArray]:
        """Whose texts, and the texts, one a user that has any."""
        owners = np.concatenate([np.zeros(0, np.int32), *self._owners])
        # A longer one that came later stands behind the one it replaces.
        last = np.zeros(len(self._best), np.int64)
        last[owners] = np.arange(len(owners))
        kept = last[owners] == np.arange(len(owners))
        texts = pa.concat_arrays(self._texts) if self._texts else pa.array([], pa.string())
        return owners[kept], texts if kept.all() else texts.filter(pa.array(kept))
