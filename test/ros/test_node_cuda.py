"""The node on a GPU. Every test needs one, and skips where torch finds none."""

import math
import os
import re
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")
torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from node_harness import LOST, TIMEOUT, Client, NodeProcess, frame_message  # noqa: E402

from fcn_road_seg.inference.options import SegmenterOptions  # noqa: E402
from fcn_road_seg.inference.segmenter import RoadSegmenter  # noqa: E402

pytestmark = pytest.mark.cuda

FRAME = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
FATAL, TOO_LARGE = 31, 4000  # widths of frames that break the device, and that do not fit
FAULTS = f"""
from fcn_road_seg.inference.segmenter import RoadSegmenter
segment = RoadSegmenter._segment
def faulty(self, frame):
    import torch
    device = torch.device(self.device).index or 0
    if frame.shape[1] == {FATAL}:
        torch.zeros(4, device=device)[torch.tensor([9], device=device)]  # an assertion on the device
    if frame.shape[1] != {TOO_LARGE}:
        return segment(self, frame)
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(2**25 / total, device)  # less than the frame itself
    try:
        return segment(self, frame)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
RoadSegmenter._segment = faulty
"""


@pytest.fixture(scope="module", autouse=True)
def cuda() -> int:
    """The number of GPUs."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.cuda.device_count()


@pytest.fixture
def start(other_domain_id, small_weights, tmp_path):
    """Starts nodes, by name; ends them afterwards."""
    started = []

    def start(name: str = "road_seg", prelude: str = "", **parameters) -> NodeProcess:
        parameters = {"weights": small_weights, "warm_up_width": 60, "warm_up_height": 40} | parameters
        node = NodeProcess(other_domain_id, tmp_path / f"{name}.log", prelude, **parameters)
        started.append(node)
        return node

    yield start
    for node in started:
        if node.process.poll() is None:
            node.stop()


@pytest.fixture
def client(other_domain_id):
    client = Client(other_domain_id)
    yield client
    client.close()


def device_values(client: Client) -> dict[str, str]:
    return {value.key: value.value for value in client.diagnostics()["device"].values}


@pytest.mark.parametrize("require_cuda", ["false", "true"])
def test_the_node_takes_the_gpu_by_default(start, client, require_cuda):
    node = start(require_cuda=require_cuda)
    client.answer(client.camera(), frame_message(FRAME, "rgb8", 1))
    values = device_values(client)
    assert values["device"] == "cuda" and values["device name"] == torch.cuda.get_device_name(0)
    assert (values["backend"], values["precision"], values["CUDA"]) == ("graph", "fp16", "in use")
    assert 1 < float(values["GPU memory (MB)"]) < torch.cuda.get_device_properties(0).total_memory / 1e6
    assert node.stop() == 0


def test_a_required_gpu_is_not_replaced_by_the_cpu(start, client):
    node = start(require_cuda="true", device="cpu")
    node.wait_for_output("require_cuda is true, but device is 'cpu'")
    assert client.state() == "unconfigured"


def test_every_gpu_can_be_chosen_and_others_are_refused(start, client, cuda):
    node = start(device=f"cuda:{cuda}")
    node.wait_for_output(f"there is no cuda:{cuda}: this machine has {cuda} CUDA device(s)")
    assert client.set_parameter("device", f"cuda:{cuda - 1}") == ""
    assert client.change_state("configure") and client.change_state("activate")
    client.answer(client.camera(), frame_message(FRAME, "rgb8", 1))
    assert device_values(client)["device"] == f"cuda:{cuda - 1}"


def test_a_lost_device_ends_the_node(start, client):
    node = start(prelude=FAULTS)
    camera = client.camera()
    client.answer(camera, frame_message(FRAME, "rgb8", 1))
    camera.publish(frame_message(FRAME[:, :FATAL], "rgb8", 2))
    assert node.process.wait(TIMEOUT) == 1
    assert re.search(r"\(cuda\) no longer works: .*assert.*; the node ends", node.output()), node.output()


def test_out_of_memory_drops_the_frame_and_not_the_node(start, client):
    node = start(prelude=FAULTS)
    camera = client.camera()
    client.answer(camera, frame_message(FRAME, "rgb8", 1))
    large = np.zeros((3000, TOO_LARGE, 3), np.uint8)
    camera.publish(frame_message(large, "rgb8", 2))
    node.wait_for_output(f"not enough memory for a frame of {TOO_LARGE}x3000 on cuda: CUDA out of memory")
    client.answer(camera, frame_message(FRAME, "rgb8", 3))
    frames = {value.key: value.value for value in client.diagnostics()["frames"].values}
    assert frames["frames dropped: memory"] == "1"


def test_two_nodes_share_a_gpu(start, client, small_weights):
    nodes = [start(), start("second")]
    camera = client.camera()
    for node in nodes:
        node.wait_for_output("Listening to /image")
    stamp, sent = 0, -math.inf

    def five_pairs() -> bool:
        nonlocal stamp, sent
        masks = Counter(mask.header.stamp.sec for mask in client.masks)
        if masks[stamp] == 2 or time.monotonic() > sent + LOST:
            stamp, sent = stamp + 1, time.monotonic()
            camera.publish(frame_message(FRAME, "rgb8", stamp))
        return [*masks.values()].count(2) >= 5

    client.spin_until(five_pairs, "a mask of both nodes for each of five frames")
    expected = RoadSegmenter.load(SegmenterOptions(small_weights, "cuda")).mask(FRAME)
    for mask in client.masks:
        assert np.mean(np.frombuffer(mask.data, np.uint8).reshape(expected.shape) != expected) <= 0.002
    assert all(node.stop() == 0 for node in nodes)


def test_a_slice_of_a_gpu_is_a_device(small_weights):
    """MIG: each slice that nvidia-smi lists, in a process that sees only this slice."""
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("nvidia-smi does not run")
    slices = [line.split("UUID: ")[1].rstrip(")") for line in listed.splitlines() if "UUID: MIG-" in line]
    if not slices:
        pytest.skip("this GPU has no MIG slices")
    program = f"""
import numpy
from fcn_road_seg.inference.options import SegmenterOptions
from fcn_road_seg.inference.segmenter import RoadSegmenter
segmenter = RoadSegmenter.load(SegmenterOptions({str(small_weights)!r}, "cuda:0"))
segmenter(numpy.zeros((40, 60, 3), numpy.uint8))
print(segmenter.device, segmenter.precision, segmenter.device_name)
"""
    for name in slices:
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": name}
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
        assert result.stdout.startswith("cuda:0 fp16 ") and "MIG" in result.stdout, result.stdout + result.stderr
