"""How busy other processes kept the machine during a measurement."""

import contextlib
import pathlib

# Above it, what is measured is as much the neighbors as the competitors.
MAX_OTHERS = 0.1


def _sum_fields(path: str, first: int, last: int) -> int:
    """Returns the sum of some fields of the first line of a Linux accounting file."""
    fields = pathlib.Path(path).read_text(encoding="ascii").splitlines()[0].rpartition(")")[2]
    return sum(int(field) for field in fields.removeprefix("cpu").split()[first:last])


class OthersTime:
    """Processor time that went to processes that take no part; nothing where /proc is missing."""

    def __init__(self):
        self._others = self._total = 0
        self._known = pathlib.Path("/proc/stat").exists()

    @contextlib.contextmanager
    def around(self, process_id: int):
        """Adds up what is spent beside a process while the context lasts."""
        before = self._ticks(process_id)
        yield
        all_, own, capacity = (b - a for a, b in zip(before, self._ticks(process_id), strict=True))
        self._others += max(all_ - own, 0)
        self._total += capacity

    def _ticks(self, process_id: int) -> tuple[int, int, int]:
        """Returns ticks spent by all processes, by this one, and that there were."""
        if not self._known:
            return 0, 0, 0
        # User, nice and system time come first, then idle and waiting, then interrupts.
        busy = _sum_fields("/proc/stat", 0, 3) + _sum_fields("/proc/stat", 5, 8)
        capacity = _sum_fields("/proc/stat", 0, 8)
        return busy, _sum_fields(f"/proc/{process_id}/stat", 11, 13), capacity

    def describe(self) -> str:
        """Returns the share of others, with a warning where it spoils the measurement."""
        if not self._total:
            return "processor time of other processes: unknown on this system"
        share = self._others / self._total
        line = f"processor time of other processes meanwhile: {100 * share:.0f} %"
        if share > MAX_OTHERS:
            line += (
                "\nTHE MACHINE WAS BUSY: these ratios do not count, since a busy core costs some "
                "thread pools more than others. Run it again on a quiet machine."
            )
        return line
