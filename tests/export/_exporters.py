"""Exporters in processes of their own, which need nothing but publish.py and the standard library.

python -I -S _exporters.py PUBLISH_PY killed ROOT
python -I -S _exporters.py PUBLISH_PY together BASE COUNT ROUNDS [VERSION]
python -I -S _exporters.py PUBLISH_PY waiting BASE
"""

import importlib.util
import itertools
import json
import multiprocessing
import os
import pathlib
import signal
import sys

CONTENT = {"saved_model.pb": "graph", "variables/data": "weights"}
# Every call that changes or looks at a folder is announced by one of these, before it is made.
_EVENTS = {"open", "os.mkdir", "os.rename", "os.rmdir", "os.remove", "os.listdir", "os.scandir"}
_EVENTS |= {"fcntl.flock", "shutil.rmtree"}


def write(folder, extra=None):
    """Writes what every version of these tests holds."""
    for name, text in {**CONTENT, **(extra or {})}.items():
        path = pathlib.Path(folder, name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _load(path):
    spec = importlib.util.spec_from_file_location("publish", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _killed(module, root):
    """Starts exporters in ROOT/1, ROOT/2 ...; the k-th kills itself at its k-th look at a folder.

    Each finds version 1, publishes version 2 and removes the first. The last one is not killed.
    """
    for k in itertools.count(1):
        base = os.path.join(root, str(k))
        os.makedirs(os.path.join(base, "1"))
        write(os.path.join(base, "1"))
        pid = os.fork()
        if not pid:
            left = itertools.count(k - 1, -1)

            def kill_at_last(event, _, left=left):
                if event in _EVENTS and not next(left):
                    os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(kill_at_last)
            module.publish(base, write)
            module.prune(base, keep=1)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(status, flush=True)
        if status != -signal.SIGKILL:
            return


def _together(module, base, count, rounds, version=None):
    """COUNT exporters that have all written before the first of them publishes."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(int(count))

    def export(index):
        for turn in range(int(rounds)):

            def write_and_wait(folder, turn=turn):
                write(folder, {"author": f"{index} {turn}"})
                if turn == 0:
                    barrier.wait()

            try:
                path = module.publish(base, write_and_wait, version and int(version))
                result = {"author": f"{index} {turn}", "path": path}
            except module.VersionExistsError as error:
                result = {"error": str(error)}
            # One write of a short line, so that lines of several processes do not mix.
            os.write(1, (json.dumps(result) + "\n").encode())

    processes = [context.Process(target=export, args=(index,)) for index in range(int(count))]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def _waiting(module, base):
    """Says when it has written, and publishes when it is told to."""

    def write_and_wait(folder):
        write(folder)
        print("written", flush=True)
        sys.stdin.readline()

    print(module.publish(base, write_and_wait), flush=True)


if __name__ == "__main__":
    modes = {"killed": _killed, "together": _together, "waiting": _waiting}
    modes[sys.argv[2]](_load(sys.argv[1]), *sys.argv[3:])
