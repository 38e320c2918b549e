"""Ids that lose something wherever they are not taken as text."""

ITEMS, USERS, NEW = 90, 300, 4
"""Items of the catalogue, the last `NEW` of which nobody takes; users."""


def item_id(i: int) -> str:
    return (f"{i:04}", f"a b {i}", f"é{i}", f"x,{i}", f'"{i}"')[i % 5]


def user_id(u: int) -> str:
    return (f"{u:05}", f"u {u}", f"ü{u}", f"{u},0")[u % 4]


IDS = [item_id(i) for i in range(ITEMS)]
WORDS = ["river", "council", "doctor", "teacher", "garden", "market", "singer", "engine", "planet", "bakery"]
TEXTS = [f"{WORDS[i % 10]} {WORDS[i // 10]} number {i}{' again' * (i % 4)}" for i in range(ITEMS)]
