from typing import Any

import numpy as np
import pytest

from plmrs.config import SplitOptions
from plmrs.data.dataset import Histories
from plmrs.data.dates import are_dates
from plmrs.data.split_choice import LEAST_ITEMS, effective_split
from plmrs.data.splits import HeldOut, Split, make_split, split_of, training_counts
from plmrs.errors import UserError
from plmrs.workspace import Workspace

DAY = 86_400
NOVEMBER_14 = 1_573_689_600  # 2019-11-14 00:00 UTC
NO_TIMES = np.zeros(0, np.int64)
LEAVE_ONE_OUT = {"method": "leave_one_out"}


def histories(*rows: list[int]) -> Histories:
    stop = np.cumsum([len(row) for row in rows])
    return Histories(np.concatenate(rows).astype(np.int32), np.r_[0, stop[:-1]], stop)


def lists(rows: Histories) -> list[list[int]]:
    return [rows.items[a:b].tolist() for a, b in zip(rows.start, rows.stop, strict=True)]


def predicted(held_out: HeldOut) -> list[tuple[int, list[int], int]]:
    """User, inputs and target of each."""
    return list(zip(held_out.users.tolist(), lists(held_out.inputs), held_out.targets.tolist(), strict=True))


def options(**given: Any) -> SplitOptions:
    return SplitOptions(**given)


def test_leave_one_out_trains_on_all_but_the_last_two():
    split = make_split(histories([5, 3, 8, 2], [1, 4, 6]), NO_TIMES, LEAVE_ONE_OUT)
    assert lists(split.train) == [[5, 3], [1]]
    assert predicted(split.val) == [(0, [5, 3], 8), (1, [1], 4)]
    assert predicted(split.test) == [(0, [5, 3, 8], 2), (1, [1, 4], 6)]
    assert split.test.places.tolist() == [3, 6]
    assert "leave-one-out" in split.rule


def test_held_out_users_can_be_taken():
    split = make_split(histories([5, 3, 8, 2], [1, 4, 6]), NO_TIMES, LEAVE_ONE_OUT)
    assert predicted(split.test.take(np.array([1]))) == [(1, [1, 4], 6)]
    assert len(split.test.take(slice(0, 0))) == 0


def test_items_are_counted_in_training_only():
    split = make_split(histories([5, 3, 8, 2], [1, 4, 5]), NO_TIMES, LEAVE_ONE_OUT)
    assert training_counts(split.train, 8).tolist() == [1, 0, 1, 0, 1, 0, 0, 0]


def test_ratio_deals_users_out():
    rows = [[10 * user + 1, 10 * user + 2, 10 * user + 3] for user in range(10)]
    split = make_split(histories(*rows), NO_TIMES, {"method": "ratio", "shares": [0.6, 0.3, 0.1], "seed": 7})
    # The draws of this seed are .625 .897 .776 .225 .300 .874 .005 .821 .797 .468. They are written down because the
    # same seed must deal alike on every machine and with every release of numpy.
    assert lists(split.train) == [rows[user] for user in (0, 2, 3, 4, 6, 9)]
    assert predicted(split.val) == [(user, rows[user][:-1], rows[user][-1]) for user in (5, 7, 8)]
    assert predicted(split.test) == [(1, [11, 12], 13)]
    assert "0.6 / 0.3 / 0.1 of users, seed 7" in split.rule


def test_ratio_gives_what_rounding_leaves_to_training():
    rows = histories(*[[1, 2]] * 47)
    split = make_split(rows, NO_TIMES, {"method": "ratio", "shares": [0.8, 0.1, 0.1], "seed": 1})
    assert (len(split.train), len(split.val), len(split.test)) == (37, 5, 5)


TIMED = histories([5, 3, 8, 2], [1, 4, 6], [7], [9, 10])
TIMES = np.array([10, 20, 30, 41, 29, 30, 31, 44, 40, 45])


def test_temporal_trains_on_what_is_old_and_predicts_the_last_of_each_later_stretch():
    split = make_split(TIMED, TIMES, {"method": "temporal", "times": [30, 40]})
    assert lists(split.train) == [[5, 3], [1]]
    assert predicted(split.val) == [(0, [5, 3], 8), (1, [1, 4], 6)]
    assert predicted(split.test) == [(0, [5, 3, 8], 2), (3, [9], 10)]  # nothing stands before user 2's item
    assert "before 30" in split.rule
    assert "from 40 on" in split.rule


def test_temporal_tells_dates():
    times = NOVEMBER_14 + DAY * np.arange(6)
    how = {"method": "temporal", "times": [NOVEMBER_14 + 3 * DAY, NOVEMBER_14 + 4 * DAY + 1]}
    rule = make_split(histories([1, 2, 3, 4, 5, 6]), times, how, dates=True).rule
    assert "before 2019-11-17, " in rule
    assert "from 2019-11-18T00:00:01 on" in rule


