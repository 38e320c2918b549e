import platform
import subprocess
import sys

import pytest

# Large buffers among small ones that stay, freed: what of them the process still holds, in MiB.
CHILD = """
import sys
import psutil
import torch
from plmrs.plm.buffers import give_back_large_buffers

if sys.argv[1] == "give":
    give_back_large_buffers()
held = psutil.Process().memory_info().rss
torch.zeros(2**23)  # freed at once: from now on glibc takes buffers of up to that size from its heap
small = []
for _ in range(2):
    large = []
    for _ in range(40):
        large.append(torch.ones(2**20))  # 4 MiB
        small.append(torch.ones(1000))
    del large
print((psutil.Process().memory_info().rss - held) / 2**20)
"""


def still_held(how: str) -> float:
    return float(subprocess.run([sys.executable, "-c", CHILD, how], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has other ways")
def test_what_is_freed_goes_back_to_the_system():
    assert still_held("give") < 16
    assert still_held("keep") > 60
