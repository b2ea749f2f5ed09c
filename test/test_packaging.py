"""Building, installing and the dependencies of the package."""

import ast
import ctypes
import itertools
import os
import platform
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from importlib import metadata
from pathlib import Path

import cuda_stubs
import pytest
from changelog_rst import TITLE, changelog_rst
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fcn_road_seg import __version__
from fcn_road_seg.errors import PACKAGES, ROS_MODULES

SHIPPED = [
    "package.xml",
    "launch/road_seg.launch.py",
    "launch/replay.launch.py",
    "launch/demo.launch.py",
    "config/road_seg.yaml",
    "config/road_seg.rviz",
    "config/cameras.rviz",
    "config/foxglove_layout.json",
    "config/fastdds_profile.xml",
    "config/tf_static_qos_overrides.yaml",
    "config/peers/road-segmentation-adas-0001.yaml",
    "config/peers/road-segmentation-adas-0001_letterbox.yaml",
    "config/peers/twinlitenet.yaml",
    "config/peers/twinlitenet_letterbox.yaml",
    "config/peers/twinlitenet_plus_small.yaml",
    "config/sros2/road_seg.xml",
    "config/nav2_semantic_layer.yaml",
    "config/nav2_obstacle_layer.yaml",
]


def run(command, cwd) -> str:
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def source(repository, tmp_path_factory) -> Path:
    """A copy of the checkout, since building writes beside the sources; the weights are replaced by a few bytes."""
    copy = tmp_path_factory.mktemp("source") / "fcn_road_seg"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "install", "log", "runs", "models")
    shutil.copytree(repository, copy, ignore=ignored)
    (copy / "models").mkdir()
    (copy / "models" / "road_fcn8s.safetensors").write_bytes(b"weights")
    return copy


def assert_complete(prefix: Path, site_packages: Path, repository: Path) -> None:
    share = prefix / "share"
    assert (share / "ament_index" / "resource_index" / "packages" / "fcn_road_seg").is_file()
    assert (share / "fcn_road_seg" / "models" / "road_fcn8s.safetensors").read_bytes() == b"weights"
    for file in SHIPPED:
        assert (share / "fcn_road_seg" / file).read_text() == (repository / file).read_text()
    for pattern in ("**/*.py", "**/*.html", "training/recipes/*.yaml", "datasets/splits/*.txt"):
        expected = {path.relative_to(repository) for path in (repository / "fcn_road_seg").glob(pattern)}
        assert expected, pattern
        assert expected <= {path.relative_to(site_packages) for path in (site_packages / "fcn_road_seg").glob(pattern)}


@pytest.mark.slow
def test_pip_installs_everything(source, repository, tmp_path):
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-compile"]
    run([*command, "--target", str(tmp_path), "."], source)
    assert_complete(tmp_path, tmp_path, repository)
    for script in ("road_seg", "road_seg_node", "road_seg_camera"):
        assert (tmp_path / "bin" / script).is_file()
    (information,) = tmp_path.glob("fcn_road_seg-*.dist-info")
    about = metadata.PathDistribution(information).metadata
    assert about["Version"] == __version__
    assert about["License"] == "Apache-2.0" or about["License-Expression"] == "Apache-2.0"
    assert about.get_payload().startswith("# ")
    assert about.get_all("Classifier") and about.get_all("Project-URL")
    assert list(information.rglob("LICENSE"))


@pytest.mark.slow
def test_colcon_puts_the_node_where_ros2_run_looks(source, repository, tmp_path):
    pytest.importorskip("colcon_core", reason="colcon is not installed")
    colcon = [sys.executable, "-m", "colcon", "--log-base", str(tmp_path / "log")]
    assert run([*colcon, "list"], source).split() == ["fcn_road_seg", ".", "(ros.ament_python)"]
    build = ["build", "--build-base", str(tmp_path / "build"), "--install-base", str(tmp_path / "install")]
    run([*colcon, *build], source)
    prefix = tmp_path / "install" / "fcn_road_seg"
    (site_packages,) = prefix.glob("lib/python*/site-packages")
    assert_complete(prefix, site_packages, repository)
    for script in ("road_seg", "road_seg_node", "road_seg_camera"):
        assert (prefix / "lib" / "fcn_road_seg" / script).is_file()


def test_package_xml_is_what_colcon_and_rosdep_expect(repository):
    package = ElementTree.parse(repository / "package.xml").getroot()
    assert package.get("format") == "3"
    assert package.find("export/build_type").text == "ament_python"
    assert re.fullmatch(r"[\w.+-]+@[\w-]+(\.[\w-]+)+", package.find("maintainer").get("email"))
    assert {url.get("type") for url in package.findall("url")} == {"website", "repository", "bugtracker"}
    setup = (repository / "setup.py").read_text()
    assert f'maintainer_email="{package.find("maintainer").get("email")}"' in setup
    assert f"url = {package.find('url').text}\n" in (repository / "setup.cfg").read_text()


