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
    compgen -G "$WHEELS/*.whl" >/dev/null || { echo "check.sh: WHEELS=$WHEELS has no wheels (*.whl)" >&2; exit 2; }
    prefix=$(mktemp -d)
    trap 'rm -rf "$prefix"' EXIT
    echo "installing the wheels in $WHEELS ..."
    "$PYTHON" -m pip install --quiet --no-index --no-deps --no-compile --prefix "$prefix" "$WHEELS"/*.whl
    for packages in "$prefix"/{,local/}lib/python3*/{site,dist}-packages; do
        [ ! -d "$packages" ] || export PYTHONPATH="$PYTHONPATH:$packages"
    done
    if [ -d "$prefix/share/ament_index" ]; then  # what importing ROS's wheels would do, and then start Python again
        libraries=$(printf '%s:' "$prefix"/lib "$prefix"/lib/python3*/site-packages/ros_*.libs)
        export AMENT_PREFIX_PATH=$prefix LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:-}"
        export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1
    fi
fi
SECONDS_LEFT=$((${SECONDS_LEFT:-480} - SECONDS)) "$PYTHON" test/gpu/check.py
