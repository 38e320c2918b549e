"""The side of a process that works for another: what it says, and how it takes units."""

import logging
import multiprocessing
import os
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, cast

from plmrs.errors import UserError
from plmrs.preinfer.pipeline import work_through
from plmrs.preinfer.stage import Stage, Worker

log = logging.getLogger(__name__)

KEPT = "Finished units are kept: run the same command again to go on."


@dataclass(frozen=True)
class Asks:
    """A worker can take another unit."""


@dataclass(frozen=True)
class Wrote:
    """A worker's unit is on disk."""

    unit: int


@dataclass(frozen=True)
class Moved:
    """A worker has computed some more texts and tokens of a unit."""

    unit: int
    texts: int
    tokens: int


@dataclass(frozen=True)
class Failed:
    """A worker has met an error and ends."""

    message: str
    remedy: str


def serve(stage: Stage, device: int, connection: Connection) -> None:
    """A worker: take units from the parent until it has no more."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    sending = threading.Lock()  # reading, computing and writing each tell the parent something

    def send(message: Any) -> None:
        with sending:
            connection.send(message)

    def following() -> int | None:
        send(Asks())
        return cast("int | None", connection.recv())

    try:
        work_through(
            Worker(stage, device),
            following,
            lambda unit: send(Wrote(unit)),
            lambda unit, texts, tokens: send(Moved(unit, texts, tokens)),
        )
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # The parent is gone.
    except UserError as error:
        send(Failed(error.message, error.remedy))
    except Exception as error:
        log.exception("The worker on %s %d failed.", stage.accelerator, device)
        send(Failed(f"{type(error).__name__}: {error}", KEPT))


def _end_with(parent: BaseProcess) -> None:
    """End at once when the parent does: another command may begin where it stood."""
    parent.join()
    os._exit(1)
