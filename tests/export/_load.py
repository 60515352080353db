"""Threads that call a server without a pause, while something else happens to it."""

import threading

import numpy as np

SECONDS = 60


class Load:
    """Calls each function in a thread of its own, until the end of the block.

    Args:
      calls: Functions of a random generator that return the version that answered.

    Attributes:
      seen: The versions that each thread has seen, in order.
      errors: What the calls have raised.
    """

    def __init__(self, calls):
        self.seen, self.errors = [[] for _ in calls], []
        self._changed, self._stopped = threading.Condition(), False
        self._threads = [
            threading.Thread(target=self._run, args=(call, seen, seed), daemon=True)
            for seed, (call, seen) in enumerate(zip(calls, self.seen, strict=True))
        ]

    def _run(self, call, seen, seed):
        rng = np.random.default_rng(seed)
        while not self._stopped:
            try:
                version = call(rng)
            except Exception as error:
                with self._changed:
                    self.errors.append(error)
                    self._changed.notify_all()
                return
            with self._changed:
                seen.append(version)
                self._changed.notify_all()

    def wait_until_all_saw(self, version, calls=1):
        """Waits until every thread has that many answers of a version, or one has failed."""

        def done():
            return self.errors or all(seen.count(version) >= calls for seen in self.seen)

        with self._changed:
            assert self._changed.wait_for(done, SECONDS), f"version {version}: {self.seen}"

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stopped = True
        for thread in self._threads:
            thread.join(SECONDS)
