import re

import numpy as np
import pytest

from plmrs.config import FilterOptions, SplitOptions
from plmrs.data.sources import demo
from plmrs.data.sources.source import Source
from plmrs.data.splits import Split, make_split, training_counts
from plmrs.prepare.build import Prepared, build

SEED = 7


@pytest.fixture(scope="module")
def source() -> Source:
    return demo.read(SEED)


@pytest.fixture(scope="module")
def prepared(source: Source) -> Prepared:
    return build(source, FilterOptions(), SplitOptions())


@pytest.fixture(scope="module")
def split(prepared: Prepared) -> Split:
    return make_split(prepared.histories, prepared.times, {"method": "leave_one_out"})


def rows(source: Source) -> list[list]:
    log = source.interactions
    return [part.tolist() for part in (log.users, log.user_ids, log.items, log.item_ids, log.times)]


def test_every_topic_has_all_its_headlines():
    topics = demo.topics()
    assert len(topics) == 48
    assert len({topic.category for topic in topics}) == 12
    for topic in topics:
        assert (len(topic.subjects), len(topic.patterns)) == (7, 8), topic.name
        assert all(pattern.count("{}") == 1 for pattern in topic.patterns), topic.name


def test_headlines_have_capitals_and_articles():
    topic = demo.Topic("c", "t", ("opera", "jazz band"), ("a {} for all", "what a {} means"))
    assert topic.headline(0, 0) == "An opera for all"
    assert topic.headline(0, 1) == "What an opera means"
    assert topic.headline(1, 0) == "A jazz band for all"


def test_titles_are_distinct_and_readable(source: Source):
    titles = source.items.column("text").to_pylist()
    assert len(titles) == len(set(titles)) == 2400
    assert all(re.fullmatch(r"[A-Z0-9].{15,}", title) for title in titles)
    assert not [title for title in titles if re.search(r"\b[Aa] [aeiou]|[{}|]|  ", title)]


def test_the_same_seed_gives_the_same_site(source: Source):
    again = demo.read(SEED)
    assert again.items.equals(source.items)
    assert rows(again) == rows(source)
    assert rows(demo.read(SEED + 1)) != rows(source)


def test_sizes(prepared: Prepared):
    lengths = prepared.histories.lengths
    assert len(lengths) == 6000
    assert 90_000 < len(prepared.items) < 130_000
    assert (lengths.min(), lengths.max()) == (8, 40)
    assert 15 <= np.median(lengths) <= 20


def test_the_newest_tenth_is_never_trained_on_but_tested_on(prepared: Prepared, split: Split):
    n = len(prepared.item_ids)
    newest = np.arange(n - n // 10, n) + 1
    _, places = split.train.flat()
    trained = np.bincount(prepared.items[places], minlength=n + 1)
    assert trained[newest].sum() == 0
    assert (trained[1:] == 0).sum() < 0.12 * n
    for held_out, least, most in ((split.test, 0.15, 0.3), (split.val, 0.05, 0.2)):
        assert least < (trained[held_out.targets] == 0).mean() < most
        assert np.isin(newest, held_out.targets).mean() > 0.6


def test_popularity_has_a_long_tail_and_predicts_little(split: Split):
    counts = training_counts(split.train, 2400)
    top = np.argsort(-counts)
    assert counts[top[:240]].sum() > 0.35 * counts.sum()
    assert np.isin(split.test.targets - 1, top[:10]).mean() < 0.05


def test_readers_follow_subjects_and_drift(source: Source, prepared: Prepared):
    category = np.unique(source.items.column("category").to_pylist(), return_inverse=True)[1]
    histories = prepared.histories
    taken = category[histories.items - 1]
    inner = np.setdiff1d(np.arange(len(taken)), histories.stop - 1)
    stays = (taken[inner] == taken[inner + 1]).mean()
    long = histories.lengths >= 20
    far = (taken[histories.start[long]] == taken[histories.stop[long] - 1]).mean()
    chance = (np.bincount(taken) / len(taken)) ** 2
    assert stays > 0.6
    assert chance.sum() < far < 0.5 * stays


def test_nobody_reads_what_is_not_out_yet(source: Source, prepared: Prepared):
    # Items are numbered in order of publication, so early clicks cannot have high numbers.
    early = prepared.times < demo.EPOCH + 86_400
    assert prepared.items[early].max() < 0.3 * len(prepared.item_ids)
    assert np.all(np.diff(prepared.times)[np.diff(np.repeat(np.arange(6000), prepared.histories.lengths)) == 0] >= 0)
