"""Which weights a segmenter runs, and on what."""

from dataclasses import dataclass
from pathlib import Path

SHIPPED_WEIGHTS = {
    "": "models/road_fcn8s.safetensors",
    "road": "models/road_fcn8s.safetensors",
    "full": "models/road_fcn8s.safetensors",
    "lite": "models/road_fcn8s_lite.safetensors",
    "permissive": "models/road_fcn8s_permissive_lite.safetensors",
}
"""The files that names of weights stand for, see `share.share_path`."""
PRECISIONS = "fp32", "bf16", "fp16", "int8"
BACKENDS = "torch", "compile", "openvino", "graph", "onnxruntime", "onnxruntime_tensorrt", "tensorrt"


@dataclass(frozen=True)
class SegmenterOptions:
    """What `RoadSegmenter.load` takes; "auto" and 0 leave a choice to the segmenter.

    Attributes:
        weights: a safetensors file that this package wrote, or a name of shipped weights: "", "road" or "full"
            for the full network, "lite" for the one with fewer channels, "permissive" for one of lite's size that was
            trained only on data whose licences allow commercial use.
        device: "auto" (CUDA if available, else the CPU), "cpu", "cuda" or "cuda:N"; or one that only OpenVINO has,
            "gpu", "gpu.N" or "npu", or several for OpenVINO to choose from, such as "auto:gpu,cpu".
        precision: "auto" (on CUDA and on OpenVINO's other devices FP16; on the CPU INT8 if OpenVINO and the CPU support
            it and the weights have been quantised, see `road_seg quantize`, else BF16 if the CPU supports it, else
            FP32), "fp32", "bf16", "fp16" or "int8"; `backends.choice.PRECISIONS_OF` has what each backend supports.
        backend: "auto" (graph on CUDA; on an x86-64 CPU openvino if it is installed, else torch), "torch" (layer by
            layer), "compile" (torch.compile), "openvino" (not on CUDA), "graph" (a CUDA graph), "onnxruntime" (ONNX
            Runtime on the CPU or through its CUDA provider), "onnxruntime_tensorrt" (through its TensorRT provider) or
            "tensorrt" (TensorRT's engines in CUDA graphs).
        network_width: width in pixels to which frames of KITTI's shape, and wider ones, are scaled for the network, a
            multiple of 32; others get as many pixels, see `preprocess.network_size`. 0 takes the checkpoint's.
        threads: number of CPU threads of the network; 0 takes the backend's default. PyTorch has one setting for the
            process.
        own_vehicle_mask: an image or polygons that show the vehicle itself, see `frames.own_vehicle`: P(road) is 0
            there; "" for none.
    """

    weights: str | Path = ""
    device: str = "auto"
    precision: str = "auto"
    backend: str = "auto"
    network_width: int = 0
    threads: int = 0
    own_vehicle_mask: str | Path = ""
