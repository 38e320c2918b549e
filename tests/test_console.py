"""What the console writes, in a log file and in a terminal."""

import io
import json
import re
from contextlib import suppress
from types import SimpleNamespace

import pytest

from plmrs import console as console_module
from plmrs.console import Console
from plmrs.errors import UserError
from plmrs.report import Silent, Table, shown
from plmrs.tables import fitted, plain_lines

TABLE = Table(
    "Test split",
    ["model", "HR@10", "users", "note"],
    [["text", 0.123456, 12345, None], ["a much longer [name]", 1.0, 7, "best"]],
    ["rank among all 2,000 items"],
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard output and standard error as one terminal of 80 columns."""
    screen = Terminal()
    # pytest puts its own streams into `sys` when the test begins, after this fixture.
    monkeypatch.setattr(console_module, "sys", SimpleNamespace(stdout=screen, stderr=screen))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return screen


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch):
    """A clock that stands still until it is moved on."""
    now = [100.0]
    monkeypatch.setattr(console_module.time, "monotonic", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


def test_cells() -> None:
    assert [shown(cell) for cell in ("a", 1234567, 0.5, None, True, -3)] == [
        "a",
        "1,234,567",
        "0.5000",
        "-",
        "yes",
        "-3",
    ]


def test_plain_tables_are_aligned_and_whole() -> None:
    assert plain_lines(TABLE) == [
        "Test split",
        "model                  HR@10   users  note",
        "--------------------  ------  ------  ----",
        "text                  0.1235  12,345  -",
        "a much longer [name]  1.0000       7  best",
        "rank among all 2,000 items",
    ]


def test_letters_of_two_columns_are_aligned_and_marks_take_none(terminal: Terminal) -> None:
    # 8 letters of two columns; an e with its accent as a letter of its own.
    table = Table("Books", ["title", "n"], [["日本語のタイトル", 1], ["cafe\u0301", 22]])
    assert plain_lines(table)[1:] == [
        "title              n",
        "----------------  --",
        "日本語のタイトル   1",
        "cafe\u0301              22",
    ]
    assert fitted([["日本語のタイトル", "ab"]], 80) == [16, 2]
    assert fitted([["日本語のタイトル", "ab"]], 12) == [8, 2]
    Console().show([table])
    assert "日本語のタイトル" in terminal.getvalue()


def test_a_table_without_headings_or_rows() -> None:
    assert plain_lines(Table("Run", ["", ""], [["data", "demo"]])) == ["Run", "data  demo"]
    assert plain_lines(Table("Runs", ["name"], [])) == ["Runs", "name", "----"]


def test_a_wide_table_is_not_shortened_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    Console().show([Table("Paths", ["path"], [["x" * 300]])])
    assert "x" * 300 in capsys.readouterr().out.splitlines()


def test_a_terminal_gets_a_drawn_table(terminal: Terminal) -> None:
    Console().show([TABLE])
    lines = terminal.getvalue().splitlines()
    assert any("a much longer [name]" in line for line in lines)
    assert any("12,345" in line for line in lines)
    assert "─" in terminal.getvalue()


def test_a_terminal_wraps_what_is_too_wide(terminal: Terminal) -> None:
    Console().show([Table("Paths", ["path", "n"], [["x" * 100, 5]])])
    assert terminal.getvalue().count("x") == 100
    assert max(len(line) for line in re.sub(r"\x1b\[[\d;]*m", "", terminal.getvalue()).splitlines()) <= 80


@pytest.mark.parametrize("terminal_of", [False, True], ids=["file", "terminal"])
def test_what_the_encoding_lacks_does_not_stop_it(terminal_of: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="ascii")
    monkeypatch.setattr(stream, "isatty", lambda: terminal_of)
    monkeypatch.setattr(console_module, "sys", SimpleNamespace(stdout=stream, stderr=stream))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = Console()
    console.say("déjà vu")
    console.show([Table("Lengths", ["", "bars"], [["items", "▁▄█ ▂"]])])
    stream.flush()
    told = written.getvalue().decode("ascii")
    assert "d?j? vu\n" in told
    assert "??? ?" in told


def test_no_color_means_plain_lines(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console()
    console.show([TABLE])
    with console.track("Encoding", 1, "items") as advance:
        advance()
    assert "\x1b" not in terminal.getvalue()
    assert "--------------------  ------" in terminal.getvalue()


def test_a_warning_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    for _ in range(3):
        console.warn("two [users] have one item")
    assert capsys.readouterr().err == "Warning: two [users] have one item\n"


def test_an_error_without_remedy_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Console().error(UserError("It is gone."))
    assert capsys.readouterr().err == "Error: It is gone.\n"


def test_progress_in_a_file_is_a_line_now_and_then(clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Console().track("Encoding", 10_000, "items") as advance:
        for _ in range(100):
            clock(0.25)
            advance(100, "2 left out")
    assert capsys.readouterr().err.splitlines() == [
        "Encoding: 4,000 of 10,000 items, 400 items/s, 15 s left, 2 left out",
        "Encoding: 8,000 of 10,000 items, 400 items/s, 5.0 s left, 2 left out",
        "Encoding: 10,000 items in 25 s, 400 items/s, 2 left out",
    ]


def test_a_log_of_days_can_be_read(clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    with Console().track("Encoding", 360_000, "items") as advance:
        for _ in range(100):  # hours
            for _ in range(3600):
                clock(1.0)
                advance()
            lines.append(len(capsys.readouterr().err.splitlines()))
    assert lines[0] > 150
    assert lines[-1] == 6
    assert 500 < sum(lines) < 1500


def test_resumed_progress_counts_what_was_done_before_but_not_its_speed(
    clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Console().track("Encoding", 1000, "items", done=600) as advance:
        clock(100)
        advance(200)
        clock(100)
        advance(200)
    assert capsys.readouterr().err.splitlines() == [
        "Encoding: 800 of 1,000 items, 2 items/s, 1 min 40 s left",
        "Encoding: 400 more items in 3 min 20 s, 2 items/s",
    ]


def test_an_ended_job_says_where_it_stopped(clock, capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(KeyboardInterrupt), Console().track("Encoding", 10, "items") as advance:
        advance(3)
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "Encoding: stopped at 3 of 10 items\n"


def test_a_job_of_nothing(clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Console().track("Encoding", 0, "items"):
        pass
    assert capsys.readouterr().err == "Encoding: 0 items in 0.0 s\n"


def test_hours(clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Console().track("Training", 2, "epochs") as advance:
        clock(7500)
        advance(2)
    assert capsys.readouterr().err == "Training: 2 epochs in 2 h 5 min, 0.000267 epochs/s\n"


def test_a_terminal_gets_a_bar_with_lines_above_it(terminal: Terminal) -> None:
    console = Console()
    with console.track("Outer [1]", 2, "folds") as outer:
        with console.track("Inner", 10, "steps", done=3) as inner:
            inner(2, "loss 3.21")
            console.say("epoch 1 was [best]")
        outer()
        outer()
    text = terminal.getvalue()
    assert "Outer [1]" in text
    assert "epoch 1 was [best]\n" in text.replace("\r", "")
    assert "Inner: stopped at 5 of 10 steps" in text
    assert "Outer [1]: 2 folds in" in text
    console.say("after")
    assert terminal.getvalue().endswith("after\n")


def test_the_bar_shows_count_rate_and_note(terminal: Terminal) -> None:
    console = Console()
    with console.track("Encoding", 12_000, "items") as advance:
        advance(3000, "loss 3.21")
        assert console._bars is not None
        console._bars.refresh()  # it draws itself ten times a second
    text = terminal.getvalue()
    assert "3,000/12,000" in text
    assert "items/s" in text
    assert "loss 3.21" in text


def test_a_piped_output_keeps_its_lines_while_a_bar_runs(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(console_module.sys, "stdout", pipe)
    console = Console()
    with console.track("Encoding", 1, "items") as advance:
        console.say("said")
        advance()
    assert pipe.getvalue() == "said\n"
    assert "said" not in terminal.getvalue()


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    for progress in (Console(silent=True), Silent()):
        progress.say("said")
        progress.warn("warned")
        with progress.track("Encoding", 1, "items") as advance:
            advance(1, "note")
    Console(silent=True).show([TABLE])
    assert capsys.readouterr() == ("", "")


def test_a_narrow_terminal_shows_the_note_before_the_count(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plmrs.console._Job.rate", lambda job: 1234.0)  # What is drawn is as long on any machine.
    console = Console()
    note = "epoch 12, loss 7.419, best NDCG@10 0.0025"
    with console.track("Training", 12_000, "users") as advance:
        advance(3, note)
        assert console._bars is not None
        console._bars.refresh()
    drawn = terminal.getvalue().rpartition("Training:")[0]
    assert note in drawn
    assert "3/12,000" not in drawn


def test_tables_as_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.as_json = True
    console.say("Something was found.")
    with console.track("Reading", 2, "files") as advance:
        advance(2)
    console.show([TABLE, Table("Odd", ["", "x"], [["ü", float("nan")]])])
    out, err = capsys.readouterr()
    first, second = json.loads(out)["tables"]
    assert first["rows"] == [["text", 0.123456, 12345, None], ["a much longer [name]", 1.0, 7, "best"]]
    assert (first["title"], first["columns"], first["notes"]) == (TABLE.title, TABLE.columns, TABLE.notes)
    assert second["rows"] == [["ü", None]]
    assert "Something was found." in err
    assert "Reading: 2 files" in err


def test_columns_that_fit_are_as_wide_as_their_widest_cell() -> None:
    assert fitted([["a", "bcd"], ["efgh", ""]], 80) == [4, 3]


def test_columns_are_broken_between_words_first() -> None:
    rows = [["val NDCG@10", "state"], ["0.1", "unfinished"]]
    assert fitted(rows, 20) == [8, 10]
    assert fitted(rows, 19) == [7, 10]


def test_a_long_word_is_broken_before_short_words_beside_it() -> None:
    widths = fitted([["tokens kept of a text", "sha256:" + 64 * "f"]], 80)
    assert widths == [21, 57]
    assert sum(fitted([["a" * 50, "b" * 50, "c"]], 40)) == 36


def test_the_best_numbers_are_bold_in_a_terminal_only(terminal: Terminal) -> None:
    table = Table("Metrics", ["model", "HR@10"], [["text", 0.25], ["id", 0.5]], bold={(1, 1)})
    Console().show([table])
    drawn = terminal.getvalue()
    assert re.search(r"\x1b\[1m *0\.5000\x1b\[0m", drawn)
    assert not re.search(r"\x1b\[1m *0\.2500", drawn)
    assert "\x1b" not in "".join(plain_lines(table))


@pytest.mark.parametrize("terminal_of", [False, True], ids=["file", "terminal"])
def test_no_text_commands_the_terminal(
    terminal_of: bool, terminal: Terminal, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not terminal_of:
        monkeypatch.setattr(terminal, "isatty", lambda: False)
    odd = "a\x1b[2Jb\x07\x9b31m\u202ec\rd\ne [/red] é 数"
    console = Console()
    console.say(odd)
    console.warn(odd)
    console.error(UserError(odd, odd))
    console.show([Table(odd, [odd, "n"], [[odd, 1]], [odd])])
    said = re.sub(r"\x1b\[[\d;]*m", "", terminal.getvalue())
    assert not set(said) & set("\x1b\x07\x9b\u202e\r")
    assert said.count("a\\x1b[2Jb\\x07\\x9b31m\\u202ec\\rd\\ne [/red] é 数") >= 5
