"""Memory that pictures leave behind, kept for the next one."""
import ctypes
import sys
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
_LARGEST_BLOCK, _KEPT = 32 * 2**20, 128 * 2**20  # bytes; glibc takes no larger block


def keep_freed_memory() -> None:
    """Have this process keep up to 128 MB that it has freed, on Linux; other systems are left as they are.

    Otherwise each picture's arrays go back to the system and are fetched again, page by page: a sixth of the processor
    time of an event, and two fifths in Dask's workers, which give back even more (`MALLOC_TRIM_THRESHOLD_`).
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library than glibc
            libc = ctypes.CDLL(None)
            libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK)
            libc.mallopt(_M_TRIM_THRESHOLD, _KEPT)
