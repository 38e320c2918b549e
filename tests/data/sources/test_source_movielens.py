from pathlib import Path

import pytest
from interactions import rows
from raw_files import complaint, zip_of

from plmrs.config import RawOptions
from plmrs.data.sources import movielens
from plmrs.data.sources.source import Source
from plmrs.errors import UserError

TITLES = {
    "1": "Toy Story (1995)",
    "260": "Star Wars: Episode IV - A New Hope (1977)",
    "73": "Misérables, Les (1995)",
    "1500": '"Great Performances" Cats (1998)',
}
TAKEN = [("1", "260", 978300760), ("6040", "73", 978300760), ("1", "1500", 978302109), ("1", "9999", 978302109)]
OLD = {
    "movies.dat": "".join(f"{item}::{title}::Drama|Children's\n" for item, title in TITLES.items()),
    "ratings.dat": "".join(f"{user}::{item}::5::{time}\n" for user, item, time in TAKEN),
}
OLDEST = {
    "u.item": "".join(
        "|".join((item, title, "01-Jan-1995", "", "http://us.imdb.com", *"0" * 19)) + "\n"
        for item, title in TITLES.items()
    ),
    "u.data": "".join(f"{user}\t{item}\t3\t{time}\n" for user, item, time in TAKEN),
}
NEW = {
    "movies.csv": "movieId,title,genres\n"
    + "".join('{},"{}",Drama\n'.format(item, title.replace('"', '""')) for item, title in TITLES.items()),
    "ratings.csv": "userId,movieId,rating,timestamp\n"
    + "".join(f"{user},{item},4.5,{time}\n" for user, item, time in TAKEN),
}


def write(folder: Path, files: dict[str, str], encoding: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content.encode(encoding))


def read(*places: Path, **options: object) -> Source:
    found = movielens.find(places)
    assert found is not None
    return movielens.read(*found, RawOptions(**options))


@pytest.mark.parametrize(
    ("files", "encoding"), [(OLD, "latin-1"), (OLD, "utf-8"), (NEW, "utf-8"), (OLDEST, "latin-1")],
    ids=["1M", "10M", "25M", "100K"],
)  # fmt: skip
def test_each_release_as_it_is_offered(tmp_path: Path, files: dict[str, str], encoding: str):
    write(tmp_path / "ml", files, encoding)
    source = read(tmp_path)
    assert source.items.to_pydict() == {"item_id": list(TITLES), "text": list(TITLES.values())}
    assert rows(source.interactions) == TAKEN
    assert source.time_unit == "seconds since 1970-01-01 UTC"
    assert [(tally.what, tally.count, tally.why) for tally in source.read] == [
        ("items", 4, next(iter(files))),
        ("interactions", 4, list(files)[1]),
    ]
    assert source.rules[-1] == movielens.RULE
    assert [Path(file.path).name for file in source.files] == list(files)


def test_from_the_zip(tmp_path: Path):
    zip_of(tmp_path / "ml-1m.zip", {f"ml-1m/{name}": text.encode("latin-1") for name, text in OLD.items()})
    source = read(tmp_path)
    assert source.items.column("text").to_pylist()[2] == "Misérables, Les (1995)"
    assert rows(source.interactions) == TAKEN
    assert len(source.files) == 1


def test_text_and_category_as_asked(tmp_path: Path):
    write(tmp_path, OLD, "latin-1")
    source = read(tmp_path, text_template="{title}. {genres}", category_column="genres")
    assert source.items.column("text").to_pylist()[0] == "Toy Story (1995). Drama|Children's"
    assert source.items.column("category").to_pylist()[0] == "Drama|Children's"
    with pytest.raises(UserError, match="has no column plot for texts; it has item_id, title, genres"):
        read(tmp_path, text_fields=("plot",))


@pytest.mark.parametrize("name", movielens.RELEASES)
def test_what_is_missing_is_named(tmp_path: Path, name: str):
    films, ratings = movielens.RELEASES[name]
    assert movielens.find([tmp_path]) is None
    error = movielens.missing(name, [tmp_path])
    assert f"{name}: there is no {films} and no {ratings} in {tmp_path}" in error.message
    assert movielens.OWNER in error.remedy
    (tmp_path / films).write_text("1::A::B\n")
    assert movielens.find([tmp_path]) is None
    assert f"{name}: there is no {ratings} in " in movielens.missing(name, [tmp_path]).message


@pytest.mark.parametrize(
    ("films", "ratings", "said"),
    [
        ("", OLD["ratings.dat"], "movies.dat is empty"),
        (OLD["movies.dat"] + "5::Cut", OLD["ratings.dat"], "movies.dat cannot be read: CSV parse error: Row #5"),
        (OLD["movies.dat"], OLD["ratings.dat"] + "1::2::5:", "ratings.dat cannot be read: CSV parse error: Row #5"),
        (OLD["movies.dat"], OLD["ratings.dat"] + "1::2::5::soon\n", "no ISO date, soon, in row 5 of column timestamp"),
        (OLD["movies.dat"].replace("::", ";"), OLD["ratings.dat"], "movies.dat cannot be read: CSV parse error"),
    ],
)
def test_damage_is_one_line(tmp_path: Path, films: str, ratings: str, said: str):
    write(tmp_path, {"movies.dat": films, "ratings.dat": ratings}, "latin-1")
    assert said in complaint(lambda: read(tmp_path))
