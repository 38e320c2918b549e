"""The executable through its door: exit code first, then what stands on which stream."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from plmrs import __version__
from plmrs.cli import main
from plmrs.errors import UserError
from plmrs.report import Table

HEAVY = {"torch", "transformers", "pytorch_lightning", "deepspeed", "zarr", "pandas", "pyarrow", "numpy", "pydantic"}


@pytest.fixture
def verbs(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Put a stand-in for every verb; what it was called with is collected."""

    def put(does: Callable[..., list[Table]] = lambda *_: []) -> list[Any]:
        calls: list[Any] = []
        for name in ("prepare", "preinfer", "train", "evaluate", "recommend", "export", "inspect"):

            def verb(*given: Any, name: str = name) -> list[Table]:
                calls.append((name, *given))
                return does(*given)

            monkeypatch.setitem(sys.modules, f"plmrs.{name}.command", SimpleNamespace(**{name: verb}))
        return calls

    return put


def raising(error: BaseException) -> Callable[..., list[Table]]:
    def does(*_: Any) -> list[Table]:
        raise error

    return does


def child(*arguments: str, code: str = "sys.exit(main())", **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"import sys; from plmrs.cli import main; {code}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)


def test_the_command_lines_parse_exactly_so(verbs: Callable[..., list[Any]]) -> None:
    calls = verbs()
    for line in (
        "prepare MIND_small",
        "preinfer --devices 0 1",
        "train --plm facebook/opt-1.3b",
        "evaluate checkpoint",
        "recommend checkpoint -k 5",
        "export checkpoint",
        "inspect",
    ):
        assert main(line.split()) == 0
    verbs_called = [call[0] for call in calls]
    assert verbs_called == ["prepare", "preinfer", "train", "evaluate", "recommend", "export", "inspect"]
    assert calls[0][1] == "MIND_small"
    assert calls[1][1].device.devices == (0, 1)
    assert calls[2][1].plm.plm_name == "facebook/opt-1.3b"
    assert calls[3][1] == ["checkpoint"]
    assert calls[4][1] == calls[5][1] == "checkpoint"
    assert calls[4][2].wanted.topk == 5
    assert calls[6][1] == []


def test_ids_are_taken_as_they_stand(verbs: Callable[..., list[Any]]) -> None:
    calls = verbs()
    assert main(["recommend", "run", "--history", "007", "a b", "c,d", "-5", "é", "--topk", "3"]) == 0
    assert main(["recommend", "--history=--x", "run"]) == 0
    assert main(["recommend", "--users", "1,2"]) == 0
    assert calls[0][1] == "run"
    assert calls[0][2].wanted.history == ("007", "a b", "c,d", "-5", "é")
    assert calls[0][2].wanted.topk == 3
    assert calls[1][1:2] == ("run",)
    assert calls[1][2].wanted.history == ("--x",)
    assert calls[2][2].wanted.users == ("1,2",)


def test_arguments_may_stand_anywhere(verbs: Callable[..., list[Any]]) -> None:
    calls = verbs()
    assert main(["evaluate", "--devices", "0", "1", "run", "--topk-list", "5"]) == 0
    assert main(["prepare"]) == 0
    assert calls[0][1] == ["run"]
    assert calls[0][2].device.devices == (0, 1)
    assert calls[1][1] is None


def test_tables_and_findings_go_to_standard_output(
    verbs: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    def does(config: Any, progress: Any) -> list[Table]:
        progress.say("Training on demo.")
        progress.warn("One user has one item.")
        with progress.track("Encoding", 2, "items") as advance:
            advance(2)
        return [Table("Result", ["model", "HR@10"], [["text", 0.5]], ["all items"])]

    verbs(does)
    assert main(["train"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "Training on demo.",
        "",
        "Result",
        "model   HR@10",
        "-----  ------",
        "text   0.5000",
        "all items",
    ]
    assert err.startswith("Warning: One user has one item.\nEncoding: 2 items in")


def test_a_user_error_is_a_line_and_a_remedy(
    verbs: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    verbs(raising(UserError("No data set demi is prepared.", "Did you mean demo?")))
    assert main(["train"]) == 2
    assert capsys.readouterr() == ("", "Error: No data set demi is prepared.\nDid you mean demo?\n")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "runs/x"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        PermissionError(errno.EACCES, "Permission denied", "data"),
        PermissionError(errno.EPERM, "Operation not permitted", "data"),
        OSError(errno.EROFS, "Read-only file system", "data"),
        RuntimeError("[enforce fail at inline_container.cc:672] . PytorchStreamWriter failed writing file data/0"),
        RuntimeError("[enforce fail at inline_container.cc:603] . unexpected pos 64 vs 0"),
        type("SafetensorError", (Exception,), {})("I/O error: No space left on device (os error 28)"),
    ],
)
@pytest.mark.parametrize("behind", [False, True])
def test_a_disk_that_takes_nothing_is_one_line(
    verbs: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str], error: Exception, behind: bool
) -> None:
    def does(*_: Any) -> list[Table]:
        try:
            raise error
        except Exception:
            if behind:
                raise ValueError("cleaning up failed as well")  # noqa: B904 - the context is what is tested
            raise

    verbs(does)
    assert main(["train"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 2
    assert "Traceback" not in err
    assert "--root" in err


def test_the_file_that_could_not_be_written_is_named(
    verbs: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    verbs(raising(OSError(errno.ENOSPC, "No space left on device", "runs/x")))
    assert main(["train"]) == 2
    assert capsys.readouterr().err.startswith("Error: The disk is full: runs/x.\n")


@pytest.mark.parametrize("error", [ValueError("a bug"), RuntimeError("a bug"), OSError(errno.EIO, "I/O error")])
def test_a_bug_keeps_its_traceback(verbs: Callable[..., list[Any]], error: Exception) -> None:
    verbs(raising(error))
    with pytest.raises(type(error)) as caught:
        main(["train"])
    assert caught.value is error


def test_a_suppressed_cause_is_no_reason(verbs: Callable[..., list[Any]]) -> None:
    def does(*_: Any) -> list[Table]:
        try:
            raise PermissionError(errno.EACCES, "Permission denied")
        except OSError:
            raise ValueError("a bug of its own") from None

    verbs(does)
    with pytest.raises(ValueError):
        main(["train"])


def test_an_interrupt_is_one_line(verbs: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]) -> None:
    verbs(raising(KeyboardInterrupt()))
    assert main(["train"]) == 130
    assert capsys.readouterr().err == "Error: Interrupted.\n"


def test_an_interrupt_that_lightning_caught_is_one_too(
    verbs: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    def does(*_: Any) -> list[Table]:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)

    verbs(does)
    assert main(["train"]) == 130
    assert capsys.readouterr().err == "Error: Interrupted.\n"


@pytest.mark.parametrize(
    ("line", "first", "second"),
    [
        ("trian", "Error: No such command 'trian'. Did you mean 'train'?", "`plmrs --help`"),
        ("--verison", "Error: No such option: --verison", "`plmrs --help`"),
        ("export a b", "Error: Got unexpected extra argument", "`plmrs export --help`"),
        ("train --sasrec-seq-len x", "Error: --sasrec-seq-len: 'x' is not a whole number.", "It sets: "),
        ("train --seqlen 5", "Error: plmrs train has no option --seqlen.", "--sasrec-seq-len?"),
    ],
)
def test_a_misspelt_command_line_is_answered_briefly(
    capsys: pytest.CaptureFixture[str], line: str, first: str, second: str
) -> None:
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(first)
    assert second in lines[1]


def test_the_processes_of_a_distributed_run_speak_once(
    verbs: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def does(config: Any, progress: Any) -> list[Table]:
        progress.say("said")
        progress.warn("warned")
        with progress.track("Encoding", 2, "items") as advance:
            advance(2)
        return [Table("Result", ["a"], [[1]])]

    verbs(does)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert main(["train"]) == 0
    assert capsys.readouterr() == ("", "")
    verbs(raising(UserError("Two processes cannot share it.")))
    assert main(["train"]) == 2
    assert capsys.readouterr().err == "Error (process 1): Two processes cannot share it.\n"


def test_libraries_warnings_are_not_the_users(
    verbs: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    def does(*_: Any) -> list[Table]:
        import logging
        import warnings

        warnings.warn("set num_workers", UserWarning, stacklevel=1)
        logging.getLogger("some.library").warning("consider this")
        logging.getLogger("some.library").error("this failed\nwith many lines")
        logging.getLogger("some.library").error("this failed\nwith many lines")
        logging.getLogger("plmrs.data").warning("row 3 has no text")
        return []

    verbs(does)
    assert main(["train"]) == 0
    assert capsys.readouterr().err == "Warning: this failed\nWarning: row 3 has no text\n"


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"plmrs {__version__}\n"
    for arguments in (["--help"], []):
        assert main(arguments) == 0
        assert "evaluate" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["prepare", "preinfer", "train", "evaluate", "recommend", "export", "inspect"])
def test_help_shows_options_in_panels(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert main([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert "─ Workspace ─" in out
    assert "--config" in out
    assert "[env var: PLMRS_ROOT] [default: data]" in out
    if verb == "train":
        assert "--plm-name,--plm" in out
        assert "text|id|text+id" in out
        assert "[default: 5 10 20]" in out
        assert "--no-mask-seen" in out


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    loaded = child("--help", code="code = main(); print('LOADED', *sys.modules); sys.exit(code)")
    assert loaded.returncode == 0
    assert not HEAVY & set(loaded.stdout.partition("LOADED")[2].split())
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        child("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert min(seconds) < 0.4  # processor time: the wall clock depends on what else the machine does


def test_a_bug_ends_a_process_with_a_plain_traceback() -> None:
    code = (
        "from types import SimpleNamespace as N; "
        "sys.modules['plmrs.train.command'] = N(train=lambda *_: 1 / 0); sys.exit(main())"
    )
    process = child("train", code=code)
    assert process.returncode == 1
    assert process.stderr.startswith("Traceback (most recent call last)")
    assert "ZeroDivisionError" in process.stderr.splitlines()[-1]


def test_exit_code_of_the_process() -> None:
    process = child("train", "--seqlen", "5")
    assert process.returncode == 2
    assert "Traceback" not in process.stderr
