import numpy as np
import pytest

from plmrs.data.order import by_user_and_time

BIG = 2**40  # far more than can be told apart in one pass


def lexsorted(users: np.ndarray, times: np.ndarray | None) -> list[int]:
    """NumPy's stable sort by the last key first."""
    rows = np.arange(len(users))
    return np.lexsort((rows, users) if times is None else (rows, times, users)).tolist()


def test_the_example() -> None:
    order = by_user_and_time(np.array([1, 0, 1, 0], np.int32), 2, np.array([5, 7, 3, 7]))
    assert order.tolist() == [1, 3, 2, 0]


TIMES = {
    "none": lambda rng, n: None,
    "ascending": lambda rng, n: np.sort(rng.integers(0, 50, n)),
    "descending": lambda rng, n: np.arange(n)[::-1].copy(),
    "equal": lambda rng, n: np.full(n, 7),
    "few": lambda rng, n: rng.integers(0, 5, n),
    "seconds": lambda rng, n: rng.integers(1_600_000_000, 1_700_000_000, n),
    "negative": lambda rng, n: rng.integers(-30, 30, n),
    "wide": lambda rng, n: rng.integers(-BIG, BIG, n),
    "wide and rare": lambda rng, n: rng.choice([-(2**61), -1, 0, 2**21, 2**21 - 1, 2**42, 2**61], n),
    "fractions": lambda rng, n: np.round(rng.normal(0, 2, n), 1),
    "large fractions": lambda rng, n: 1.6e9 + rng.integers(0, 3000, n) / 1000,
    "small integers": lambda rng, n: rng.integers(0, 9, n).astype(np.int32),
}


@pytest.mark.parametrize("n_users", [1, 3, 400])
@pytest.mark.parametrize("kind", TIMES)
def test_it_is_a_stable_sort_by_user_and_time(kind: str, n_users: int) -> None:
    for seed in range(6):
        rng = np.random.default_rng([seed, n_users])
        n = int(rng.integers(0, 300))
        users = rng.integers(0, n_users, n).astype(np.int32)
        times = TIMES[kind](rng, n)
        order = by_user_and_time(users, n_users, times)
        assert order.tolist() == lexsorted(users, times), (kind, seed)
        assert order.dtype == np.int32


def test_only_some_users_are_out_of_order() -> None:
    rng = np.random.default_rng(5)
    users = np.repeat(np.arange(50, dtype=np.int32), 20)
    times = np.tile(np.arange(20) * 10**9, 50)
    mixed_up = rng.choice(50, 7, replace=False)
    for user in mixed_up:
        times[users == user] = rng.permutation(times[users == user])
    shuffled = rng.permutation(len(users))  # users' rows lie between one another's
    users, times = users[shuffled], times[shuffled]
    assert by_user_and_time(users, 50, times).tolist() == lexsorted(users, times)


@pytest.mark.parametrize("times", [None, np.zeros(0, np.int64), np.zeros(0)])
@pytest.mark.parametrize("n_users", [0, 5])
def test_nothing_has_an_order(times: np.ndarray | None, n_users: int) -> None:
    assert by_user_and_time(np.zeros(0, np.int32), n_users, times).tolist() == []


def test_users_without_rows_do_not_matter() -> None:
    users = np.array([70_000, 5, 70_000], np.int32)
    assert by_user_and_time(users, 3_000_000, np.array([2, 9, 1])).tolist() == [1, 2, 0]
