"""The rules of the house: which room of the package may import what, derived from its folders and their imports."""

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "fcn_road_seg"

# From the top. A room imports rooms of lower floors only. The package's root files are rooms of one file.
FLOORS = (
    ("cli",),
    ("demo",),
    ("benchmark", "doctor", "training", "view", "bags"),
    ("ros", "quantization", "evaluation"),
    ("__init__", "instances"),  # the public API
    ("inference", "datasets"),
    ("synthetic",),
    ("ground", "frames"),
    ("postprocess",),
    ("files", "share", "git_revision"),
    ("errors",),
)
FLOOR = {room: height for height, floor in enumerate(reversed(FLOORS)) for room in floor}
MOST_ROOMS = 22
MAY_NEED_ROS = {"ros", "bags", "demo", "view", "doctor", "benchmark"}
WITHOUT_TORCH = {"__init__", "postprocess", "ground", "frames", "synthetic", "datasets", "ros", "cli"}
ROS_PACKAGE = re.compile(r"(rcl|ament_|launch|tf2_|rosbag2_|cv_bridge$|bond$).*|.*_(msgs|msgs_py|srvs|interfaces)$")


class Import(NamedTuple):
    """An import statement: who imports what, and when: at "load", in a "call", or for "typing" only."""

    importer: str
    imported: str
    when: str


def module_name(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


FILES = {module_name(file): file for file in PACKAGE.rglob("*.py")}


def statements(node: ast.AST, when: str = "load") -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    """Every import statement below a node, and when it runs."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, when
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from statements(child, "call")
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from statements(child, "typing")
        else:
            yield from statements(child, when)


def imports_of(module: str) -> Iterator[Import]:
    package = module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]
    for statement, when in statements(ast.parse(FILES[module].read_text())):
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        else:
            origin = resolve_name("." * statement.level + (statement.module or ""), package)
            names = [f"{origin}.{alias.name}" for alias in statement.names]
            names = [name if name in FILES else origin for name in names]
        yield from (Import(module, name, when) for name in names)


IMPORTS = sorted({found for module in FILES for found in imports_of(module)})
INSIDE = [found for found in IMPORTS if found.imported in FILES]
BETWEEN_ROOMS = [found for found in INSIDE if room_of(found.importer) != room_of(found.imported)]


@cache
def loaded_by(module: str) -> frozenset[str]:
    """The modules that importing a module loads: its own, and the top-level names of other packages."""
    loaded: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in FILES and name not in loaded:
            waiting += [found.imported for found in IMPORTS if found.importer == name and found.when == "load"]
            waiting += [name.rpartition(".")[0]] if "." in name else []
        loaded.add(name if name in FILES else name.split(".")[0])
    return frozenset(loaded)


def needs_ros(module: str) -> bool:
    return any(ROS_PACKAGE.fullmatch(name) for name in loaded_by(module))


def import_without(blocked: set[str], modules: list[str]) -> None:
    """Import modules in a process of their own in which the blocked packages are not installed."""
    code = f"import sys\nfor name in {sorted(blocked)}: sys.modules[name] = None\n"
    code += "".join(f"import {module}\n" for module in modules)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


TORCH = {"torch", "torchvision"}
ROS = {name for found in IMPORTS if ROS_PACKAGE.fullmatch(name := found.imported.split(".")[0])}


def test_every_room_has_a_floor():
    folders = {entry.name for entry in PACKAGE.iterdir() if entry.is_dir() and entry.name != "__pycache__"}
    rooms = folders | {file.stem for file in PACKAGE.glob("*.py")}
    assert rooms == FLOOR.keys()
    assert len(rooms) <= MOST_ROOMS


def test_no_import_goes_up():
    up = [found for found in BETWEEN_ROOMS if FLOOR[room_of(found.imported)] >= FLOOR[room_of(found.importer)]]
    assert not up, "\n".join(f"{found.importer} -> {found.imported}" for found in up)


@pytest.mark.parametrize("level", ["modules", "rooms"])
def test_no_imports_form_a_circle(level):
    graph: dict[str, set[str]] = {}
    for found in INSIDE if level == "modules" else BETWEEN_ROOMS:
        importer, imported = found[:2] if level == "modules" else map(room_of, found[:2])
        graph.setdefault(importer, set()).add(imported)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as circle:
        pytest.fail(" -> ".join(reversed(circle.args[1])))


def test_only_some_rooms_need_ros():
    modules = [module for module in FILES if needs_ros(module) and room_of(module) not in MAY_NEED_ROS]
    assert not modules


def test_everything_else_imports_without_ros():
    missing = set() if find_spec("tensorrt") else {"tensorrt"}  # `make venv` leaves it out
    modules = [module for module in FILES if not needs_ros(module) and not missing & loaded_by(module)]
    assert {"fcn_road_seg.inference.segmenter", "fcn_road_seg.training.loop", "fcn_road_seg.demo.run"} <= {*modules}
    import_without(ROS, modules)


def test_rooms_import_without_torch():
    modules = [module for module in FILES if room_of(module) in WITHOUT_TORCH and not needs_ros(module)]
    assert {"fcn_road_seg", "fcn_road_seg.cli.main", "fcn_road_seg.ground.grid"} <= {*modules}
    import_without(TORCH | ROS, modules)


def test_the_node_imports_without_torch():
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    import_without(TORCH, [module for module in FILES if room_of(module) == "ros"])


def test_every_room_says_what_it_is_for_and_what_it_may_import():
    two_sentences = re.compile(r".+\.\s.*\bimports? .+\.", re.DOTALL | re.IGNORECASE)
    silent = [
        file.parent.name
        for file in PACKAGE.glob("*/__init__.py")
        if not two_sentences.match(ast.get_docstring(ast.parse(file.read_text())) or "")
    ]
    assert not silent
