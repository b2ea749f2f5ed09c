"""How `road_seg` itself starts and fails: its version, missing packages, and internal errors."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fcn_road_seg import __version__
from fcn_road_seg.cli import main as command
from fcn_road_seg.cli.main import main
from fcn_road_seg.errors import EXTRAS, UserError, missing_package
from fcn_road_seg.inference.options import BACKENDS


class Broken:
    """A verb whose `run` raises `error`."""

    def __init__(self, error: BaseException):
        self._error = error

    def add_parser(self, subparsers):
        return subparsers.add_parser("segment")

    def run(self, args):
        raise self._error


@pytest.fixture
def fail(monkeypatch, tmp_path, capsys):
    """Run a verb that raises an error: (exit code, stderr)."""
    monkeypatch.setattr(command.tempfile, "tempdir", str(tmp_path))

    def fail(error: BaseException, *options: str) -> tuple[int, str]:
        monkeypatch.setattr(command, "VERBS", ("segment",))
        monkeypatch.setattr(command, "import_module", lambda name: Broken(error))
        code = main(["segment", *options])
        return code, capsys.readouterr().err

    return fail


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"road_seg {__version__}\n"


def test_the_help_of_every_verb_loads_no_torch():
    code = "import sys\nfrom fcn_road_seg.cli.main import make_parser\nmake_parser()\nprint('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=True)
    assert result.stdout == "False\n"


@pytest.mark.parametrize(
    "words, empty",
    [
        (["segment", "", "--out", "out"], "an argument"),
        (["segment", "images", "--out", ""], "--out"),
        (["segment-bag", "bag", "--out="], "--out"),
        (["evaluate", "--root", ""], "--root"),
        (["train", "--data", ""], "--data"),
        (["doctor", "--json", ""], "--json"),
    ],
)
def test_an_empty_path_is_refused(words, empty, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    why = "is empty, as from an unset variable of the shell: give a value or leave it out"
    assert capsys.readouterr().err == f"road_seg {words[0]}: {empty} {why}\n"
    assert not list(tmp_path.iterdir())


def test_without_a_verb_it_says_what_to_try_first(capsys):
    assert main([]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("usage: road_seg ") and shown.endswith("\nroad_seg --help lists every verb\n")
    assert re.findall(r"^  road_seg ([\w-]+)", shown, re.MULTILINE) == ["segment", "demo", "doctor"]


@pytest.mark.parametrize(
    "line, words",
    [
        ("road_seg se", ["segment", "segment-bag"]),
        ("road_seg segment --backend ", ["auto", *BACKENDS]),
        ("road_seg segment --weights l", ["lite", "line.safetensors"]),
        ("road_seg evaluate --compare road l", ["lite", "line.safetensors"]),
    ],
)
def test_the_shell_completes(line, words, tmp_path):
    (tmp_path / "line.safetensors").touch()
    (tmp_path / "line.txt").touch()
    protocol = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": "\n"}
    protocol["_ARGCOMPLETE_SUPPRESS_SPACE"] = "1"
    program = f"exec {sys.executable} -c 'from fcn_road_seg.cli.main import main; main()' 8>&1 9>&2"
    result = subprocess.run(
        ["bash", "-c", program], cwd=tmp_path, env=os.environ | protocol, capture_output=True, text=True, timeout=240
    )
    assert result.stdout.split("\n") == words, result.stderr


def test_completion_can_be_switched_on_for_all_of_python():
    assert b"PYTHON_ARGCOMPLETE_OK" in Path(command.__file__).read_bytes()[:1024]


def test_an_unexpected_error_is_a_sentence_and_its_traceback_a_file(fail, tmp_path):
    code, text = fail(KeyError("colour_lut"))
    assert code == 1
    assert text.startswith("road_seg segment: internal error, KeyError: 'colour_lut'; the traceback is in ")
    assert text.count("\n") == 1
    (file,) = tmp_path.iterdir()
    assert text.endswith(f"{file}\n")
    report = file.read_text()
    assert report.startswith(f"road_seg {__version__}, Python 3.") and "road_seg segment\n" in report
    assert re.search(r"test_main.py\", line \d+, in run\n    raise self._error\nKeyError: 'colour_lut'\n\Z", report)


def test_a_fault_behind_a_users_error_leaves_a_traceback(fail, tmp_path):
    error = UserError("the network failed on a frame of 64x32: no primitive")
    assert fail(error) == (2, f"road_seg segment: {error}\n")
    error.__cause__ = RuntimeError("no primitive")
    code, text = fail(error)
    assert code == 1
    assert "internal error, UserError: the network failed on a frame of 64x32" in text
    (file,) = tmp_path.iterdir()
    assert "RuntimeError: no primitive\n\nThe above exception was the direct cause" in file.read_text()


def test_an_oserror_without_a_message_leaves_a_traceback(fail):
    assert fail(FileNotFoundError(2, "No such file", "a.png")) == (2, "road_seg segment: a.png: No such file\n")
    code, text = fail(TimeoutError())
    assert code == 1
    assert "internal error, TimeoutError: TimeoutError; the traceback is in " in text


def test_debug_prints_the_traceback(fail, tmp_path):
    code, text = fail(KeyError("colour_lut"), "--debug")
    assert code == 1
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.endswith("the traceback is above\n")
    assert not list(tmp_path.iterdir())


def test_an_unwritable_temporary_folder_causes_no_second_error(fail, monkeypatch, tmp_path):
    monkeypatch.setattr(command.tempfile, "tempdir", str(tmp_path / "missing"))
    code, text = fail(KeyError("colour_lut"))
    assert code == 1
    assert text.endswith("the traceback is shown with --debug\n")


def test_a_broken_module_of_ours_is_not_a_missing_package(fail):
    code, text = fail(ModuleNotFoundError("No module named 'fcn_road_seg.gone'", name="fcn_road_seg.gone"))
    assert code == 1
    assert "internal error, ModuleNotFoundError: No module named 'fcn_road_seg.gone'" in text
    assert "pip install" not in text


@pytest.mark.parametrize(
    "module, sentence",
    [
        ("no_such_package.part", "the Python package no_such_package is not installed: pip install no_such_package"),
        ("no_such_package_msgs.msg", "ROS 2 is not available (no_such_package_msgs is not installed)"),
        ("fcn_road_seg.gone", ""),
        ("numpy.gone", ""),
        ("json.gone", ""),
    ],
)
def test_missing_packages(module, sentence):
    found = missing_package(ModuleNotFoundError(f"No module named '{module}'", name=module))
    assert found.startswith(sentence) and bool(found) == bool(sentence)


@pytest.mark.parametrize(
    "module, package",
    [("PIL", "pillow (the extra train has it)"), ("cv2", "opencv-python-headless"), ("yaml", "pyyaml")],
)
def test_packages_go_by_their_names_on_pypi(monkeypatch, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    found = missing_package(ModuleNotFoundError(f"import of {module} halted", name=module))
    assert found.endswith(f"is not installed: pip install {package}")


NODE = """
import sys
sys.modules[{module!r}] = None
from fcn_road_seg.ros.node_main import main
sys.exit(main())
"""


@pytest.mark.parametrize("module, sentence", [("cv2", "pip install opencv-python-headless"), ("rclpy", "ROS 2 is not")])
def test_the_node_names_a_missing_package(module, sentence, tmp_path):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    program = [sys.executable, "-c", NODE.format(module=module)]
    result = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert result.returncode == 2
    assert result.stderr.startswith("road_seg_node: ") and sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_extras_are_those_of_setup_py(repository: Path):
    setup = (repository / "setup.py").read_text()
    for extra, packages in EXTRAS.items():
        (line,) = re.findall(rf'"{extra}": \[(.*?)\]', setup, re.DOTALL)
        assert set(packages) <= set(re.findall(r'"([\w-]+)>=', line)), extra


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("~/w.safetensors", "/home/me/w.safetensors"),
        ("--weights=~/w.safetensors", "--weights=/home/me/w.safetensors"),
        ("mine=folder:~/frames", "mine=folder:/home/me/frames"),
        ("net.onnx:~", "net.onnx:/home/me"),
        ("frames~/a", "frames~/a"),
        ("a/~/b", "a/~/b"),
        ("--min-region=0.1", "--min-region=0.1"),
    ],
)
def test_a_path_may_begin_with_the_home_folder_wherever_it_stands(monkeypatch, word, expanded):
    monkeypatch.setenv("HOME", "/home/me")
    assert command._with_home(word) == expanded
