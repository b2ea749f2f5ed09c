#!/usr/bin/env bash
# Everything that only a machine with an NVIDIA GPU can tell, in at most 8 minutes: the tests, the figures, the profile.
# Needs python3 with torch >= 2.4, torchvision, opencv, numpy, safetensors, pytest, onnx and rich; no network.
#
#   OUT=gpu_out     folder for gpu.json, gpu.md and the logs
#   DEVICE=cuda     or cuda:1; cpu rehearses
#   PYTHON=python3  the interpreter
#   WHEELS=DIR      wheels of other packages (rosbags, rclpy, tensorrt, ...), installed for this run only
#   KITTI=DIR       KITTI Road, for its accuracy
#   SECONDS_LEFT=480, ITERATIONS=200, FRAMES=10
#
# Afterwards `python tools/gpu_page.py gpu_out/gpu.json` writes the page in docs/performance.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-python3}
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1
if [ -n "${WHEELS:-}" ]; then
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    "$PYTHON" -m pip install --quiet --no-index --no-deps --target "$site" "$WHEELS"/*.whl
    export PYTHONPATH="$PYTHONPATH:$site"
fi
"$PYTHON" test/gpu/check.py
