"""Each filter by hand, and against plain Python on random logs."""

from collections import Counter

import numpy as np
import pytest

from plmrs.config import FilterOptions
from plmrs.errors import UserError
from plmrs.prepare.filters import Log, core, drop_repeats, drop_users, filtered

Histories = list[list[int]]


def log_of(histories: Histories, n_items: int = 9) -> Log:
    """A log in which the n-th interaction has time 10 n."""
    users = np.repeat(np.arange(len(histories)), [len(history) for history in histories]).astype(np.int32)
    items = np.array([item for history in histories for item in history], np.int32)
    return Log(users, items, np.arange(len(items)) * 10, len(histories), n_items)


def histories_of(log: Log) -> Histories:
    return [log.items[log.users == user].tolist() for user in range(log.n_users)]


def random_histories(rng: np.random.Generator, n_items: int = 9) -> Histories:
    sizes = rng.integers(0, 9, rng.integers(1, 25))
    return [(rng.integers(1, n_items + 1, size) if size % 2 else rng.integers(1, 4, size)).tolist() for size in sizes]


def tallies(dropped: list) -> list[tuple[str, int]]:
    return [(tally.what, tally.count) for tally in dropped]


def run(histories: Histories, needed: int = 1, **options: object) -> tuple[Histories, list[int], list]:
    """What stays: histories, item numbers; and what was dropped."""
    options = {"min_item_seq_len": 1, **options}
    log, kept, dropped = filtered(log_of(histories), FilterOptions(**options), needed)
    assert (log.n_users, log.n_items) == (len(histories), 9)
    return histories_of(log), (np.flatnonzero(kept) + 1).tolist(), dropped


# Each by hand


def test_nothing_is_dropped_unasked() -> None:
    histories = [[4, 4, 7], [], [1]]
    assert run(histories)[:2] == (histories, list(range(1, 10)))
    assert not any(count for _, count in tallies(run(histories)[2]))


def test_consecutive_repeats() -> None:
    histories = [[4, 4, 7, 4], [4, 4, 4], [4, 7], [7, 4]]
    log, dropped = drop_repeats(log_of(histories), "consecutive")
    assert histories_of(log) == [[4, 7, 4], [4], [4, 7], [7, 4]]
    assert log.times.tolist() == [0, 20, 30, 40, 70, 80, 90, 100]  # the first of each run stays
    assert tallies(dropped) == [("interactions", 3)]


def test_all_repeats() -> None:
    histories = [[4, 4, 7, 4], [4, 7, 4], [4]]
    log, dropped = drop_repeats(log_of(histories), "all")
    assert histories_of(log) == [[4, 7], [4, 7], [4]]
    assert log.times.tolist() == [0, 20, 40, 50, 70]
    assert tallies(dropped) == [("interactions", 3)]


def test_short_histories() -> None:
    found, items, dropped = run([[1, 2, 3], [1, 2], [], [3, 3, 3, 3]], min_item_seq_len=3)
    assert found == [[1, 2, 3], [], [], [3, 3, 3, 3]]
    assert items == list(range(1, 10))
    assert [(tally.what, tally.count, tally.why) for tally in dropped] == [
        ("users", 1, "they have fewer than 3 items"),
        ("interactions", 2, "they are of those users"),
    ]


def test_a_split_may_need_more_than_is_asked_for() -> None:
    assert run([[1, 2, 3], [1, 2]], needed=3)[0] == [[1, 2, 3], []]
    assert run([[1, 2, 3], [1, 2]], needed=2, min_item_seq_len=3)[0] == [[1, 2, 3], []]


def test_long_histories_keep_what_is_most_recent() -> None:
    found, _, dropped = run([[1, 2, 3, 4], [5], [6, 7]], max_item_seq_len=2)
    assert found == [[3, 4], [5], [6, 7]]
    assert tallies(dropped)[2:] == [("interactions", 2)]
    assert dropped[2].why == "they are older than their user's last 2"


def test_items_that_nobody_took() -> None:
    found, items, dropped = run([[1, 2, 2], [5]], keep_items="interacted")
    assert found == [[1, 2, 2], [5]]
    assert items == [1, 2, 5]
    assert tallies(dropped)[2:] == [("items", 6)]


