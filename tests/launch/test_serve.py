"""launch/serve.sh starts the right server, waits until it is ready, and ends with it."""

import json
import os
import re
import shlex
import signal
import socket

import pytest

from tf_sigma_vae.export import server_files

AVAILABLE = '{"model_version_status": [{"version": "3", "state": "AVAILABLE"}]}'
LOADING = AVAILABLE.replace("AVAILABLE", "LOADING")
SERVE = "while :; do sleep 0.02; done"
READY_AND_SERVE = f"echo '{AVAILABLE}' >\"$STUB_FOLDER/state\"; {SERVE}"
# What the stub ends with when it is told to; no shell makes such a code of a signal.
STOPPED = 7
CURL = '#!/usr/bin/env bash\necho "$@" >"$STUB_FOLDER/curl"\ncat "$STUB_FOLDER/state" 2>&-\n'
DOCKER = """#!/usr/bin/env bash
[ "$1" != run ] || exec sigma-vae-train "$@"
echo "$@" >>"$STUB_FOLDER/docker"
[ "$1" = pull ] || [ -e "$STUB_FOLDER/image" ]
"""


@pytest.fixture
def export_dir(tmp_path):
    """An export as its command leaves it, named digits."""
    version = tmp_path / "an export" / "3"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_text("graph", encoding="utf-8")
    server_files.write(str(version.parent), "digits")
    return version.parent


