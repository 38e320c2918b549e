import io

import pyarrow as pa
import pytest

from plmrs.data.sources.separated import as_tabs

TEXT = "1::Amélie:: a\tb\n2:::c::\n::\n3::Star Wars: Episode IV::d:\n"


class Slow(io.BytesIO):
    """Gives at most so many bytes at a time."""

    def __init__(self, content: bytes, most: int) -> None:
        super().__init__(content)
        self.most = most

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self.most if size is None or size < 0 else min(size, self.most))


@pytest.mark.parametrize("end", ["", "4::Alien", "4::Alien:", "4::", "4:::", "4::::", ":"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("most", [1, 2, 3, 5, 1000])
def test_a_separator_is_found_wherever_a_read_ends(most: int, encoding: str, end: str):
    text = TEXT + end
    stream = as_tabs(pa.PythonFile(Slow(text.encode(encoding), most), "r"), "::", encoding)
    found = b""
    while piece := stream.read(most):
        found += piece
    assert found.decode() == text.replace("\t", " ").replace("::", "\t")


def test_tabs_stay_where_they_are_the_separator():
    stream = as_tabs(pa.PythonFile(io.BytesIO("1\té\n".encode("latin-1")), "r"), "\t", "latin-1")
    assert stream.read().decode() == "1\té\n"


def test_one_letter():
    assert as_tabs(pa.PythonFile(io.BytesIO(b"1|a||b\n"), "r"), "|", "utf-8").read() == b"1\ta\t\tb\n"
