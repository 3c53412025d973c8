"""Memory is kept between pictures: counted by the page faults of the operating system."""
import subprocess
import sys

import pytest

_FAULTS = """
import resource
import numpy as np
from fer_utils.vision.memory import keep_freed_memory
if {keep}:
    keep_freed_memory()
for _ in range(50):
    np.ones(8 * 2**20, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def _page_faults(keep: bool) -> int:
    environment = {"MALLOC_TRIM_THRESHOLD_": "65536"}  # as Dask's workers have it
    result = subprocess.run([sys.executable, "-c", _FAULTS.format(keep=keep)], capture_output=True, text=True,
                            check=True, env=environment)
    return int(result.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="a setting of glibc")
def test_freed_memory_is_used_again_without_page_faults():
    saved = _page_faults(keep=False) - _page_faults(keep=True)
    assert saved > 40 * 8 * 2**20 / 4096 / 16  # a page fault maps one to 16 pages
