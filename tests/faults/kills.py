"""Kill the verbs at random moments, and see that nothing is lost, nothing is wrong, and the next run finishes.

    python tests/faults/kills.py --kills 200 --seed 1 [--verbs prepare,train] [--size 1]

Each command runs on small data and gets a signal, SIGKILL or, for one in four, SIGINT. Then what looks finished is
compared with what an undisturbed run leaves, the command is run again (`train` with `--resume`), and what it leaves is
compared as well. The exit code is 1 if anything was lost, wrong or left unfinished. A folder in which it was is kept.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for what all tests have in common

import forks
from disturb import Outcome, disturb, undisturbed
from scenes import SCENES, VERBS, write_plm, write_tables

MOMENTS = ("before", "during", "after")
FAULTS = ("lost", "wrong", "unfinished", "left")
INTERRUPTS = 4
"""One signal in so many is that of Ctrl-C."""
IN_A_ROW = 2
"""Kills of a scene before it is another's turn."""


def main() -> int:
    """Run the command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="over all verbs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbs", default=",".join(VERBS))
    parser.add_argument("--size", type=float, default=1.0, help="of the data: 1 is 3,000 items and 6,000 users")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="plmrs-kills-"))
    began, draw = time.monotonic(), random.Random(options.seed)
    forks.warm()
    inputs = folder / "inputs"
    inputs.mkdir()
    write_tables(inputs, int(3000 * options.size), int(6000 * options.size))
    if forks.start(lambda: write_plm(inputs / "bert") or 0, folder, folder / "output.txt").wait() != 0:
        sys.exit((folder / "output.txt").read_text())
    scenes = [scene for scene in SCENES if scene.verb in options.verbs.split(",")]
    if not scenes:
        sys.exit(f"--verbs {options.verbs}: name some of {', '.join(VERBS)}.")
    verbs = list(dict.fromkeys(scene.verb for scene in scenes))
    usual = {}
    outcomes: list[tuple[str, int, Outcome]] = []
    for number in range(options.kills):
        verb = verbs[number % len(verbs)]
        own = [scene for scene in scenes if scene.verb == verb]
        scene = own[number // len(verbs) // IN_A_ROW % len(own)]
        if scene.name not in usual:
            usual[scene.name] = undisturbed(scene, inputs, folder / f"{verb}-{scene.name}".replace(" ", "-"))
        sent = signal.SIGINT if draw.randrange(INTERRUPTS) == 0 else signal.SIGKILL
        outcome = disturb(scene, usual[scene.name], sent, draw, folder / f"kill-{number}")
        outcomes.append((verb, sent, outcome))
        for fault in FAULTS:
            for what in getattr(outcome, fault):
                print(f"{number}: {verb} ({scene.name}), {sent.name} {outcome.moment}: {fault}: {what}", flush=True)
    _print(verbs, outcomes, time.monotonic() - began)
    if any(outcome.lost or outcome.wrong or outcome.unfinished for _, _, outcome in outcomes):
        print(f"See {folder}.")
        return 1
    shutil.rmtree(folder)
    return 0


def _print(verbs: list[str], outcomes: list[tuple[str, int, Outcome]], seconds: float) -> None:
    """Print a row a verb."""
    print(f"{'':12}" + "".join(f"{name:>12}" for name in ("SIGKILL", "SIGINT", *MOMENTS, *FAULTS)))
    for verb in [*verbs, "all"]:
        own = [(sent, outcome) for name, sent, outcome in outcomes if verb in (name, "all")]
        sent, moments = Counter(sent for sent, _ in own), Counter(outcome.moment for _, outcome in own)
        faults = [sum(bool(getattr(outcome, fault)) for _, outcome in own) for fault in FAULTS]
        row = [sent[signal.SIGKILL], sent[signal.SIGINT], *(moments[moment] for moment in MOMENTS), *faults]
        print(f"{verb:12}" + "".join(f"{number:12}" for number in row))
    print(f"{len(outcomes)} kills in {seconds:.0f} s.")


if __name__ == "__main__":
    sys.exit(main())
