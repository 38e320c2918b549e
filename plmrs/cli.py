"""The executable: a function a subcommand, from options to a verb's tables. No work is done here.

A verb is imported when it is called, because torch alone takes seconds and `plmrs --help` must not.
"""

import errno
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from plmrs import __version__
from plmrs.console import Console
from plmrs.errors import UserError
from plmrs.options import CONFIG, VerbCommand

app = typer.Typer(
    help="Recommend with text: pretrained language models and SASRec, from raw logs to full-ranking metrics.",
    epilog="A first run: plmrs prepare demo, then plmrs train --plm minilm, then plmrs evaluate.",
    add_completion=False,
)

_USAGE_ERROR: Any = typer.BadParameter.__base__
"""What Typer raises for a command line it cannot parse; it exports only this subclass."""

_MORE_ROOM = "Free some space, or put --root and --runs on another disk. What was complete before is kept."
_ELSEWHERE = "Move it out of the way, or name other folders with --root and --runs."
_MENDABLE = {
    errno.ENOSPC: ("The disk is full", _MORE_ROOM),
    errno.EDQUOT: ("Your quota on the disk is used up", _MORE_ROOM),
    errno.EACCES: ("Permission denied", "Change its permissions, or name other folders with --root and --runs."),
    errno.EPERM: ("Operation not permitted", "Change its permissions, or name other folders with --root and --runs."),
    errno.EROFS: ("The file system is read-only", "Name folders on another one with --root and --runs."),
    errno.EFBIG: ("A file would be larger than is allowed", _MORE_ROOM),
    errno.ENOTDIR: ("A file is where a folder should be", _ELSEWHERE),
    errno.EEXIST: ("A file is where a folder should be", _ELSEWHERE),
    errno.EISDIR: ("A folder is where a file should be", _ELSEWHERE),
    errno.ENAMETOOLONG: ("A name is too long for the file system", "Give a shorter one."),
    errno.EMFILE: ("Too many files are open", "Allow more of them: `ulimit -n 4096`."),
}


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"plmrs {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, help="Show the version.")] = False,
) -> None:
    """Options of plmrs itself."""


@app.command(cls=VerbCommand)
def prepare(
    context: typer.Context,
    source: Annotated[
        str | None, typer.Argument(metavar="NAME", help="demo, MIND_small, hm, …, or a name for your own tables.")
    ] = None,
) -> None:
    """Read raw files, or generate the demo, into a prepared data set."""
    from plmrs.prepare.command import prepare

    context.obj.show(prepare(source, context.meta[CONFIG], context.obj))


@app.command(cls=VerbCommand)
def preinfer(context: typer.Context) -> None:
    """Run the frozen language model over all items, into the embedding cache."""
    from plmrs.preinfer.command import preinfer

    context.obj.show(preinfer(context.meta[CONFIG], context.obj))


@app.command(cls=VerbCommand)
def train(context: typer.Context) -> None:
    """Train a recommender; missing data and caches are made first."""
    from plmrs.train.startup import defer_torchmetrics

    defer_torchmetrics()
    from plmrs.train.command import train

    context.obj.show(train(context.meta[CONFIG], context.obj))


@app.command(cls=VerbCommand)
def evaluate(
    context: typer.Context,
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN|CHECKPOINT", help="Runs or checkpoints of one data set. Default: the run begun last."
        ),
    ] = None,
) -> None:
    """Rank all items for every test user, and measure."""
    from plmrs.evaluate.command import evaluate

    context.obj.show(evaluate(what, context.meta[CONFIG], context.obj))


@app.command(cls=VerbCommand)
def recommend(
    context: typer.Context,
    what: Annotated[
        str | None, typer.Argument(metavar="RUN|CHECKPOINT", help="A run or checkpoint. Default: the run begun last.")
    ] = None,
) -> None:
    """Recommend items to users, to a history, and out of new items."""
    from plmrs.recommend.command import recommend

    context.obj.show(recommend(what, context.meta[CONFIG], context.obj))


