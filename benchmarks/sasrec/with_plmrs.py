"""The command line of plmrs, which notes in a file when its first training step ended.

    python with_plmrs.py FILE train …

`metrics.json` counts from when the command has been read; the other programs are timed from the start of the process.
"""

import sys
import time
from pathlib import Path

from torch.optim.optimizer import register_optimizer_step_post_hook

from plmrs.cli import main

FILE = Path(sys.argv.pop(1))


def note(*_: object) -> None:
    FILE.write_text(str(time.time()))
    handle.remove()


if __name__ == "__main__":
    handle = register_optimizer_step_post_hook(note)
    sys.exit(main())
