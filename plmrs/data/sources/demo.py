"""A generated news site, so that everything can be tried in minutes and without a download.

An item has a topic, a subject and a headline, a publication time and an appeal. A reader is a mix of topics that
drifts. What they read next goes on with the subject just read, stays in its topic, moves on to the next topic of its
category, or comes from their mix; within a topic, appealing and recent items are read most. The newest tenth of the
items comes out on the last day, when nothing happens but the last click or two of those readers who are still there:
leave-one-out trains on none of them, and only their text says whom they will interest.
"""

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from plmrs.data.sources.demo_topics import TOPICS
from plmrs.data.sources.source import SECONDS, Interactions, Source, Tally

USERS = 6_000
ITEMS_A_TOPIC, NEW_A_TOPIC = 50, 5
SHORTEST, LONGEST = 8, 40  # clicks of a reader
LAST_DAY = 60.0
EPOCH = 1_704_067_200  # 2024-01-01 00:00 UTC
SAME_SUBJECT, SAME_TOPIC, NEXT_TOPIC = 0.22, 0.22, 0.16  # what comes next; the rest is from the reader's own mix
FOLLOWING = 50.0  # how much likelier a follow-up on the same subject is, for those who look for one
RECENCY_DAYS, EVERGREEN = 10.0, 0.1  # interest in an item fades by 1/e in so many days, down to this share
STILL_THERE = 0.55  # readers who come back on the last day
BREAKING = 0.4  # clicks of the last day that go to items of that day

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Topic:
    """What the site writes about a topic: each of `patterns` about each of `subjects`."""

    category: str
    name: str
    subjects: tuple[str, ...]
    patterns: tuple[str, ...]

    def headline(self, subject: int, pattern: int) -> str:
        """A headline about a subject, such as `An opera for all` from the pattern `a {} for all`."""
        text = self.patterns[pattern].replace("{}", self.subjects[subject])
        text = re.sub(r"\b([Aa]) (?=[AEIOUaeiou])", r"\1n ", text)
        return text[0].upper() + text[1:]


def topics() -> list[Topic]:
    """The topics of the site, those of a category side by side."""
    found = []
    for block in re.split(r"^= ", TOPICS, flags=re.MULTILINE)[1:]:
        category, paragraphs = block.split("\n", 1)
        for paragraph in re.split(r"^- ", paragraphs, flags=re.MULTILINE)[1:]:
            named, patterns = " ".join(paragraph.split()).split(" | ")
            name, subjects = named.split(": ", 1)
            found.append(Topic(category, name, tuple(subjects.split(", ")), tuple(patterns.split(" / "))))
    return found


def read(seed: int) -> Source:
    """Generate the demo, the same from the same seed.

    Only uniform draws are used: NumPy keeps those the same from release to release.
    """
    rng = np.random.default_rng(seed)
    site = Site(rng)
    lengths = SHORTEST + np.floor((LONGEST - SHORTEST + 1) * rng.random(USERS) ** 1.9).astype(np.int64)
    times, last_day = _click_times(rng, lengths)
    clicks = site.read_by(rng, lengths, times, last_day)

    users, steps = np.nonzero(np.arange(LONGEST) < lengths[:, None])
    order = np.argsort(times[users, steps], kind="stable")
    users, steps = users[order], steps[order]
    user_ids = pa.array([f"U{number:05d}" for number in range(1, USERS + 1)])
    item_ids = site.items.column("item_id").combine_chunks()
    interactions = Interactions(
        users.astype(np.int32),
        user_ids,
        clicks[users, steps].astype(np.int32),
        item_ids,
        EPOCH + np.floor(times[users, steps] * 86_400).astype(np.int64),
    )
    origin = f"generated from seed {seed}"
    return Source(
        site.items,
        interactions,
        SECONDS,
        read=(Tally("items", len(item_ids), origin), Tally("interactions", len(users), origin)),
        rules=("The newest tenth of the items appears on the last day, in nobody's clicks but the last two.",),
        options={"demo_seed": seed},
    )


