"""Weights files: a saved file loads unchanged, and every other file is refused in one sentence."""

import pickle
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from fcn_road_seg.inference import checkpoint
from fcn_road_seg.inference.checkpoint import CheckpointError, Metadata
from fcn_road_seg.inference.network import FCN8s

META = Metadata(fc="atrous", fc_width=16, threshold=0.4, seed=7, figures={"validation": {"max_f": 0.9}})


@pytest.fixture(scope="module")
def network() -> FCN8s:
    torch.manual_seed(0)
    return FCN8s("atrous", 16).eval()


@pytest.fixture
def weights(network, tmp_path):
    path = tmp_path / "weights.safetensors"
    checkpoint.save(path, network, META)
    return path


def rewrite(path, change):
    """Apply `change(tensors, header)` to a weights file without this package's functions."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        header = file.metadata()
    tensors = load_file(path)
    change(tensors, header)
    save_file(tensors, path, header)


def refused(path) -> str:
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(path)
    assert "\n" not in str(error.value)
    return str(error.value).replace(str(path), "FILE")  # pytest names the folder after the test


def test_round_trip(network, weights):
    loaded = checkpoint.load(weights)
    assert loaded.metadata == META
    x = torch.rand(1, 3, 32, 64)
    half = {k: v.half().float() for k, v in network.state_dict().items()}
    expected = FCN8s("atrous", 16).eval()
    expected.load_state_dict(half)
    with torch.inference_mode():
        assert torch.equal(loaded.network()(x), expected(x))
    assert all(t.dtype == torch.float16 for t in loaded.tensors.values())
    assert weights.stat().st_mode & 0o444 == 0o444, "other users must be able to read it"


def test_missing_file(tmp_path):
    assert refused(tmp_path / "none.safetensors") == "there is no weights file FILE"
    assert refused("permisive") == "there is no weights file FILE; the shipped weights are road, lite and permissive"


def test_folder(tmp_path):
    assert "folder" in refused(tmp_path)


def test_missing_tensor(weights):
    rewrite(weights, lambda tensors, _: tensors.pop("fc6.bias"))
    assert "lacks the tensor fc6.bias" in refused(weights)


def test_extra_tensor(weights):
    rewrite(weights, lambda tensors, _: tensors.update(surprise=torch.zeros(1)))
    assert "surprise" in refused(weights)


def test_wrong_architecture(weights):
    rewrite(
        weights,
        lambda _, header: header.update(metadata=header["metadata"].replace('"fc_width": 16', '"fc_width": 32')),
    )
    assert "shape" in refused(weights)


def test_altered_weight(weights):
    def nudge(tensors, _):
        tensors["conv1_1.bias"][0] += 1

    rewrite(weights, nudge)
    assert "SHA-256" in refused(weights)


def test_one_flipped_bit(weights):
    content = bytearray(weights.read_bytes())
    content[-1000] ^= 1
    weights.write_bytes(content)
    assert "SHA-256" in refused(weights)


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_truncated(weights, keep):
    weights.write_bytes(weights.read_bytes()[:keep])
    assert "not a complete safetensors file" in refused(weights)


def test_pickles(tmp_path, network):
    path = tmp_path / "weights.pt"
    torch.save(network.state_dict(), path)
    assert "pickle" in refused(path)
    path.write_bytes(pickle.dumps({"weights": 1}))
    assert "pickle" in refused(path)


def test_safetensors_of_another_program(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    assert "does not hold weights of this program" in refused(path)


def test_other_format_versions(weights):
    rewrite(weights, lambda _, header: header.update(format_version="99"))
    assert "format version 99" in refused(weights)


@pytest.mark.parametrize("metadata", ["{", "[]", '{"fc": "atrous"}', '{"fc": "atrous", "fc_width": 10000000}'])
def test_metadata_that_does_not_describe_a_network(weights, metadata):
    rewrite(weights, lambda _, header: header.update(metadata=metadata))
    assert "metadata" in refused(weights)


def test_an_absurd_header_length_is_refused(tmp_path):
    path = tmp_path / "huge.safetensors"
    path.write_bytes(struct.pack("<Q", 2**60) + b"{}")
    assert "not a complete safetensors file" in refused(path)


def test_weights_that_fp16_cannot_hold_are_not_saved(tmp_path):
    broken = FCN8s("atrous", 16)
    torch.nn.init.constant_(broken.fc7.bias, 1e6)
    with pytest.raises(CheckpointError, match="fc7.bias"):
        checkpoint.save(tmp_path / "weights.safetensors", broken, META)
    assert list(tmp_path.iterdir()) == []
