"""Messages that ROS's wheels lack, such as tf2_msgs', built from their definitions with the generators they have.

Run as a program it builds them into a folder: the generators, then the compiler, without CMake. That takes 10 seconds.
"""

import contextlib
import hashlib
import importlib.util
import itertools
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import numpy as np
import pytest

DEFINITIONS = {
    "bond": {
        "Status": "std_msgs/Header header\nstring id\nstring instance_id\nbool active\n"
        "float32 heartbeat_timeout\nfloat32 heartbeat_period\n"
    },
    "tf2_msgs": {"TFMessage": "geometry_msgs/TransformStamped[] transforms\n"},
    "vision_msgs": {
        "VisionClass": "uint16 class_id\nstring class_name\n",
        "LabelInfo": "std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold\n",
        "Point2D": "float64 x\nfloat64 y\n",
        "Pose2D": "vision_msgs/Point2D position\nfloat64 theta\n",
        "BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y\n",
        "ObjectHypothesis": "string class_id\nfloat64 score\n",
        "ObjectHypothesisWithPose": "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose\n",
        "Detection2D": "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
        "vision_msgs/BoundingBox2D bbox\nstring id\n",
        "Detection2DArray": "std_msgs/Header header\nvision_msgs/Detection2D[] detections\n",
    },
}
"""By package and message: the fields that the public definitions have."""
USED = ("builtin_interfaces", "geometry_msgs", "std_msgs")
"""Packages whose messages those contain."""
COMPILERS = {".c": "gcc", ".cpp": "g++"}
HEADERS = sysconfig.get_paths()["include"]
PREFIX = Path(sys.prefix)
TYPE_SUPPORTS = "fastrtps_c", "introspection_c"
"""What Fast DDS needs of a type; in version 2, Jazzy's, it needs both."""


def make_importable(cache: Path) -> str:
    """Make them importable in this process; return Python code that does so in another one, in which sys is imported.

    Args:
        cache: a folder that keeps what was built.
    """
    if all(importlib.util.find_spec(package) for package in DEFINITIONS):
        return ""
    if why := _obstacle():
        pytest.skip(f"{', '.join(DEFINITIONS)} are not installed, and cannot be built: {why}")
    release = PREFIX / "share" / "rosidl_generator_py" / "package.xml"
    parts = Path(__file__).read_bytes(), release.read_bytes(), f"{PREFIX} {sys.version}".encode()
    key = hashlib.sha256(b"".join(parts)).hexdigest()[:16]
    folder = cache / key
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            new = Path(temporary, key)
            built = subprocess.run([sys.executable, __file__, new], capture_output=True, text=True, check=False)
            assert built.returncode == 0, f"the messages could not be built: {built.stdout}{built.stderr}"
            with contextlib.suppress(OSError):  # another process was faster
                new.rename(folder)
    sys.path.append(str(folder))
    return f"sys.path.append({str(folder)!r})"


def _obstacle() -> str:
    """Why they cannot be built here; empty if they can."""
    if not (PREFIX / "share" / "rosidl_generator_py" / "resource").is_dir():
        return "ROS's generators are not installed"
    for compiler in COMPILERS.values():
        if shutil.which(compiler) is None:
            return f"{compiler} is not installed"
    if not Path(HEADERS, "Python.h").is_file():
        return f"Python's headers are not in {HEADERS}"
    return ""


def build(folder: Path) -> None:
    """Build all packages into a folder, from which Python can import them."""
    for package, messages in DEFINITIONS.items():
        _generate(package, messages, folder)
        _compile(package, folder)


def _generated(folder: Path, room: str, package: str) -> Path:
    """Where a generator writes: Python's modules where they are imported, the rest apart."""
    return folder / package if room == "rosidl_generator_py" else folder / "generated" / room / package


