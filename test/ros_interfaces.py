"""tf2_msgs and vision_msgs, which ROS's wheels lack, built from their definitions with the generators that they have.

Run as a program it builds them into a folder: the generators, then the compiler, without CMake. That takes 5 seconds.
"""

import contextlib
import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import numpy as np
import pytest

DEFINITIONS = {
    "tf2_msgs": {"TFMessage": "geometry_msgs/TransformStamped[] transforms\n"},
    "vision_msgs": {
        "VisionClass": "uint16 class_id\nstring class_name\n",
        "LabelInfo": "std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold\n",
    },
}
"""By package and message: the fields that the public definitions have."""
USED = ("builtin_interfaces", "geometry_msgs", "std_msgs")
"""Packages whose messages those contain."""
COMPILERS = {".c": "gcc", ".cpp": "g++"}
HEADERS = sysconfig.get_paths()["include"]
PREFIX = Path(sys.prefix)
RUNTIME = (
    "rosidl_runtime_c",
    "rosidl_typesupport_c",
    "rosidl_typesupport_fastrtps_c",
    "rosidl_typesupport_fastrtps_cpp",
)


def make_importable(cache: Path) -> str:
    """Make them importable in this process; return Python code that does so in another one, in which sys is imported.

    Args:
        cache: a folder that keeps what was built.
    """
    if all(importlib.util.find_spec(package) for package in DEFINITIONS):
        return ""
    if why := _obstacle():
        pytest.skip(f"tf2_msgs and vision_msgs are not installed, and cannot be built: {why}")
    key = hashlib.sha256(Path(__file__).read_bytes() + sys.prefix.encode() + sys.version.encode()).hexdigest()[:16]
    folder = cache / key
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            new = Path(temporary, key)
            built = subprocess.run([sys.executable, __file__, new], capture_output=True, text=True, check=False)
            assert built.returncode == 0, f"tf2_msgs and vision_msgs could not be built: {built.stdout}{built.stderr}"
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


def _generate(package: str, messages: dict[str, str], folder: Path) -> None:
    from rosidl_adapter.msg import convert_msg_to_idl
    from rosidl_generator_c import generate_c
    from rosidl_generator_py import generate_py
    from rosidl_generator_type_description import generate_type_hash
    from rosidl_typesupport_c import generate_c as generate_typesupport_c
    from rosidl_typesupport_fastrtps_c import generate_typesupport_fastrtps_c

    output = folder / package
    (output / "msg" / "detail").mkdir(parents=True)
    (output / "__init__.py").touch()
    for name, text in messages.items():
        (output / "msg" / f"{name}.msg").write_text(text)
        convert_msg_to_idl(output, package, Path("msg", f"{name}.msg"), output / "msg")
    arguments = {
        "package_name": package,
        "output_dir": str(output),
        "idl_tuples": [f"{output}:msg/{name}.idl" for name in messages],
        "include_paths": [f"{used}:{PREFIX / 'share' / used}" for used in USED],
        "type_description_tuples": [f"msg/{name}.idl:{output / 'msg' / name}.json" for name in messages],
        "ros_interface_dependencies": [],
        "target_dependencies": [],
    }

    def run(generator, room: str, *options) -> None:
        templates = PREFIX / "share" / room / "resource"
        file = output / "arguments.json"
        file.write_text(json.dumps(arguments | {"template_dir": str(templates)}))
        generator(str(file), *options)
        for template in templates.glob("*visibility_control.h.in"):
            text = (
                template.read_text().replace("@PROJECT_NAME@", package).replace("@PROJECT_NAME_UPPER@", package.upper())
            )
            (output / "msg" / template.stem).write_text(text)

    run(generate_type_hash, "rosidl_generator_type_description")
    run(generate_c, "rosidl_generator_c")
    run(generate_typesupport_fastrtps_c, "rosidl_typesupport_fastrtps_c")
    run(generate_typesupport_c, "rosidl_typesupport_c", ["rosidl_typesupport_fastrtps_c"])
    run(generate_py, "rosidl_generator_py", ["rosidl_typesupport_c"])


def _compile(package: str, folder: Path) -> None:
    output = folder / package
    includes = [folder, HEADERS, np.get_include(), PREFIX / "include"]
    includes += [path for path in (PREFIX / "include").iterdir() if path.is_dir()]
    libraries = [
        f"{used}__rosidl_{kind}" for used in USED for kind in ("generator_c", "generator_py", "typesupport_fastrtps_c")
    ]
    libraries += [*RUNTIME, "fastcdr", "rcutils", "rmw"]
    options = ["-O0", "-fPIC", "-w", *(f"-I{path}" for path in includes)]
    sources = [*output.rglob("*.c"), *output.rglob("*.cpp")]
    jobs = {
        source: subprocess.Popen([COMPILERS[source.suffix], *options, "-c", source, "-o", f"{source}.o"])
        for source in sources
    }
    assert not any(job.wait() for job in jobs.values()), "a compilation failed"
    library = output / f"{package}_s__rosidl_typesupport_c{sysconfig.get_config_var('EXT_SUFFIX')}"
    path = PREFIX / "lib"
    subprocess.run(
        ["g++", "-shared", "-o", library, *(f"{source}.o" for source in sources), f"-L{path}", f"-Wl,-rpath,{path}"]
        + [f"-l{name}" for name in libraries],
        check=True,
    )


if __name__ == "__main__":
    build(Path(sys.argv[1]))
