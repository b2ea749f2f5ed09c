"""The steps of check.sh, each in its own process with a time limit, and their results in one JSON and Markdown file."""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tools"))

from gpu_page import gpu_page, short_table  # noqa: E402

OUT = Path(os.environ.get("OUT") or "gpu_out").resolve()
DEVICE = os.environ.get("DEVICE") or "cuda"
KITTI = os.environ.get("KITTI", "")
ITERATIONS = os.environ.get("ITERATIONS") or "200"
FRAMES = os.environ.get("FRAMES") or "10"
SECONDS = float(os.environ.get("SECONDS_LEFT") or 480)
WIDTHS = (576, 832, 1248)
SHARES = {"tests": 0.3, "synthesize": 0.1, "576": 0.4, "832": 0.4, "1248": 0.5, "1248_compile": 1.0}
"""Of the time that is left when a step begins, the most that it may take; half of it for the others."""
RUNGS = {
    "": "torch:fp16,graph:fp32,graph:fp16,lite/graph:fp16",
    "_tensorrt": "tensorrt:fp16,tensorrt:int8,lite/tensorrt:fp16",
    "_onnxruntime": "onnxruntime:fp16,onnxruntime_tensorrt:fp16",
    "_compile": "compile:fp16",
}
"""All of CUDA; those that are built first, for up to minutes, come last, in processes of their own."""
LEAST_SECONDS = 5.0
GRACE_SECONDS = 10.0
"""For a step that is interrupted."""
INT8 = "models/road_fcn8s_int8.onnx"
ROAD_SEG = [sys.executable, "-m", "fcn_road_seg.cli.main"]


class Check:
    """What the steps found; `result` is what gpu.json holds."""

    def __init__(self) -> None:
        self.until = time.monotonic() + SECONDS
        self.result: dict = {"machine": {}, "left_out": [], "steps": [], "tests": {}, "benchmarks": {}}

    def leave_out(self, what: str) -> None:
        """Note what was not measured, and why."""
        self.result["left_out"].append(what)
        print(f"left out: {what}", flush=True)

    def run(self, name: str, command: list[str]) -> int | None:
        """Run a step; returns its exit code, None if its time was over. Its output is in NAME.log."""
        left = self.until - time.monotonic() - GRACE_SECONDS
        if left < LEAST_SECONDS:
            self.leave_out(f"{name}: no time was left")
            return None
        limit = max(left * SHARES.get(name, 0.5), LEAST_SECONDS)
        print(f"{name}: at most {limit:.0f} s ...", flush=True)
        began = time.monotonic()
        with (OUT / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=REPOSITORY, start_new_session=True)
            try:
                code: int | None = process.wait(limit)
            except subprocess.TimeoutExpired:  # a step that is interrupted writes what it has
                code = None
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE_SECONDS)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        seconds = round(time.monotonic() - began, 1)
        self.result["steps"].append({"step": name, "seconds": seconds, "code": code})
        print(f"{name}: {'its time was over' if code is None else f'exit code {code}'} after {seconds} s", flush=True)
        if code is None:
            self.leave_out(f"a part of {name}: {limit:.0f} s were not enough")
        elif code:
            print((OUT / f"{name}.log").read_text(errors="replace")[-2000:], flush=True)
        return code

    def write(self) -> None:
        """Write what there is so far."""
        (OUT / "gpu.json").write_text(json.dumps(self.result, indent=1) + "\n")
        (OUT / "gpu.md").write_text(gpu_page(self.result))