def test_core_by_hand() -> None:
    # User 2 goes, with it item 3 has one user left and goes.
    log, items, dropped = core(log_of([[1, 2], [1, 2, 3], [3]], 3), 2, 2)
    assert histories_of(log) == [[1, 2], [1, 2], []]
    assert items.tolist() == [True, True, False]
    assert tallies(dropped) == [("users", 1), ("items", 1), ("interactions", 2)]
    # A chain: each one that goes takes the next one with it.
    log, items, _ = core(log_of([[1], [1, 2], [2, 3], [3, 4], [4, 5, 5]], 5), 2, 2)
    assert histories_of(log) == [[], [], [], [], [5, 5]]
    assert items.tolist() == [False] * 4 + [True]


def test_core_takes_items_along_that_nobody_took() -> None:
    _, items, dropped = run([[1, 2], [1, 2]], k_core=2)
    assert items == [1, 2]
    assert tallies(dropped)[2:] == [("users", 0), ("items", 7), ("interactions", 0)]


def test_users_that_are_not_kept() -> None:
    log, dropped = drop_users(log_of([[1], [2, 3], [], [4]]), np.array([True, False, False, True]), "why")
    assert histories_of(log) == [[1], [], [], [4]]
    assert tallies(dropped) == [("users", 1), ("interactions", 2)]  # a user with nothing is none


@pytest.mark.parametrize(
    ("options", "said", "remedy"),
    [
        ({"min_item_seq_len": 5}, "No user has 5 items or more; the longest history has 4.", "to 2 at the least"),
        ({"min_item_seq_len": 4, "drop_repeats": "all"}, "the longest history has 3.", "Lower --min-item-seq-len"),
        ({"k_core": 3}, "No user is left in the core of 3.", "Lower --k-core."),
        ({"sample_users": 3}, "--sample-users 3: there are 2 users with enough items.", "Ask for fewer."),
    ],
)
def test_nothing_left_is_an_error(options: dict, said: str, remedy: str) -> None:
    with pytest.raises(UserError) as caught:
        run([[1, 2, 3, 3], [4, 5], [6]], needed=2, **options)
    assert said in caught.value.message
    assert remedy in caught.value.remedy


# The sample


def test_a_sample_is_exact_and_the_same_again() -> None:
    histories = [[1, 2]] * 200 + [[3]] * 50
    drawn = {}
    for seed in (1, 2):
        for n in (1, 7, 199, 200):
            found, _, dropped = run(histories, needed=2, sample_users=n, sample_seed=seed)
            assert found == run(histories, needed=2, sample_users=n, sample_seed=seed)[0]
            drawn[seed, n] = {user for user, history in enumerate(found) if history}
            assert len(drawn[seed, n]) == n
            assert max(drawn[seed, n]) < 200  # of those with enough items
            assert tallies(dropped) == [
                ("users", 50), ("interactions", 50), ("users", 200 - n), ("interactions", 2 * (200 - n)),
            ]  # fmt: skip
    assert drawn[1, 7] != drawn[2, 7]
    # A larger sample holds a smaller one, so results on both can be compared.
    assert drawn[1, 1] < drawn[1, 7] < drawn[1, 199]


def test_a_sample_does_not_change_from_release_to_release() -> None:
    found, _, _ = run([[1]] * 20, sample_users=5, sample_seed=42)
    draws = np.random.default_rng(42).random(20).tolist()
    assert [user for user, history in enumerate(found) if history] == sorted(
        sorted(range(20), key=draws.__getitem__)[:5]
    )


def test_every_user_may_be_drawn() -> None:
    times = Counter(
        user
        for seed in range(300)
        for user, history in enumerate(run([[1]] * 10, sample_users=3, sample_seed=seed)[0])
        if history
    )
    assert min(times.values()) > 60  # 90 is expected
    assert max(times.values()) < 120


# Random logs, in plain Python


def repeats_by_hand(histories: Histories, which: str) -> Histories:
    if which == "none":
        return histories
    found: Histories = []
    for history in histories:
        kept: list[int] = []
        for place, item in enumerate(history):
            seen = history[place - 1 : place] if which == "consecutive" else history[:place]
            if item not in seen:
                kept.append(item)
        found.append(kept)
    return found