METHODS = {
    "leave_one_out": LEAVE_ONE_OUT,
    "ratio": {"method": "ratio", "shares": [0.7, 0.2, 0.1], "seed": 3},
    "temporal": {"method": "temporal", "times": [700, 850]},
}


def many(least: int) -> tuple[Histories, np.ndarray]:
    """300 users with `least` items or more, and times in order."""
    rng = np.random.default_rng(5)
    lengths = rng.integers(least, 15, 300)
    rows = [rng.integers(1, 50, length).tolist() for length in lengths]
    return histories(*rows), np.concatenate([np.sort(rng.integers(0, 1000, length)) for length in lengths])


def owners(rows: Histories, whole: Histories) -> np.ndarray:
    """The user each row belongs to."""
    return np.searchsorted(whole.stop, rows.start, side="right")


@pytest.mark.parametrize("method", METHODS)
def test_no_target_is_trained_on_and_inputs_are_all_before_it(method: str):
    rows, times = many(LEAST_ITEMS[method])
    split = make_split(rows, times, METHODS[method])
    trained = split.train.flat()[1]
    assert len(np.unique(trained)) == len(trained)
    assert len(np.unique(owners(split.train, rows))) == len(split.train)
    for held_out in (split.val, split.test):
        assert not np.isin(held_out.places, trained).any()
        assert len(np.unique(held_out.users)) == len(held_out) > 0
        np.testing.assert_array_equal(held_out.inputs.start, rows.start[held_out.users])
        np.testing.assert_array_equal(held_out.inputs.stop, held_out.places)
        assert (held_out.inputs.lengths > 0).all()
        assert (held_out.places < rows.stop[held_out.users]).all()
    assert not np.isin(split.val.places, split.test.places).any()


@pytest.mark.parametrize("method", METHODS)
def test_the_same_split_is_made_again(method: str):
    rows, times = many(LEAST_ITEMS[method])
    one, two = (make_split(rows, times, METHODS[method]) for _ in range(2))
    assert lists(one.train) == lists(two.train)
    assert predicted(one.val) == predicted(two.val)
    assert predicted(one.test) == predicted(two.test)


def test_ratio_uses_each_user_once_and_another_seed_deals_otherwise():
    rows, times = many(2)

    def parts(split: Split) -> list[np.ndarray]:
        return [owners(split.train, rows), split.val.users, split.test.users]

    one = parts(make_split(rows, times, METHODS["ratio"]))
    assert sorted(np.concatenate(one).tolist()) == list(range(300))
    assert [len(users) for users in one] == [210, 60, 30]
    two = parts(make_split(rows, times, {**METHODS["ratio"], "seed": 4}))
    assert not np.array_equal(one[2], two[2])


def test_temporal_equals_a_loop_over_users():
    rows, times = many(2)
    split = make_split(rows, times, METHODS["temporal"])
    train, val, test = [], [], []
    for user, (a, b) in enumerate(zip(rows.start, rows.stop, strict=True)):
        timed = list(zip(rows.items[a:b].tolist(), times[a:b].tolist(), strict=True))
        if old := [item for item, time in timed if time < 700]:
            train.append(old)
        for found, begin, end in ((val, 700, 850), (test, 850, 1000)):
            inside = [nth for nth, (_, time) in enumerate(timed) if begin <= time < end]
            if inside and inside[-1] > 0:
                found.append((user, [item for item, _ in timed[: inside[-1]]], timed[inside[-1]][0]))
    assert times[split.train.flat()[1]].max() < 700
    assert lists(split.train) == train
    assert predicted(split.val) == val
    assert predicted(split.test) == test


def test_only_what_a_method_reads_takes_effect():
    times = np.arange(100, 110)
    assert effective_split(options(), times, False) == LEAVE_ONE_OUT
    ratio = effective_split(options(split="ratio", split_seed=3), times, False)
    assert ratio == {"method": "ratio", "shares": [0.8, 0.1, 0.1], "seed": 3}
    temporal = effective_split(options(split="temporal"), np.random.default_rng(1).permutation(times), False)
    assert temporal == {"method": "temporal", "times": [108, 109]}
    halves = options(split="temporal", split_shares=(0.5, 0.3, 0.2))
    assert effective_split(halves, times, False)["times"] == [105, 108]