def test_one_version(repository):
    assert ElementTree.parse(repository / "package.xml").getroot().find("version").text == __version__
    assert f"## [{__version__}]" in (repository / "CHANGELOG.md").read_text()


def test_a_debian_package_depends_on_no_package_of_pip(repository):
    """bloom would write pip's names as those of Debian packages; rosdep takes them with WITH_PIP=yes."""
    depends = [each for each in ElementTree.parse(repository / "package.xml").getroot() if "depend" in each.tag]
    pip = {each.text: each.get("condition") for each in depends if each.text.endswith("-pip")}
    assert "python3-pytorch-pip" in pip and set(pip.values()) == {"$WITH_PIP == yes"}


def test_changelog_rst_is_current_and_one_that_bloom_reads(repository):
    changelog, core = pytest.importorskip("catkin_pkg.changelog"), pytest.importorskip("docutils.core")
    markdown = (repository / "CHANGELOG.md").read_text()
    text = changelog_rst(markdown)
    assert (repository / "CHANGELOG.rst").read_text() == text, "write it again: python tools/changelog_rst.py"
    document = core.publish_doctree(text, settings_overrides={"report_level": 2, "halt_level": 2})
    released = markdown[markdown.index("\n## [", markdown.index("[Unreleased]")) :]
    words = re.findall(r"\w+", re.sub(r"\]\(.+?\)", "]", released))
    assert sorted(re.findall(r"\w+", document.astext())) == sorted([*words, *TITLE.split()])
    versions = re.findall(r"^## \[([\d.]+)\] - (\S+)$", markdown, re.MULTILINE)
    read = [
        (version, str(date.date()))
        for version, date, _ in changelog.get_changelog_from_path(repository).foreach_version(True)
    ]
    assert read == versions and versions[0][0] == __version__


def test_package_xml_names_every_ros_package_that_is_imported(repository):
    ros = {"rclpy", "rcl_interfaces", "launch", "launch_ros", "cv_bridge", "ament_index_python"}
    imported = imports_of(repository, "fcn_road_seg", "launch")
    used = {name for name in imported if name in ros or name.endswith(("_msgs", "_srvs"))}
    assert {"rclpy", "sensor_msgs", "launch_ros", "tf2_msgs"} <= used
    package = ElementTree.parse(repository / "package.xml").getroot()
    assert used <= {depend.text.removesuffix("_py") for depend in package.findall("exec_depend")} - {"sensor_msgs_py"}


def test_setup_py_declares_every_package_that_is_imported(repository):
    declared = {
        re.split("[>=;]", text)[0] for text in re.findall(r'"([\w.-]+>=[^"]+)"', (repository / "setup.py").read_text())
    }
    imported = imports_of(repository, "fcn_road_seg") - set(sys.stdlib_module_names) - {"fcn_road_seg", "compression"}
    ros = "_msgs", "_srvs", "cv_bridge"
    foreign = {name for name in imported if name not in ROS_MODULES and not name.endswith(ros)}
    assert {PACKAGES.get(name, name) for name in foreign} <= declared


def imports_of(repository: Path, *folders: str) -> set[str]:
    """The top-level modules that the files of some folders import."""
    modules = set()
    for file in itertools.chain.from_iterable((repository / folder).rglob("*.py") for folder in folders):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.split(".")[0])
    return modules


PINS = "requirements.txt", "requirements-cuda.txt"
ROS_PINS = "requirements-ros-kilted.txt", "requirements-ros-jazzy.txt"