class Site:
    """The catalogue, in order of publication, and its readers.

    Attributes:
        items: Columns item_id, text, category.
        topic: Number of each item's topic. [items]
        subject: Number of its subject within the topic. [items]
        new: Whether it comes out on the last day. [items]
    """

    def __init__(self, rng: np.random.Generator) -> None:
        known = topics()
        n_topics, n = len(known), len(known) * ITEMS_A_TOPIC
        topic = np.repeat(np.arange(n_topics), ITEMS_A_TOPIC)
        n_patterns = len(known[0].patterns)
        pairs = [rng.random(len(each.subjects) * n_patterns).argsort()[:ITEMS_A_TOPIC] for each in known]
        subject, pattern = np.divmod(np.concatenate(pairs), n_patterns)
        new = np.tile(np.arange(ITEMS_A_TOPIC) >= ITEMS_A_TOPIC - NEW_A_TOPIC, n_topics)
        published = np.where(new, LAST_DAY + 0.5 * rng.random(n), -20 + (LAST_DAY + 10) * rng.random(n))
        # Famous subjects and catching headlines draw readers, so a part of the appeal can be read from the text.
        fame = _logistic(rng, n_topics, 8)[topic, subject]
        catching = _logistic(rng, n_topics, 8)[topic, pattern]
        appeal = np.exp(0.45 * fame + 0.4 * catching + 0.35 * _logistic(rng, n))

        order = np.argsort(published, kind="stable")
        self.topic, self.subject, self.new = topic[order], subject[order], new[order]
        self._published, self._appeal = published[order], appeal[order]
        # The items of each topic, oldest first. [topics, items a topic]
        self._slots = np.argsort(self.topic, kind="stable").reshape(n_topics, ITEMS_A_TOPIC)
        categories = [each.category for each in known]
        self._category = np.unique(categories, return_inverse=True)[1]
        self._next_topic = np.array([_next_of(categories, number) for number in range(n_topics)])
        texts = [known[t].headline(s, p) for t, s, p in zip(topic, subject, pattern, strict=True)]
        columns = {
            "item_id": [f"N{number:05d}" for number in range(1, n + 1)],
            "text": [texts[number] for number in order],
            "category": [categories[number] for number in self.topic],
        }
        self.items = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})

    def read_by(self, rng: np.random.Generator, lengths: Ints, times: Floats, last_day: Bools) -> Ints:
        """Which item each click takes: [users, longest], of which each user's first `lengths` count.

        Args:
            rng: The source of chance.
            lengths: Clicks of each user. [users]
            times: When they happen, in days. [users, longest]
            last_day: Whether they happen on the last day. [users, longest]
        """
        popular = (1.0 / (1 + rng.random(len(self._slots)).argsort())) ** 0.3
        early, late = (self._mixes(rng, len(lengths), popular) for _ in range(2))
        clicks = np.zeros((len(lengths), LONGEST), np.int64)
        seen = np.zeros((len(lengths), len(self.topic)), bool)
        for step in range(LONGEST):
            users = np.flatnonzero(lengths > step)
            drift = (step / lengths[users])[:, None]
            mixed = _draw(rng, (1 - drift) * early[users] + drift * late[users])
            choice = rng.random(len(users)) if step else np.ones(len(users))
            before = clicks[users, step - 1]
            stays = choice < SAME_SUBJECT + SAME_TOPIC
            moves = ~stays & (choice < SAME_SUBJECT + SAME_TOPIC + NEXT_TOPIC)
            moved = self._next_topic[self.topic[before]]
            slots = self._slots[np.where(stays, self.topic[before], np.where(moves, moved, mixed))]

            # Everything from here on is [users, items a topic].
            days_old = times[users, step][:, None] - self._published[slots]
            follows = (choice < SAME_SUBJECT)[:, None] & (self.subject[slots] == self.subject[before][:, None])
            breaking = last_day[users, step] & (rng.random(len(users)) < BREAKING)
            offered = (self.new[slots] == breaking[:, None]) & (days_old >= 0) & ~seen[users[:, None], slots]
            interest = self._appeal[slots] * (np.exp(-days_old.clip(0) / RECENCY_DAYS) + EVERGREEN)
            weights = interest * np.where(follows, FOLLOWING, 1.0) * offered
            # A topic of which nothing is left to offer gives its first item, which is not new.
            clicks[users, step] = slots[np.arange(len(users)), _draw(rng, weights)]
            seen[users, clicks[users, step]] = True
        return clicks

    def _mixes(self, rng: np.random.Generator, n_users: int, popular: Floats) -> Floats:
        """Interests [users, topics] that are strong in a few categories and in a few of their topics."""
        category = (-np.log1p(-rng.random((n_users, self._category.max() + 1)))) ** 2.5
        topic = (-np.log1p(-rng.random((n_users, len(popular))))) ** 2
        mixes = category[:, self._category] * topic * popular
        shares: Floats = mixes / mixes.sum(1, keepdims=True)
        return shares


def _click_times(rng: np.random.Generator, lengths: Ints) -> tuple[Floats, Bools]:
    """When each user clicks [users, longest], in days, ascending, and whether that is on the last day."""
    steps = np.arange(LONGEST)
    final = lengths[:, None] - 1
    draws = np.sort(np.where(steps <= final, rng.random((len(lengths), LONGEST)), 1.0), axis=1)
    start = 0.6 * LAST_DAY * rng.random(len(lengths))
    comes_back = rng.random(len(lengths)) < STILL_THERE
    stop = np.where(comes_back, LAST_DAY, start + 5 + (LAST_DAY - start - 5) * rng.random(len(lengths)))
    times = start[:, None] + (stop - start)[:, None] * draws
    twice = comes_back & (rng.random(len(lengths)) < 0.5)
    last_day = (comes_back[:, None] & (steps == final)) | (twice[:, None] & (steps == final - 1))
    evening = LAST_DAY + 0.5 + 0.5 * np.sort(rng.random((len(lengths), 2)), axis=1)  # [users, the last two clicks]
    return np.where(last_day, np.where(steps == final, evening[:, 1:], evening[:, :1]), times), last_day


def _draw(rng: np.random.Generator, weights: Floats) -> Ints:
    """One column [rows] a row of weights [rows, columns], with chances in proportion to them."""
    sums = weights.cumsum(1)
    columns: Ints = (sums < rng.random(len(weights))[:, None] * sums[:, -1:]).sum(1)
    return columns


def _logistic(rng: np.random.Generator, *shape: int) -> Floats:
    """Draws from the standard logistic distribution: a bell with long tails."""
    chances = rng.random(shape).clip(1e-9, 1 - 1e-9)
    draws: Floats = np.log(chances / (1 - chances))
    return draws


def _next_of(categories: list[str], topic: int) -> int:
    """The topic that follows in the same category; the first one after the last."""
    same = [number for number, category in enumerate(categories) if category == categories[topic]]
    return same[(same.index(topic) + 1) % len(same)]
