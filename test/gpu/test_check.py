"""test/gpu/check.sh, as far as it runs without a GPU: its time limits, and the page that its figures become."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import gpu_page
import pytest

RUNG = {"rung": "graph:fp16", "network_size": [576, 160], "p50_ms": 0.5, "p90_ms": 0.5, "p99_ms": 0.6, "fps": 2000}
RUNG |= {"speedup": 9, "times_floor": 8.0, "start_s": 1, "peak_memory_mb": 100, "equal_to_fp32": 0.999}
RUNG |= {"max_f": None, "iou": None, "bev_max_f": None, "stages_ms": {}}
WRITES = "import sys; open(sys.argv[-1], 'w').write(sys.argv[1])"
MACHINE = {"GPU": "a GPU", "driver": "580.1"}


def figures(**machine: str) -> dict:
    report = {
        "machine": {"command": "road_seg benchmark --root /a/folder", "frames": "10"},
        "rungs": [RUNG],
        "absent": {},
    }
    return {"machine": machine, "left_out": ["INT8"], "tests": {"passed": 9}, "benchmarks": {"576": report}}


def test_the_page_has_the_figures_and_no_folder_of_the_machine(tmp_path, monkeypatch, capsys):
    page, file = tmp_path / "page.md", tmp_path / "gpu.json"
    monkeypatch.setattr(gpu_page, "PAGE", page)
    page.write_text(f"before\n{gpu_page.BEGIN}\nold\n{gpu_page.END}\nafter\n")
    file.write_text(json.dumps(figures(**MACHINE)))
    assert gpu_page.main([str(file)]) == 0
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text and "/a/folder" not in text
    for words in (
        "- GPU: a GPU",
        "`pytest -m cuda`: 9 passed.",
        "- INT8",
        "### Network width 576",
        "| graph:fp16 | 576x160",
    ):
        assert words in text
    assert gpu_page.short_table(figures()).endswith("| graph:fp16 | 576x160 | 0.50 | 0.60 | 9.00x | 0.100 % | 100 |")
    file.write_text(json.dumps(figures(driver="none")))
    assert gpu_page.main([str(file)]) == 2 and "is of a rehearsal without a GPU" in capsys.readouterr().err
    assert gpu_page.main([str(tmp_path / "none.json")]) == 2 and page.read_text() == text
    for content in ({}, [], {"machine": MACHINE}):
        file.write_text(json.dumps(content))
        assert gpu_page.main([str(file)]) == 2 and "is JSON, but not the gpu.json" in capsys.readouterr().err
    page.write_text("no marks")
    file.write_text(json.dumps(figures(**MACHINE)))
    assert gpu_page.main([str(file)]) == 2 and "has lost the lines" in capsys.readouterr().err


def test_the_page_in_the_docs_can_be_written():
    assert gpu_page.with_page(gpu_page.PAGE.read_text(), "figures").count("\nfigures\n") == 1


@pytest.fixture
def check(tmp_path, monkeypatch):
    monkeypatch.setenv("OUT", str(tmp_path))
    spec = importlib.util.spec_from_file_location("gpu_check", Path(__file__).with_name("check.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "LEAST_SECONDS", 1.0)
    return module


def test_a_step_that_takes_too_long_is_interrupted_and_keeps_what_it_wrote(check, tmp_path, capsys):
    code = (
        "import signal, time\n"
        "print('figures', flush=True)\n"
        "try: time.sleep(100)\nexcept KeyboardInterrupt: print('kept')"
    )
    steps = check.Check()
    steps.until = time.monotonic() + check.GRACE_SECONDS + 1.5
    began = time.monotonic()
    assert steps.run("slow", [sys.executable, "-c", code]) is None
    assert time.monotonic() - began < 60
    assert (tmp_path / "slow.log").read_text() == "figures\nkept\n"
    steps.until = time.monotonic() + check.GRACE_SECONDS
    assert steps.run("late", [sys.executable, "-c", code]) is None and not (tmp_path / "late.log").exists()
    assert steps.result["left_out"] == ["a part of slow: 1 s were not enough", "late: no time was left"]
    steps.until += 100
    assert steps.run("wrong", [sys.executable, "-c", "raise SystemExit('a sentence')"]) == 1
    assert "a sentence" in capsys.readouterr().out
    assert [step["code"] for step in steps.result["steps"]] == [None, 1]


@pytest.mark.parametrize(
    "name, value, sentence",
    [
        ("OUT", "/proc/none", "cannot make the folder /proc/none"),
        ("WHEELS", "none", "WHEELS=none has no wheels"),
    ],
)
def test_wrong_settings_end_with_a_sentence(tmp_path, name, value, sentence):
    settings = {"OUT": str(tmp_path), "PYTHON": sys.executable, name: value}
    command = [str(Path(__file__).with_name("check.sh"))]
    result = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, timeout=120)
    assert result.returncode == 2 and sentence in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "device, sentence",
    [
        ("nonsense", "DEVICE=nonsense cannot be used"),
        ("meta", "DEVICE=meta cannot be used"),
        ("cuda:99", "DEVICE=cuda:99"),
    ],
)
def test_a_wrong_device_ends_with_a_sentence(check, monkeypatch, capsys, device, sentence):
    monkeypatch.setattr(check, "DEVICE", device)
    assert check.main() == 2 and sentence in capsys.readouterr().err


def test_a_check_that_measured_nothing_failed(check, monkeypatch, capsys):
    monkeypatch.setattr(check, "DEVICE", "cpu")
    monkeypatch.setattr(check, "run_tests", lambda steps: False)
    monkeypatch.setattr(check, "run_benchmarks", lambda steps: False)
    assert check.main() == 1 and "No rung was measured." in capsys.readouterr().out


def test_a_report_names_no_folder_of_the_machine(check, tmp_path, monkeypatch):
    report = {"machine": {}, "rungs": [], "absent": {"tensorrt:int8": f"no {check.REPOSITORY}/models/a.onnx"}}
    monkeypatch.setattr(check, "ROAD_SEG", [sys.executable, "-c", WRITES, json.dumps(report | {"at": f"{tmp_path}/x"})])
    steps = check.Check()
    assert check.benchmark(steps, "576", []) is False
    written = json.loads((tmp_path / "gpu.json").read_text())["benchmarks"]
    assert written == {"576": report | {"absent": {"tensorrt:int8": "no models/a.onnx"}, "at": "x"}}
    assert "tensorrt:int8 did not run: no models/a.onnx" in (tmp_path / "gpu.md").read_text()