def main() -> int:
    """Return 1 if a test or a bound failed or nothing was measured; 2 if torch, the device or OUT cannot be used."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job, and so its steps, ignore it
    check = Check()
    try:
        OUT.mkdir(parents=True, exist_ok=True)
        machine = describe_machine()
    except OSError as error:
        print(f"check.sh: cannot make the folder {OUT}: {error.strerror}; OUT=DIR names another", file=sys.stderr)
        return 2
    except ImportError as error:
        print(f"check.sh: {error}: install PyTorch", file=sys.stderr)
        return 2
    except (RuntimeError, AssertionError, ValueError) as error:  # PyTorch's, of a device that it does not know or have
        reason = str(error).partition("\n")[0]
        print(f"check.sh: DEVICE={DEVICE} cannot be used ({reason}): give cuda, cuda:N or cpu", file=sys.stderr)
        return 2
    check.result["machine"] = machine
    for name, text in machine.items():
        print(f"{name}: {text}")
    if DEVICE != "cpu" and "GPU" not in machine:
        print(f"check.sh: PyTorch finds no GPU for DEVICE={DEVICE}; DEVICE=cpu rehearses without one", file=sys.stderr)
        return 2
    failed = run_tests(check)
    for package in ("onnx", "onnxruntime", "tensorrt", "openvino", "torchvision"):
        if importlib.util.find_spec(package) is None:
            check.leave_out(f"what needs {package}, which is not installed")
    if not (REPOSITORY / INT8).is_file():
        check.leave_out(f"INT8: {INT8} is not in this copy")
    failed |= run_benchmarks(check)
    check.write()
    print(f"\n{short_table(check.result)}\n\n{OUT / 'gpu.json'} and {OUT / 'gpu.md'} have everything.")
    return int(failed or not any(report["rungs"] for report in check.result["benchmarks"].values()))


def describe_machine() -> dict[str, str]:
    """GPU, driver and versions."""
    import torch

    from fcn_road_seg.git_revision import git_revision
    from fcn_road_seg.inference.backends.hardware import cpu_name, driver_version

    facts = {}
    device = torch.device(DEVICE)
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"a device of type {device.type}")
    if torch.cuda.is_available() and device.type == "cuda":
        gpu = torch.cuda.get_device_properties(device)
        facts["GPU"] = f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, compute capability {gpu.major}.{gpu.minor}"
        facts["GPUs"] = str(torch.cuda.device_count())
        facts["cuDNN"] = str(torch.backends.cudnn.version())
    facts["driver"] = driver_version() or "none"
    facts["CPU"] = f"{cpu_name()}, {len(os.sched_getaffinity(0))} cores"
    facts["PyTorch"] = f"{torch.__version__}, CUDA {torch.version.cuda}"
    facts["Python"] = sys.version.split()[0]
    facts["revision"] = git_revision()
    return facts


def run_tests(check: Check) -> bool:
    """Run `pytest -m cuda` on the files that have such tests; returns whether it failed."""
    report = OUT / "tests.xml"
    files = [str(f) for f in sorted((REPOSITORY / "test").rglob("test_*.py")) if "pytest.mark.cuda" in f.read_text()]
    options = ["-m", "cuda", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    code = check.run("tests", [sys.executable, "-m", "pytest", *options, *files])
    if report.is_file():
        cases = ElementTree.parse(report).getroot().iter("testcase")
        kinds = [next((child.tag for child in case if child.tag != "properties"), "passed") for case in cases]
        check.result["tests"] = dict(Counter(kinds))
    return code != 0


def run_benchmarks(check: Check) -> bool:
    """Run `road_seg benchmark` at every width and then with the node; returns whether one failed."""
    failed, shared = False, ["--device", DEVICE, "--iterations", ITERATIONS]
    shared += ["--warm-up", str(min(int(ITERATIONS), 10))]
    if not (REPOSITORY / "models/road_fcn8s.safetensors").is_file():
        check.leave_out("the full network: its weights are not in this copy; the lite ones take its place")
        shared += ["--weights", "lite"]
    if KITTI:
        shared += ["--root", KITTI]
    else:
        check.leave_out("accuracy on KITTI: KITTI=DIR names its folder")
    frames = OUT / "synthetic"
    shutil.rmtree(frames, ignore_errors=True)
    made = check.run("synthesize", [*ROAD_SEG, "synthesize", str(frames), "--frames", "1", "--val-frames", FRAMES])
    if made == 0:
        shared += ["--data", f"synthetic_frames=folder:{frames}", "--frames", FRAMES]
    for width in WIDTHS:
        extra = ["--sizes", "--batches", "--profile"] if width == WIDTHS[0] else []
        if width == WIDTHS[0] and importlib.util.find_spec("torchvision"):
            extra += ["--peers"]
        failed |= benchmark(check, str(width), [*shared, *extra, *rungs(""), "--network-width", str(width)])
    if importlib.util.find_spec("rclpy") is None:
        check.leave_out("the node end to end: rclpy is not installed")
    else:
        few = ["--rungs", "torch:fp32", "--node", "auto:auto", "--iterations", "3", "--warm-up", "1", "--frames", "1"]
        failed |= benchmark(check, "node", [*shared, *few])
    for group in ("_tensorrt", "_onnxruntime", "_compile"):
        if group != "_compile" and importlib.util.find_spec(group[1:]) is None:
            continue  # `main` has said so
        for width in WIDTHS:
            failed |= benchmark(check, f"{width}{group}", [*shared, *rungs(group), "--network-width", str(width)])
    shutil.rmtree(frames, ignore_errors=True)
    return failed


def rungs(group: str) -> list[str]:
    """The option --rungs; a CPU, for a rehearsal, takes BF16 in place of FP16."""
    return ["--rungs", RUNGS[group] if DEVICE != "cpu" else RUNGS[group].replace("fp16", "bf16")]


def benchmark(check: Check, name: str, options: list[str]) -> bool:
    """Run `road_seg benchmark` and take its report, if it was not ended before; returns whether it failed."""
    details = OUT / f"benchmark_{name}.json"
    details.unlink(missing_ok=True)
    code = check.run(name, [*ROAD_SEG, "benchmark", *options, "--details", str(details)])
    if details.is_file():
        text = details.read_text().replace(f"{OUT}/", "").replace(f"{REPOSITORY}/", "")  # for the docs
        check.result["benchmarks"][name] = json.loads(text)
    check.write()
    return code not in (0, None)


if __name__ == "__main__":
    sys.exit(main())