def core_by_hand(histories: Histories, least_of_user: int, least_of_item: int) -> tuple[Histories, set[int]]:
    while True:
        counts = Counter(item for history in histories for item in history)
        kept = {item for item in counts if counts[item] >= least_of_item}
        smaller = [
            [item for item in history if item in kept] if len(history) >= least_of_user else [] for history in histories
        ]
        if smaller == histories:
            return histories, kept
        histories = smaller


@pytest.mark.parametrize("which", ["none", "consecutive", "all"])
def test_repeats_on_random_logs(which: str) -> None:
    for seed in range(60):
        histories = random_histories(np.random.default_rng(seed))
        log, dropped = drop_repeats(log_of(histories), which)
        assert histories_of(log) == repeats_by_hand(histories, which)
        assert sum(count for _, count in tallies(dropped)) == sum(map(len, histories)) - len(log.items)
        assert np.all(np.diff(log.times) > 0)


def test_core_on_random_logs() -> None:
    shrunk = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        histories = random_histories(rng)
        least_of_user, least_of_item = rng.integers(1, 5, 2).tolist()
        log, items, dropped = core(log_of(histories), least_of_user, least_of_item)
        expected, kept = core_by_hand(histories, least_of_user, least_of_item)
        assert histories_of(log) == expected
        assert set((np.flatnonzero(items) + 1).tolist()) == kept
        users = sum(bool(before) and not after for before, after in zip(histories, expected, strict=True))
        assert tallies(dropped) == [
            ("users", users), ("items", 9 - len(kept)), ("interactions", sum(map(len, histories)) - len(log.items)),
        ]  # fmt: skip
        shrunk += 0 < len(log.items) < sum(map(len, histories))
    assert shrunk > 50


def by_hand(histories: Histories, needed: int, options: FilterOptions) -> tuple[Histories, set[int]] | None:
    """All filters in the order that the rules of `prepare` give; None where too few are left."""
    least = max(needed, options.min_item_seq_len)
    histories = repeats_by_hand(histories, options.drop_repeats)
    histories = [history if len(history) >= least else [] for history in histories]
    users = [user for user, history in enumerate(histories) if history]
    if options.sample_users is not None:
        if options.sample_users > len(users):
            return None
        draws = np.random.default_rng(options.sample_seed).random(len(users))
        drawn = {users[place] for place in np.argsort(draws)[: options.sample_users]}
        histories = [history if user in drawn else [] for user, history in enumerate(histories)]
    items = set(range(1, 10))
    if options.k_core is not None:
        histories, items = core_by_hand(histories, max(options.k_core, least), options.k_core)
    if options.max_item_seq_len is not None:
        histories = [history[-options.max_item_seq_len :] for history in histories]
    if options.keep_items == "interacted":
        items = {item for history in histories for item in history}
    return (histories, items) if any(histories) else None


def random_options(rng: np.random.Generator, n_users: int) -> FilterOptions:
    return FilterOptions(
        min_item_seq_len=int(rng.integers(1, 4)),
        max_item_seq_len=rng.choice([None, 3, 4, 6]),
        k_core=rng.choice([None, 1, 2, 3]),
        drop_repeats=str(rng.choice(["none", "consecutive", "all"])),
        sample_users=rng.choice([None, 1, max(1, n_users // 2)]),
        sample_seed=int(rng.integers(5)),
        keep_items=str(rng.choice(["all", "interacted"])),
    )


def test_filters_follow_one_another_on_random_logs() -> None:
    left = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        histories, needed = random_histories(rng), int(rng.integers(1, 4))
        options = random_options(rng, len(histories))
        try:
            log, kept, _ = filtered(log_of([[9], *histories]), options, needed)
        except UserError:
            assert by_hand([[9], *histories], needed, options) is None
            continue
        assert (histories_of(log), set((np.flatnonzero(kept) + 1).tolist())) == by_hand(
            [[9], *histories], needed, options
        )
        left += 1
    assert left > 200