@pytest.mark.parametrize(
    ("given", "dates", "meant"),
    [
        (("3", "7"), False, [3, 7]),
        ((str(NOVEMBER_14), str(NOVEMBER_14 + 60)), True, [NOVEMBER_14, NOVEMBER_14 + 60]),
        (("2019-11-14", "2019-11-15"), True, [NOVEMBER_14, NOVEMBER_14 + DAY]),
        (("2019-11-14T01:00", "2019-11-14T01:00:01.5"), True, [NOVEMBER_14 + 3600, NOVEMBER_14 + 3602]),
        (("2019-11-14T01:00+01:00", "2019-11-14T01:00Z"), True, [NOVEMBER_14, NOVEMBER_14 + 3600]),
    ],
)
def test_times_are_numbers_or_dates(given: tuple[str, str], dates: bool, meant: list[int]):
    times = np.arange(10) if not dates else NOVEMBER_14 + DAY * np.arange(-2, 3)
    assert effective_split(options(split="temporal", split_times=given), times, dates)["times"] == meant


@pytest.mark.parametrize(
    ("given", "dates", "said"),
    [
        (("5", "soon"), False, "--split-times: 'soon' is no number, and this data's times are no dates"),
        (("2019-11-13", "2019-11-14"), False, "'2019-11-13' is no number"),
        (("2019-11-13", "2019-11-31"), True, "--split-times: '2019-11-31' is neither a number nor a date"),
        (("7", "5"), False, "--split-times 7,5 validation begins at 7 and test, which must be later, at 5"),
        (("5", "5"), False, "--split-times 5,5 validation begins at 5"),
        (("1" + "0" * 20, "2019-11-14"), True, "validation begins at 100000000000000000000 and test"),
        (("0", "5"), False, "--split-times 0,5 leaves a part empty: the data's times go from 0 to 9"),
        (("5", "10"), False, "--split-times 5,10 leaves a part empty"),
        (("2018-01-01", "2019-11-14"), True, "times go from 2019-11-12 to 2019-11-16"),
        (None, False, "--split-shares 0.8,0.1,0.1 validation begins at 9"),
    ],
)
def test_times_that_split_nothing_are_one_line(given: tuple[str, str] | None, dates: bool, said: str):
    times = np.arange(10) if not dates else NOVEMBER_14 + DAY * np.arange(-2, 3)
    if given is None:
        times = np.array([*range(6), 9, 9, 9, 9])
    with pytest.raises(UserError) as error:
        effective_split(options(split="temporal", split_times=given), times, dates)
    assert said in error.value.message
    span = ("2019-11-12", "2019-11-16") if dates else ("0", "9")
    assert "--split-times" in error.value.remedy
    assert all(end in error.value.remedy for end in span)


@pytest.mark.parametrize(
    ("rows", "how", "said", "remedy"),
    [
        ([[1, 2, 3]] * 4, LEAVE_ONE_OUT, "no training item with a next item", "choose another --split"),
        ([[1, 2]] * 5, {"method": "ratio", "shares": [0.8, 0.1, 0.1], "seed": 1}, "no validation", "--split-shares"),
        ([[1, 2]] * 7, {"method": "ratio", "shares": [0.8, 0.15, 0.05], "seed": 1}, "no test", "--split-shares"),
        ([[1, 2]] * 5, {"method": "temporal", "times": [1, 2]}, "no training item with a next", "--split-times"),
        ([[1, 2, 3]] * 5, {"method": "temporal", "times": [3, 4]}, "no validation target", "--split-times"),
        ([[1, 2, 3]] * 5, {"method": "temporal", "times": [2, 4]}, "no test target", "--split-times"),
    ],
)
def test_a_split_that_leaves_nothing_names_the_option(rows: list[list[int]], how: dict, said: str, remedy: str):
    times = np.concatenate([np.arange(len(row)) for row in rows])
    with pytest.raises(UserError) as error:
        make_split(histories(*rows), times, how)
    assert said in error.value.message
    assert f"--split {how['method']}" in error.value.message
    assert remedy in error.value.remedy


def test_a_data_set_is_split_as_its_manifest_says(make_dataset, tmp_path):
    workspace, texts = Workspace(tmp_path / "data", tmp_path / "runs"), [f"text {i}" for i in range(50)]
    begins = [1_704_067_200 + day * DAY for day in (6, 8)]
    dataset = make_dataset(workspace, "timed", texts, split={"method": "temporal", "times": begins})
    split = split_of(dataset)
    assert (split.train.lengths == 6).all()
    assert split.test.users.tolist() == [user for user in range(40) if 6 + user % 7 > 8]
    assert "before 2024-01-07" in split.rule
    assert len(split_of(make_dataset(workspace, "plain", texts)).test) == 40


def test_units_that_are_dates():
    assert are_dates("seconds since 1970-01-01 UTC")
    assert are_dates("seconds since 1970-01-01, in MIND's clock")
    assert not are_dates("timestamp, as in the file")
