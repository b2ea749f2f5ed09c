"""The image, the compose files and the development container agree with the package; the image's node is healthy."""

import json
import os
import re
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from importlib import metadata

import numpy as np
import pytest
import yaml
from container_files import Dockerfile, in_context
from packaging.requirements import Requirement

from fcn_road_seg.cli.main import main, make_parser

TARGETS = "cpu", "cuda"
BY_APT = {"argcomplete", "numpy", "opencv-python-headless", "pyyaml", "rich"}
"""What setup.py requires and apt installs."""
EVERYTHING_READ_ONLY = 'mount -o remount,bind,ro / && exec "$@"'


@pytest.fixture(scope="module")
def dockerfile(repository) -> Dockerfile:
    return Dockerfile.read(repository / "docker" / "Dockerfile")


@pytest.fixture(scope="module")
def services(repository) -> dict[str, dict]:
    """The services of compose.yaml with the defaults of its variables."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (repository / "compose.yaml").read_text())
    return yaml.safe_load(text)["services"]


@pytest.fixture(scope="module")
def scripts(repository) -> set[str]:
    return set(re.findall(r'f"(\w+) = \{NAME\}', (repository / "setup.py").read_text()))


def packages(command: str, installer: str) -> set[str]:
    """The packages that a RUN instruction installs with an installer."""
    words = [
        re.sub(r"""^["']|;.*|["']$""", "", word)
        for part in re.findall(rf"{installer} install (.*?)(?=&& |$)", command)
        for word in re.findall(r"'[^']*'|\S+", re.sub(r"-c \S+", "", part))
    ]
    return {word for word in words if not word.startswith("-")}


def test_what_is_copied_exists_and_reaches_the_build(dockerfile, repository):
    copied = [text for stage in dockerfile.stages.values() for text in stage.texts("COPY")]
    sources = [source for text in copied for source in text.split()[:-1]]
    assert "requirements.txt" in sources and "." in sources
    for source in {*sources} - {"."}:
        assert (repository / source).is_file() and in_context(repository, source)


