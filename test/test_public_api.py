"""The public API: its names, that they load lazily, and the documentation's example."""

import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

import fcn_road_seg


def run(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_importing_the_package_loads_neither_torch_nor_ros():
    code = """
import sys, fcn_road_seg
from fcn_road_seg import SegmenterOptions, __version__
print([name for name in ("torch", "rclpy", "cv2") if name in sys.modules])
"""
    assert run(code) == "[]"


def test_the_public_names_can_be_imported():
    assert set(fcn_road_seg.__all__) <= set(dir(fcn_road_seg))
    names: dict[str, object] = {}
    exec("from fcn_road_seg import *", names)
    assert set(fcn_road_seg.__all__) <= names.keys()
    from fcn_road_seg.inference.segmenter import RoadSegmenter

    assert names["RoadSegmenter"] is RoadSegmenter
    with pytest.raises(AttributeError, match="module 'fcn_road_seg' has no attribute 'Segmenter'"):
        fcn_road_seg.Segmenter  # noqa: B018


def test_the_example_of_the_documentation_runs(repository, small_weights, tmp_path, monkeypatch):
    page = (repository / "docs" / "api.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    frame = np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "frame.png"), frame)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fcn_road_seg.inference.segmenter.share_path", lambda relative: small_weights)
    names: dict[str, object] = {}
    exec(example, names)
    overlay, mask = cv2.imread("overlay.png"), names["mask"]
    assert overlay.shape == frame.shape and set(np.unique(mask)) == {0, 255}
    assert np.array_equal(overlay[mask == 0], frame[mask == 0])