def _generate(package: str, messages: dict[str, str], folder: Path) -> None:
    from rosidl_adapter.msg import convert_msg_to_idl
    from rosidl_generator_c import generate_c
    from rosidl_generator_py import generate_py
    from rosidl_generator_type_description import generate_type_hash
    from rosidl_typesupport_c import generate_c as generate_dispatch
    from rosidl_typesupport_fastrtps_c import generate_typesupport_fastrtps_c
    from rosidl_typesupport_introspection_c import generate_c as generate_introspection

    definitions = _generated(folder, "rosidl_generator_type_description", package)
    (definitions / "msg").mkdir(parents=True)
    for name, text in messages.items():
        (definitions / "msg" / f"{name}.msg").write_text(text)
        convert_msg_to_idl(definitions, package, Path("msg", f"{name}.msg"), definitions / "msg")
    arguments = {
        "package_name": package,
        "idl_tuples": [f"{definitions}:msg/{name}.idl" for name in messages],
        "include_paths": [f"{used}:{PREFIX / 'share' / used}" for used in USED],
        "type_description_tuples": [f"msg/{name}.idl:{definitions / 'msg' / name}.json" for name in messages],
        "ros_interface_dependencies": [],
        "target_dependencies": [],
    }
    for room, generate, *options in (
        ("rosidl_generator_type_description", generate_type_hash),
        ("rosidl_generator_c", generate_c),
        ("rosidl_typesupport_fastrtps_c", generate_typesupport_fastrtps_c),
        ("rosidl_typesupport_introspection_c", generate_introspection),
        ("rosidl_typesupport_c", generate_dispatch, [f"rosidl_typesupport_{kind}" for kind in TYPE_SUPPORTS]),
        ("rosidl_generator_py", generate_py, ["rosidl_typesupport_c"]),
    ):
        output, templates = _generated(folder, room, package), PREFIX / "share" / room / "resource"
        (output / "msg" / "detail").mkdir(parents=True, exist_ok=True)
        file = folder / "arguments.json"
        file.write_text(json.dumps(arguments | {"output_dir": str(output), "template_dir": str(templates)}))
        generate(str(file), *options)
        for template in templates.glob("*visibility_control.h.in"):
            names = {"@PROJECT_NAME@": package, "@PROJECT_NAME_UPPER@": package.upper()}
            text = re.sub("@PROJECT_NAME(_UPPER)?@", lambda name, names=names: names[name[0]], template.read_text())
            (output / "msg" / template.stem).write_text(text)
    (folder / package / "__init__.py").touch()


def _compile(package: str, folder: Path) -> None:
    """Compile a library for the messages and one for each type support, which load each other by name, and a module."""
    includes = [HEADERS, np.get_include(), PREFIX / "include", *(folder / "generated").iterdir()]
    includes += [path for path in (PREFIX / "include").iterdir() if path.is_dir()]
    options = ["-O0", "-fPIC", "-w", *(f"-I{path}" for path in includes)]
    module = f"{package}_s__rosidl_typesupport_c{sysconfig.get_config_var('EXT_SUFFIX')}"
    libraries = {f"lib{package}__rosidl_generator_c.so": ["rosidl_generator_c"]}
    libraries |= {
        f"lib{package}__rosidl_typesupport_{kind}.so": [f"rosidl_typesupport_{kind}"] for kind in TYPE_SUPPORTS
    }
    libraries[module] = ["rosidl_typesupport_c", "rosidl_generator_py"]
    sources = {
        name: [p for room in rooms for p in _generated(folder, room, package).rglob("*.c*") if p.suffix in COMPILERS]
        for name, rooms in libraries.items()
    }
    jobs = [
        subprocess.Popen([COMPILERS[source.suffix], *options, "-c", source, "-o", f"{source}.o"])
        for source in itertools.chain(*sources.values())
    ]
    failed = [job.wait() for job in jobs]
    assert not any(failed), "a compilation failed"
    needed = [f"{used}__rosidl_{kind}" for used in USED for kind in ("generator_c", "generator_py")]
    needed += [f"{used}__rosidl_typesupport_{kind}" for used in USED for kind in TYPE_SUPPORTS]
    needed += ["rosidl_runtime_c", "rosidl_typesupport_c", *(f"rosidl_typesupport_{kind}" for kind in TYPE_SUPPORTS)]
    needed += ["rosidl_typesupport_fastrtps_cpp", "fastcdr", "rcutils", "rmw"]
    link = ["g++", "-shared", f"-L{PREFIX / 'lib'}", f"-Wl,-rpath,{PREFIX / 'lib'}:$ORIGIN", "-Wl,--no-as-needed"]
    for name, parts in sources.items():
        others = [folder / package / other for other in libraries if name == module != other]
        objects = [f"{source}.o" for source in parts]
        output = ["-o", folder / package / name, f"-Wl,-soname,{name}"]
        subprocess.run([*link, *output, *objects, *others, *(f"-l{library}" for library in needed)], check=True)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
