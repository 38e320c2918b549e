"""Work of several processes: what they are given, in which order it comes back, and what is told where one fails."""

import os
import signal
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from plmrs.errors import UserError
from plmrs.processes import in_turn

pytestmark = pytest.mark.usefixtures("quick_processes")

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Given:
    array: np.ndarray
    tensor: torch.Tensor
    layer: nn.Linear
    none: np.ndarray


def given() -> Given:
    torch.manual_seed(0)
    with torch.inference_mode():
        tensor = torch.randn(5, 3)
    return Given(np.arange(7, dtype=np.int32)[1:], tensor, nn.Linear(3, 2), np.zeros(0, np.int64))


def computed(told: Given, n: int) -> list[float]:
    with torch.inference_mode():
        return [n, *told.array.tolist(), *told.layer(told.tensor).flatten().tolist(), len(told.none)]


def deal(told: Given, device, process, processes, send) -> None:
    """Five answers, dealt out to the processes one by one."""
    assert device == CPU
    for n in range(process, 5, processes):
        send(computed(told, n))


def fail(how: str, device, process, processes, send) -> None:
    send("before")
    if process == 1 and how == "error":
        raise RuntimeError("no such thing")
    if process == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_is_dealt_out_comes_back_in_order_and_arrays_tensors_and_modules_arrive_as_they_were() -> None:
    told = given()
    assert list(in_turn(deal, told, [CPU, CPU])) == [(n % 2, computed(told, n)) for n in range(5)]


@pytest.mark.parametrize(("how", "message"), [("error", "RuntimeError: no such thing"), ("kill", "it was killed")])
def test_a_process_that_fails_is_told_in_a_line(how: str, message: str) -> None:
    messages = in_turn(fail, how, [CPU, CPU])
    assert [next(messages), next(messages)] == [(0, "before"), (1, "before")]
    with pytest.raises(UserError, match=f"process on cpu failed: {message}"):
        next(messages)
