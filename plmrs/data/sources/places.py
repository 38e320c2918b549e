"""Where raw files are looked for: in their folder, two levels below it, and in zips there."""

from collections.abc import Sequence
from pathlib import Path

from plmrs.data.sources.raw import RawFile, is_table, zipped
from plmrs.errors import UserError


def raw_files(places: Sequence[Path]) -> list[RawFile]:
    """The tables in these folders, two levels below them, and in zips there; damaged zips are left out.

    What lies nearer to the first place comes first, but everything unzipped before what is in a zip.
    """
    files = [RawFile(path) for path in _below(places) if is_table(RawFile(path).kind) and path.is_file()]
    for path in _zips(places):
        files += [file for file in _held(path) or [] if is_table(file.kind)]
    return files


def nearest(places: Sequence[Path], names: Sequence[str]) -> list[RawFile | None]:
    """The file of each name, as `table_name` gives it, that lies nearest to the first place; None where none is there.

    Ends of names do not matter: `movies.dat` is found as well as `movies.csv`.
    """
    files = [RawFile(path) for path in _below(places) if path.is_file()]
    files += [file for path in _zips(places) for file in _held(path) or []]
    return [next((file for file in files if table_name(file) == name), None) for name in names]


def damaged_zips(places: Sequence[Path]) -> list[Path]:
    """The zips there that cannot be read."""
    return [path for path in _zips(places) if _held(path) is None]


def table_name(file: RawFile) -> str:
    """A table's name as it is compared: in lower case, the end that tells its compression left out."""
    return file.name.lower().removesuffix(Path(file.name).suffix.lower() if file.compression else "")


def folder_of(file: RawFile) -> Path:
    """The folder that a file lies in; of a zip, the zip and the folder within it."""
    return file.path / Path(file.member).parent if file.member else file.path.parent


def not_found(what: str, data: str, places: Sequence[Path], owner: str) -> UserError:
    """The error for raw files that are not there; it names damaged zips, which may hold them.

    Args:
        what: Which ones, as in `articles.csv`.
        data: Of which data set.
        places: Where they are looked for.
        owner: Where the data's owner offers them.
    """
    looked = " and ".join(str(place) for place in places)
    damaged = " and ".join(str(path) for path in damaged_zips(places))
    if damaged:
        return UserError(
            f"{data}: there is no {what} in {looked}, and a zip that may hold it is damaged: {damaged}.",
            f"Download it again from its owner, {owner}.",
        )
    return UserError(
        f"{data}: there is no {what} in {looked}, nor two levels below or in a zip there.",
        f"Download it from its owner, {owner}, and put it, zipped or not, into {places[0]}.",
    )


def _below(places: Sequence[Path]) -> list[Path]:
    """What lies in these folders and two levels below them, level by level."""
    levels = [place.glob(level) for place in places for level in ("*", "*/*", "*/*/*")]
    return [path for level in levels for path in sorted(level)]


def _zips(places: Sequence[Path]) -> list[Path]:
    return [path for path in _below(places) if path.suffix.lower() == ".zip" and path.is_file()]


def _held(path: Path) -> list[RawFile] | None:
    """The files in a zip; None when it cannot be read."""
    try:
        return zipped(path)
    except UserError:
        return None
