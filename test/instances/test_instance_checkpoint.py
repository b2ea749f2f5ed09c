"""Weights files of the instance network: written, read, and refused when they are not what they say."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fcn_road_seg.inference import checkpoint as road_checkpoint
from fcn_road_seg.inference.checkpoint import CheckpointError
from fcn_road_seg.instances.checkpoint import Metadata, load, save
from fcn_road_seg.instances.detector import instance_weights
from fcn_road_seg.instances.network import build

METADATA = Metadata(16, 96, recipe={"name": "tiny"}, data={"mine": {"frames": 2}})


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("instances") / "small.safetensors"
    save(path, build(METADATA.width, METADATA.short_side), METADATA)
    return path


def changed(weights, path, **parts):
    """A copy of a weights file with other parts of its header, or other tensors."""
    with safe_open(weights, "pt") as file:
        header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors |= parts.pop("tensors", {})
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path, header | parts)
    return path


def test_a_file_has_the_weights_and_the_metadata(weights):
    loaded = load(weights)
    assert loaded.metadata == METADATA and len(loaded.sha256) == 64
    network = loaded.network()
    assert not network.training
    state = network.state_dict()
    assert all(torch.equal(state[name], tensor.float()) for name, tensor in loaded.tensors.items())


def test_files_that_are_not_what_they_say_are_refused(weights, small_weights, tmp_path):
    name, tensor = "roi_heads.box_predictor.cls_score.bias", torch.zeros(9, dtype=torch.float16)
    wide = json.dumps({"width": 24, "short_side": 96, "classes": list(METADATA.classes)})
    faults = {
        "was damaged or altered": {"tensors": {name: tensor + 1}},
        f"lacks the tensor {name}": {"tensors": {name: None}},
        "has the tensor more": {"tensors": {"more": tensor}},
        "has invalid metadata": {"metadata": "{}"},
        "needs": {"metadata": wide},
        "has the format version 9": {"format_version": "9"},
        "does not hold weights": {"format": "other"},
    }
    for sentence, fault in faults.items():
        with pytest.raises(CheckpointError, match=sentence):
            load(changed(weights, tmp_path / "changed.safetensors", **fault))
    with pytest.raises(CheckpointError, match="weights of the road network"):
        load(small_weights)
    with pytest.raises(CheckpointError, match="holds weights of the network for instances, but this needs"):
        road_checkpoint.load(weights)


def test_missing_shipped_weights_say_how_to_make_them(monkeypatch, tmp_path):
    monkeypatch.setattr("fcn_road_seg.share.share_folders", lambda: [tmp_path])
    with pytest.raises(CheckpointError, match="train-instances"):
        instance_weights()
    assert instance_weights("mine.safetensors").name == "mine.safetensors"