def test_the_build_gets_what_setup_py_installs(repository):
    setup = (repository / "setup.py").read_text()
    patterns = re.findall(r'glob\("([^"]+)"\)', setup) + ["resource/*", "package.xml", "fcn_road_seg/**/*.*"]
    files = [file for pattern in patterns for file in repository.glob(pattern) if file.suffix != ".pyc"]
    files += [repository / name for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")]
    assert len(files) > 100
    assert all(file.exists() and in_context(repository, str(file.relative_to(repository))) for file in files)
    assert not in_context(repository, "test/test_docker.py") and not in_context(repository, "models.old/x")


def test_apt_installs_what_package_xml_names(dockerfile, repository):
    package = ElementTree.parse(repository / "package.xml").getroot()
    keys = {d.text for d in package.findall("exec_depend") if d.get("condition") != "$WITH_PIP == yes"}
    expected = {key if key.startswith("python3-") else f"ros-${{ROS_DISTRO}}-{key.replace('_', '-')}" for key in keys}
    (command,) = dockerfile.stages["ros"].texts("RUN")
    assert packages(command, "apt-get") == expected | {"python3-venv"}
    assert dockerfile.stages["ros"].base == "ros:${ROS_DISTRO}-ros-core"


def test_pip_installs_what_setup_py_requires(dockerfile, repository):
    setup = (repository / "setup.py").read_text()
    required = re.findall(r'"([\w.-]+)>=', setup[setup.index("install_requires") : setup.index("extras_require")])
    extras = [re.search(rf'"{extra}": \["([\w-]+)>=', setup)[1] for extra in ("openvino", "view")]
    expected = {name.replace(".", "-") for name in [*required, *extras]} - BY_APT
    commands = [command for stage in dockerfile.lineage("cuda") for command in stage.texts("RUN")]
    assert set().union(*(packages(command, "pip") for command in commands)) == expected | {"/wheel/*.whl"}


def test_on_the_cpu_pytorch_gets_what_it_needs_but_cuda(dockerfile):
    command = " ".join(dockerfile.stages["packages-cpu"].texts("RUN"))
    environment = {"python_version": "3.12", "platform_system": "Linux", "platform_machine": "x86_64", "extra": ""}
    required = [Requirement(text) for text in metadata.requires("torch") or []]
    needed = {r.name.lower() for r in required if r.marker is None or r.marker.evaluate(environment)}
    cuda = {name for name in needed if name.startswith(("nvidia-", "cuda-", "triton"))}
    assert packages(command, "pip") == needed - cuda | {"torch", "nvidia-cuda-runtime"}
    assert command.endswith("python cuda_stubs.py")


@pytest.mark.parametrize("target", TARGETS)
def test_the_container_runs_the_node_as_a_user_who_needs_only_tmp(dockerfile, scripts, target):
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", dockerfile.last(target, "USER"))
    assert dockerfile.stages[target].instructions[-1][0] == "USER"
    assert json.loads(dockerfile.last(target, "CMD"))[0] in scripts
    entry = json.loads(dockerfile.last(target, "ENTRYPOINT"))
    script, verb, *_ = words = dockerfile.health_check(target)[len(entry) :]
    assert dockerfile.health_check(target)[: len(entry)] == entry
    assert (script, verb) == ("road_seg", "doctor") and make_parser().parse_args(words[1:]).diagnostics
    written = dockerfile.environment(target)
    assert written["ROS_LOG_DIR"].startswith("/tmp/") and written["XDG_CACHE_HOME"].startswith("/tmp/")


def test_the_services_share_what_dds_needs_and_can_write_nothing(services, dockerfile, scripts):
    assert set(services) == {"node", "camera", "bag", "view"}
    for name, service in services.items():
        assert service["build"]["target"] in TARGETS
        assert (service["network_mode"], service["ipc"], service["user"]) == ("host", "host", "1000:1000")
        assert service["user"] == dockerfile.last("cpu", "USER")
        assert (service["read_only"], service["tmpfs"], service["cap_drop"]) == (True, "/tmp", ["ALL"])
        assert service.get("healthcheck", {}).get("disable", False) == (name != "node")
        script, *words = service["command"].split()
        assert script in scripts
        if script == "road_seg":
            assert make_parser().parse_args(words).verb == name.replace("bag", "play")
    assert services["node"].get("profiles") is None  # it always starts


def test_the_other_files_name_what_exists(services, dockerfile, repository):
    cuda = yaml.safe_load((repository / "docker" / "compose.cuda.yaml").read_text())["services"]
    assert cuda.keys() == {"node"} <= services.keys()
    folder = repository / ".devcontainer"
    container = json.loads((folder / "devcontainer.json").read_text())
    build = container["build"]
    assert (folder / build["context"]).resolve() == repository
    assert (folder / build["dockerfile"]).resolve() == repository / services["node"]["build"]["dockerfile"]
    assert build["target"] in dockerfile.stages
    command, target = container["postCreateCommand"].split()
    assert command == "make" and f"\n{target}:" in (repository / "Makefile").read_text()


@pytest.fixture(scope="module")
def read_only():
    """The words before a command that make every file system of it but /dev and /proc read-only."""
    words = ["unshare", "--map-root-user", "--mount", "sh", "-c", EVERYTHING_READ_ONLY, "sh"]
    try:
        subprocess.run([*words, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system allows no file systems of one's own")
    return words


@pytest.fixture
def health(dockerfile, domain_id, monkeypatch, capsys):
    """Runs the image's health check until it returns a code, or for some minutes; returns the code and the output."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain_id))

    def check(expected: int) -> tuple[int, str]:
        give_up = time.monotonic() + 240  # on a busy machine DDS connects late
        entry, script, *words = dockerfile.health_check("cpu")
        while (code := main(words)) != expected and time.monotonic() < give_up:
            pass
        return code, capsys.readouterr().out

    return check


@pytest.mark.slow
def test_a_node_that_can_write_nothing_works_and_is_healthy_until_it_ends(
    read_only, health, dockerfile, domain_id, small_weights, tmp_path, monkeypatch
):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from node_harness import Client, NodeProcess, frame_message

    for name in ("ROS_LOG_DIR", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, dockerfile.environment("cpu")[name])
    node = NodeProcess(
        domain_id, tmp_path / "log", before=read_only, weights=small_weights, warm_up_width=97, warm_up_height=61
    )
    try:
        node.wait_for_output("Listening to /image")
        client = Client(domain_id)
        image = np.zeros((61, 97, 3), np.uint8)
        mask = client.answer(client.camera(), frame_message(image, "bgr8", seconds=1))
        client.close()
        assert (mask.height, mask.width) == image.shape[:2]
        code, output = health(0)
        assert (code, "publishes nothing" in output, "/road_seg" in output) == (0, False, True)
    finally:
        assert node.stop() == 0
    assert (
        f"No log file is written: ROS 2's log files cannot be written to {os.environ['ROS_LOG_DIR']}" in node.output()
    )
    assert "Traceback" not in node.output()
    code, output = health(1)
    assert (code, "No node road_seg publishes on /diagnostics" in output) == (1, True)