def requirements_of(repository: Path, *files: str) -> list[Requirement]:
    """The pins in some files."""
    lines = [line for file in files for line in (repository / file).read_text().splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def pinned(repository: Path) -> dict[str, str]:
    """The pins for this interpreter and its ROS 2 distribution: {name: version}."""
    try:
        ros = f"ros-rclpy=={metadata.version('ros-rclpy')}\n"
    except metadata.PackageNotFoundError:
        ros = ""
    distribution = [file for file in ROS_PINS if ros in (repository / file).read_text()]
    requirements = requirements_of(repository, *PINS, *distribution[:1])
    return {r.name: str(r.specifier)[2:] for r in requirements if not r.marker or r.marker.evaluate()}


@pytest.mark.parametrize("file", [*PINS, *ROS_PINS, "requirements-docs.txt"])
def test_every_pin_is_exact(repository, file):
    for line in (repository / file).read_text().splitlines():
        if line and not line.startswith("#"):
            assert re.fullmatch(r"[a-z0-9-]+==[\w.+]+(; python_version [<>=]+ '3\.\d+'( and .*)?)?", line), line


def test_make_docs_installs_the_versions_of_make_venv(repository):
    docs = {(r.name, str(r.specifier)) for r in requirements_of(repository, "requirements-docs.txt")}
    venv = {(r.name, str(r.specifier)) for r in requirements_of(repository, *PINS)}
    shared = {name for name, _ in docs} & {name for name, _ in venv}
    assert {"ruff", "pyyaml"} <= shared
    assert {pin for pin in docs if pin[0] in shared} <= venv


def test_every_distribution_has_the_same_ros_packages(repository):
    """Those that the project itself uses; what they bring in differs."""
    kilted, jazzy = ((repository / file).read_text().split("# What those bring in")[0] for file in ROS_PINS)
    assert re.findall("^(ros-.*)==", kilted, re.MULTILINE) == re.findall("^(ros-.*)==", jazzy, re.MULTILINE) != []


FAKE_PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then
    mkdir -p "$3/bin"
    cp "$0" "$3/bin/python"
elif [ "$3" = install ]; then
    echo "Collecting torch==2.15.0 (from -r requirements.txt (line 6))"
    echo "  Downloading torch-2.15.0-cp311-cp311-manylinux_2_28_x86_64.whl (539.1 MB)"
    echo "     539.1/539.1 MB 30.0 MB/s eta 0:00:00"
    echo "Downloading attrs-26.1.0-py3-none-any.whl (67 kB)"
    echo "Installing collected packages: torch, attrs"
    echo "WARNING: a warning" >&2
    exit "$FAKE_PIP_EXITS_WITH"
fi
"""


@pytest.mark.parametrize("code", [0, 1])
def test_make_venv_shows_large_downloads_and_fails_with_pip(source, tmp_path, code):
    python = tmp_path / "python3"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    command = ["make", "venv", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}", "ACCELERATOR=cpu"]
    environment = os.environ | {"FAKE_PIP_EXITS_WITH": str(code), "MAKEFLAGS": "", "MAKELEVEL": "0"}
    result = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, timeout=60)
    first, *shown = result.stdout.splitlines()
    assert first.startswith("Setting up ") and shown[:2] == ["  downloading torch (539.1 MB)", "  installing"]
    assert (result.returncode == 0) == (tmp_path / "venv" / ".ready-cpu").exists() == (code == 0)
    assert "WARNING: a warning" in result.stderr


def test_the_pins_are_complete(repository):
    """`make venv` calls pip with --no-deps."""
    pins = pinned(repository)
    for name in pins:
        try:
            requirements = [Requirement(text) for text in metadata.requires(name) or []]
        except metadata.PackageNotFoundError:
            continue  # only for GPUs, or this environment was not made by `make venv`
        for requirement in requirements:
            if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
                needed = canonicalize_name(requirement.name)
                assert needed in pins, f"{name} needs {needed}"
                assert requirement.specifier.contains(pins[needed], prereleases=True), f"{name} needs {requirement}"


def test_a_stub_is_a_library_whose_functions_return_an_error(tmp_path):
    if platform.machine() != "x86_64" or sys.platform != "linux":
        pytest.skip("the stubs are for x86-64 Linux")
    symbols = {"stubInit": "libstub.so.1", "stubPlain": ""} | {f"stub{i}": "libstub.so.1" for i in range(100)}
    file = tmp_path / "libstub.so.1"
    file.write_bytes(cuda_stubs.stub("libstub.so.1", symbols))
    library = ctypes.CDLL(str(file))
    assert all(library[name]() == 1 for name in symbols)
    with pytest.raises(AttributeError):
        library["stubMissing"]


def test_a_stub_is_replaced_when_torch_needs_other_symbols(tmp_path):
    user, folder = tmp_path / "libuser.so", tmp_path / "lib"
    folder.mkdir()
    (folder / "libcublas.so.13").write_bytes(cuda_stubs.stub("libcublas.so.13", {"cublasOld": ""}))
    (folder / "libcufft.so.12").write_bytes(b"NVIDIA's")
    user.write_bytes(b"")
    needed = {"libcublas.so.13", "libcufft.so.12"}
    with pytest.MonkeyPatch.context() as patch:
        imports = {cuda_stubs.Import("cublasNew", "", "")}
        patch.setattr(cuda_stubs, "read_imports", lambda file: (needed, imports))
        assert cuda_stubs.missing_libraries([user], [folder]) == {"libcublas.so.13": {"cublasNew": ""}}


def test_the_stubs_are_for_the_libraries_that_are_missing():
    torch = Path(metadata.distribution("torch").locate_file("torch/lib/libtorch_cuda.so"))
    if platform.machine() != "x86_64" or not torch.is_file():
        pytest.skip("this PyTorch is not PyPI's CUDA build for x86-64 Linux")
    missing = cuda_stubs.missing_libraries([torch], [])
    cublas = next(symbols for soname, symbols in missing.items() if soname.startswith("libcublas.so"))
    assert "cublasCreate_v2" in cublas and not any(symbol.startswith("cublasLt") for symbol in cublas)
    nccl = next(symbols for soname, symbols in missing.items() if soname.startswith("libnccl.so"))
    assert nccl["ncclAllReduce"] == ""
