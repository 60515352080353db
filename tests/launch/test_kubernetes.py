"""launch/kubernetes/ and launch/vertex.yaml: the published schema, and names that must agree."""

import copy
import json
import re
import shlex

import kubernetes_validate
import pytest
import yaml

from tf_sigma_vae.training import EXIT_CODE

# The oldest that the manifest's header names, and the newest whose schema the validator has.
VERSIONS = ("1.31", kubernetes_validate.latest_version())
KINDS = ("Service", "PersistentVolumeClaim", "Job")


@pytest.fixture(scope="module")
def manifest(launch_folder):
    text = (launch_folder / "kubernetes" / "job.yaml").read_text(encoding="utf-8")
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


@pytest.fixture(scope="module")
def container(manifest):
    (container,) = manifest["Job"]["spec"]["template"]["spec"]["containers"]
    return container


@pytest.fixture(scope="module")
def variables(container):
    return {entry["name"]: entry["value"] for entry in container["env"]}


@pytest.fixture(scope="module")
def dockerfile(launch_folder):
    """The instructions of the Dockerfile, the last of each name."""
    text = (launch_folder / "kubernetes" / "Dockerfile").read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Z]+) (.*)$", text.replace("\\\n", ""), flags=re.MULTILINE))


@pytest.mark.parametrize("version", VERSIONS)
def test_manifest_follows_the_published_schema(manifest, version):
    assert tuple(manifest) == KINDS
    for document in manifest.values():
        kubernetes_validate.validate(document, version, strict=True)


def test_validator_refuses_an_unknown_field(manifest):
    wrong = copy.deepcopy(manifest["Job"])
    wrong["spec"]["completion"] = 2
    with pytest.raises(kubernetes_validate.ValidationError, match="completion"):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_workers_find_one_another_by_name(manifest, variables):
    service, job = manifest["Service"], manifest["Job"]
    pod = job["spec"]["template"]
    assert service["spec"]["clusterIP"] == "None"  # headless
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert variables["JOB_SERVICE"] == service["metadata"]["name"] == pod["spec"]["subdomain"]
    assert variables["JOB_NAME"] == job["metadata"]["name"]


def test_every_worker_is_a_pod_that_runs_at_the_same_time(manifest, variables):
    spec = manifest["Job"]["spec"]
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"] == int(variables["JOB_NUM_WORKERS"])
    assert "JOB_COMPLETION_INDEX" not in variables  # set by Kubernetes


def test_one_port_everywhere(manifest, container, variables):
    (service_port,) = manifest["Service"]["spec"]["ports"]
    (container_port,) = container["ports"]
    assert service_port["port"] == container_port["containerPort"] == int(variables["JOB_PORT"])


def test_workdir_is_on_the_volume_that_all_share(manifest, container):
    (volume,) = manifest["Job"]["spec"]["template"]["spec"]["volumes"]
    (mount,) = container["volumeMounts"]
    claim = manifest["PersistentVolumeClaim"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert mount["name"] == volume["name"]
    assert f"--workdir={mount['mountPath']}/" in " ".join(container["args"])
    assert "--strategy=multi_worker" in container["args"]


def test_a_pod_is_replaced_as_its_exit_code_says(manifest, container):
    spec = manifest["Job"]["spec"]
    # A policy is allowed with Never only; Failed keeps two pods of one index apart.
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["podReplacementPolicy"] == "Failed"
    action_of, disruption_rank = {}, None
    for rank, rule in enumerate(spec["podFailurePolicy"]["rules"]):
        if "onPodConditions" in rule:
            disruption_rank = rank
            continue
        codes = rule["onExitCodes"]
        assert (codes["containerName"], codes["operator"]) == (container["name"], "In")
        action_of |= dict.fromkeys(codes["values"], rule["action"])
    assert disruption_rank == 0  # the first rule that fits counts
    assert action_of[EXIT_CODE] == "Ignore"
    assert action_of[1] == "FailJob"
    assert not {134, 137} & set(action_of)  # counted in backoffLimit
    assert spec["backoffLimit"] > 0


def test_image_starts_a_command_that_setup_installs(dockerfile, repository_root):
    (command,) = json.loads(dockerfile["ENTRYPOINT"])
    verb = command.removeprefix("sigma-vae-")
    setup = (repository_root / "setup.py").read_text(encoding="utf-8")
    assert 'f"sigma-vae-{verb} = ' in setup and f'"{verb}"' in setup
    assert (repository_root / "tf_sigma_vae" / "cli" / f"{verb}.py").exists()


def test_image_installs_the_clone_and_is_not_run_by_root(dockerfile, manifest):
    assert dockerfile["COPY"] == ". ."
    words = shlex.split(dockerfile["RUN"])
    install = words[: words.index("&&")]
    assert install[:2] == ["pip", "install"] and install[-1] == "."
    assert words[words.index("--uid") + 1] == dockerfile["USER"] != "0"
    context = manifest["Job"]["spec"]["template"]["spec"]["securityContext"]
    assert str(context["runAsUser"]) == dockerfile["USER"]


def test_context_of_the_image_leaves_out_what_a_clone_collects(repository_root):
    ignored = (repository_root / ".dockerignore").read_text(encoding="utf-8").split("\n")
    assert {".git", ".venv*", "runs"} <= set(ignored)
    # setup.py reads or installs these.
    assert not {"configs", "README.md", "tf_sigma_vae", "launch"} & set(ignored)


def test_vertex_starts_the_same_run_in_a_chief_and_in_workers(launch_folder, dockerfile):
    job = yaml.safe_load((launch_folder / "vertex.yaml").read_text(encoding="utf-8"))
    chief, workers = job["workerPoolSpecs"]
    assert chief["replicaCount"] == 1 and workers["replicaCount"] >= 1
    assert chief["containerSpec"] == workers["containerSpec"]
    assert chief["machineSpec"] == workers["machineSpec"]
    (command,) = chief["containerSpec"]["command"]
    entry = command.removeprefix(dockerfile["WORKDIR"] + "/")
    assert (launch_folder.parent / entry).is_file()
    assert any(arg.startswith("--workdir=/gcs/") for arg in chief["containerSpec"]["args"])
    assert job["scheduling"] == {"restartJobOnWorkerRestart": True}