@pytest.fixture
def ports():
    """Two ports that nothing listens on: bound as long as the test runs, that nobody takes them."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        yield one.getsockname()[1], other.getsockname()[1]


@pytest.fixture
def server(stage, launch_folder, ports):
    """Runs the script where docker is a server that does what a piece of bash says."""

    class Server:
        def __init__(self, body):
            self.stage = stage(body, on_term=f"exit {STOPPED}")
            self.binary = self.stage.commands / "sigma-vae-train"
            self.stage.add_command("docker", DOCKER)
            self.stage.add_command("curl", CURL)

        def launch(self, *args, **variables):
            flags = [f"--port={ports[0]}", f"--rest_port={ports[1]}"]
            variables = {"TENSORFLOW_MODEL_SERVER": "", **variables}
            self.stage.launch(launch_folder / "serve.sh", *flags, *map(str, args), **variables)

        def args_when_ready(self, *args, **variables):
            """Arguments of the server, once the script has said that it is ready."""
            self.launch(*args, **variables)
            self.stage.wait_until(lambda: "is ready" in self.stage.output())
            return self.stage.starts()[0].args

        def refusal(self, *args, code=1):
            """What the script says when it starts no server."""
            self.launch(*args)
            assert self.stage.exit_code() == code
            assert self.stage.starts() == []
            assert not (self.stage.folder / "docker").exists()
            return self.stage.output()

    return Server


def test_image_is_pinned_and_serves_the_export_read_only(server, export_dir, ports):
    started = server(READY_AND_SERVE)
    args = started.args_when_ready(export_dir, "--enable_model_warmup=false")
    assert args[:3] == ["run", "--rm", "--init"]
    assert args[3:7] == ["-p", f"{ports[0]}:8500", "-p", f"{ports[1]}:8501"]
    mount = f"type=bind,source={export_dir},target=/models/digits,readonly"
    assert args[7:11] == ["--mount", mount, "--entrypoint", "tensorflow_model_server"]
    assert re.fullmatch(r"tensorflow/serving:\d+\.\d+\.\d+", args[11])
    assert args[12:] == [
        "--port=8500",
        "--rest_api_port=8501",
        "--model_config_file=/models/digits/models.config",
        "--enable_batching",
        "--batching_parameters_file=/models/digits/batching.config",
        "--enable_model_warmup=false",
    ]
    said = f"serve.sh: digits: gRPC on port {ports[0]}, REST on port {ports[1]}\n"
    assert said in started.stage.output()


@pytest.mark.parametrize("there", [True, False])
def test_image_is_pulled_first_if_it_is_not_there(server, export_dir, there):
    started = server(READY_AND_SERVE)
    if there:
        (started.stage.folder / "image").touch()
    started.args_when_ready(export_dir, SERVING_IMAGE="registry/serving:1")
    asked = (started.stage.folder / "docker").read_text("utf-8").splitlines()
    inspected, pulled = "image inspect registry/serving:1", "pull registry/serving:1"
    assert asked == ([inspected] if there else [inspected, pulled])


def test_other_name_is_served_without_the_models_file(server, export_dir):
    args = server(READY_AND_SERVE).args_when_ready("--name=other", export_dir)
    assert f"type=bind,source={export_dir},target=/models/other,readonly" in args
    assert args[-4:-2] == ["--model_name=other", "--model_base_path=/models/other"]
    assert args[-1] == "--batching_parameters_file=/models/other/batching.config"


def test_export_without_server_files_has_the_name_of_its_folder(server, export_dir):
    for name in ("models.config", "batching.config"):
        (export_dir / name).unlink()
    args = server(READY_AND_SERVE).args_when_ready(export_dir)
    assert args[-2:] == ["--model_name=an export", "--model_base_path=/models/an export"]


@pytest.mark.parametrize("by", ["flag", "variable"])
def test_binary_serves_the_folder_itself(server, export_dir, ports, by):
    started = server(READY_AND_SERVE)
    if by == "flag":
        args = started.args_when_ready(f"--binary={started.binary}", export_dir, "--v=1")
    else:
        binary = {"TENSORFLOW_MODEL_SERVER": str(started.binary)}
        args = started.args_when_ready(export_dir, "--v=1", **binary)
    assert args == [
        f"--port={ports[0]}",
        f"--rest_api_port={ports[1]}",
        "--model_name=digits",
        f"--model_base_path={export_dir}",
        "--enable_batching",
        f"--batching_parameters_file={export_dir}/batching.config",
        "--v=1",
    ]


def test_it_is_ready_when_the_model_is_available_and_says_how_to_ask(server, export_dir, ports):
    started = server(SERVE)
    state = started.stage.folder / "state"
    state.write_text(LOADING, encoding="utf-8")
    started.launch(export_dir)
    started.stage.wait_until((started.stage.folder / "curl").exists)
    assert "ready" not in started.stage.output()
    state.write_text(AVAILABLE, encoding="utf-8")
    started.stage.wait_until(lambda: ":predict" in started.stage.output())
    url = f"http://127.0.0.1:{ports[1]}/v1/models/digits"
    assert (started.stage.folder / "curl").read_text("utf-8").split()[-1] == url
    said, ready, request = started.stage.output().splitlines()[-3:]
    assert said == "stub 0-1"
    assert ready == f"run_server.sh: the model is ready: {url}"
    command, flag, body, address = shlex.split(request)
    assert (command, flag, address) == ("curl", "-d", f"{url}:predict")
    assert json.loads(body) == {"signature_name": "sample", "inputs": {"seed": [[0, 1]]}}


@pytest.mark.parametrize(
    ("number", "send", "ready"),
    [
        (signal.SIGTERM, os.kill, True),
        (signal.SIGHUP, os.kill, False),
        # A terminal sends its Ctrl-C to all that run in it.
        (signal.SIGINT, os.killpg, True),
    ],
)
def test_signal_ends_the_server_once_and_its_exit_code_is_the_scripts(
    server, export_dir, number, send, ready
):
    started = server(READY_AND_SERVE if ready else SERVE)
    started.launch(export_dir)
    started.stage.wait_for_starts(0)
    if ready:
        started.stage.wait_until(lambda: "is ready" in started.stage.output())
    send(started.stage.process.pid, number)
    assert started.stage.exit_code() == STOPPED
    assert started.stage.starts()[0].signals == ["TERM"]
    assert started.stage.survivors() == []


@pytest.mark.parametrize("ready", [True, False])
def test_server_that_ends_by_itself_ends_the_script_with_its_code(server, export_dir, ready):
    # As it takes a look to be seen as ready, the server waits for one.
    look = 'until [ -e "$STUB_FOLDER/curl" ]; do sleep 0.02; done; sleep 0.3; exit 3'
    started = server(f"echo '{AVAILABLE}' >\"$STUB_FOLDER/state\"; {look}" if ready else "exit 3")
    started.launch(export_dir)
    assert started.stage.exit_code() == 3
    assert ("is ready" in started.stage.output()) == ready


def test_server_that_does_not_become_ready_is_ended(server, export_dir):
    started = server(f"echo '{LOADING}' >\"$STUB_FOLDER/state\"; {SERVE}")
    started.launch(export_dir, READY_SECONDS="0")
    assert started.stage.exit_code() == 1
    said = re.search(
        "not ready after 0 s, so it is ended; its last state: (.*)", started.stage.output()
    )
    # On a busy machine it may be ended before its first look, or before it can note the signal.
    assert said and said[1] in (LOADING, "")
    assert [start.signals for start in started.stage.starts()] in ([["TERM"]], [[]], [])
    assert started.stage.survivors() == []


@pytest.mark.parametrize("wrong", ["missing", "version", "empty version", "other name"])
def test_folder_without_a_version_is_refused(server, export_dir, wrong):
    if wrong == "empty version":
        (export_dir / "3" / "saved_model.pb").unlink()
    elif wrong == "other name":
        (export_dir / "3").rename(export_dir / "v3")
    folder = {"missing": export_dir / "no", "version": export_dir / "3"}.get(wrong, export_dir)
    said = server(SERVE).refusal(folder)
    assert "serve.sh: no version (a folder named by an integer" in said
    assert f"in {folder}: give the --export_dir of sigma-vae-export" in said


def test_taken_port_is_refused(server, export_dir):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        said = server(SERVE).refusal(f"--port={port}", export_dir)
    assert said == f"serve.sh: port {port} is taken: give another\n"


def test_missing_server_is_refused(server, export_dir):
    said = server(SERVE).refusal("--binary=/nowhere/server", export_dir, code=127)
    assert said == "serve.sh: no /nowhere/server here: give another --binary=PATH\n"


@pytest.mark.parametrize("args", [[], ["--ports=1", "x"], ["--name", "x"], ["--name=", "x"]])
def test_wrong_flags_show_the_usage(server, args):
    said = server(SERVE).refusal(*args, code=2)
    assert "usage: launch/serve.sh [--binary=PATH] [--name=N] [--port=8500] [--rest_port" in said


def test_waiting_script_needs_an_address_and_a_command(stage, launch_folder):
    started = stage(SERVE)
    assert started.run(launch_folder / "run_server.sh", "http://127.0.0.1:1") == 2
    assert started.output() == "usage: launch/run_server.sh URL COMMAND [ARGUMENT ...]\n"