@app.command(cls=VerbCommand)
def export(
    context: typer.Context,
    what: Annotated[
        str | None, typer.Argument(metavar="RUN|CHECKPOINT", help="A run or checkpoint. Default: the run begun last.")
    ] = None,
) -> None:
    """Write item vectors, the user encoder and a model card for other programs."""
    from plmrs.export.command import export

    context.obj.show(export(what, context.meta[CONFIG], context.obj))


@app.command(cls=VerbCommand)
def inspect(
    context: typer.Context,
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="WHAT", help="A name or path; several runs are compared. Default: everything."),
    ] = None,
) -> None:
    """Show what is prepared, cached and trained, one thing's details, or what differs between runs."""
    from plmrs.inspect.command import inspect

    config = context.meta[CONFIG]
    context.obj.as_json = config.shown.as_json
    context.obj.show(inspect(what or [], config, context.obj))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and give its exit code: 0, 2 for an error the user can mend, 130 when interrupted."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    # A process that a distributed run started: its output is that of the first process once more.
    ranks = ("LOCAL_RANK", "RANK", "SLURM_PROCID") if arguments[:1] == ["train"] else ("LOCAL_RANK",)
    console = Console(silent=any(os.environ.get(rank, "0") != "0" for rank in ranks))
    command = typer.main.get_command(app)
    try:
        with _libraries_heard(console):
            # Without standalone mode errors come here, and an interrupt comes as its exit code.
            code = command.main(arguments or ["--help"], "plmrs", standalone_mode=False, obj=console)
    except SystemExit as exit_:
        # Lightning turns an interrupt into an exit of its own.
        code = 130 if isinstance(exit_.__context__, KeyboardInterrupt) else exit_.code
    except Exception as error:
        mendable = _mendable(error)
        if mendable is None:
            raise
        console.error(mendable)
        return 2
    if code == 130 and not console.silent:
        console.error(UserError("Interrupted."))
    return code if isinstance(code, int) else 0


def _mendable(error: BaseException) -> UserError | None:
    """The error as one the user can mend; None when it is a fault of the program.

    A full disk may lie behind an error that was raised while a library cleaned up, or be known by its text only.
    """
    if isinstance(error, UserError):
        return error
    if isinstance(error, _USAGE_ERROR):
        hint = f"`{error.ctx.command_path} --help` shows the usage." if error.ctx else ""
        message = error.format_message()
        return UserError(message if message.endswith((".", "?")) else f"{message}.", hint)
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        seen.append(link)
        if isinstance(link, OSError) and link.errno in _MENDABLE:
            message, remedy = _MENDABLE[link.errno]
            place = link.filename2 or link.filename  # The second is what a temporary file was to be renamed to.
            return UserError(f"{message}: {place}." if place else f"{message}.", remedy)
        if any(sign in str(link) for sign in _FULL_DISK.get(type(link).__name__, ())):
            return UserError("The disk is full.", _MORE_ROOM)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return None


_FULL_DISK = {
    "RuntimeError": ("PytorchStreamWriter failed", "unexpected pos", "No space left", "iostream error"),
    "SafetensorError": ("No space left",),
}
"""What torch.save and safetensors say, by the type of error, when a file cannot be written whole."""


class _Handler(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        # A library's warnings are for the programmer who calls it; only its errors concern the user.
        if record.name.startswith("plmrs") or record.levelno >= logging.ERROR:
            self.console.warn(record.getMessage().strip().partition("\n")[0])


@contextmanager
def _libraries_heard(console: Console) -> Iterator[None]:
    """Tell libraries' errors as a line, once, and their warnings not at all, unless Python is asked for them (`-W`)."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    handler = _Handler(console)
    logging.getLogger().addHandler(handler)
    thread_failed = threading.excepthook

    def told(failure: threading.ExceptHookArgs) -> None:
        # TensorBoard writes in a thread of its own, which a full disk ends.
        mendable = None if failure.exc_value is None else _mendable(failure.exc_value)
        if mendable is None:
            thread_failed(failure)
        else:
            console.warn(mendable.message)

    threading.excepthook = told
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.simplefilter("ignore")
            yield
    finally:
        threading.excepthook = thread_failed
        logging.getLogger().removeHandler(handler)
