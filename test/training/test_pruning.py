"""Pruning a trained network, and distilling it into the pruned one."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_training import TINY, data, encoder_weights, run  # noqa: F401  (fixtures)

from fcn_road_seg.inference import checkpoint
from fcn_road_seg.inference.checkpoint import CheckpointError
from fcn_road_seg.inference.network import CONV_NAMES, FCN8s
from fcn_road_seg.training import loop, pruning
from fcn_road_seg.training.blend import blend
from fcn_road_seg.training.blend import main as blend_command
from fcn_road_seg.training.pruning import PRUNED, choose_channels, prune, work
from fcn_road_seg.training.recipe import check, load_recipe


def network(fc_width: int = 32) -> FCN8s:
    torch.manual_seed(0)
    return FCN8s("atrous", fc_width, std_init=0.1).eval()


def widths(network: FCN8s) -> dict[str, int]:
    return {name: getattr(network, name).out_channels for name in PRUNED}


def test_removing_dead_channels_changes_nothing():
    """Zeroed channels contribute nothing, so the network without them gives the same answer."""
    full = network()
    generator = torch.Generator().manual_seed(1)
    kept = {}
    for name in PRUNED:
        layer = getattr(full, name)
        channels = torch.randperm(layer.out_channels, generator=generator)[: layer.out_channels // 2].sort().values
        dead = torch.ones(layer.out_channels, dtype=torch.bool)
        dead[channels] = False
        with torch.no_grad():
            layer.weight[dead] = 0
            layer.bias[dead] = 0
        kept[name] = channels
    small = prune(full, kept).eval()
    assert small.conv_widths == tuple(width // 2 for width in full.conv_widths) and small.fc_width == 16
    x = torch.randn(1, 3, 64, 96) * 50
    with torch.inference_mode():
        torch.testing.assert_close(small(x), full(x), rtol=1e-4, atol=1e-4)


def test_work_is_what_torch_counts():
    counter = pytest.importorskip("torch.utils.flop_counter").FlopCounterMode(display=False)
    full = network()
    with torch.inference_mode(), counter:
        full.features(torch.zeros(1, 3, 64, 96))
    assert counter.get_total_flops() == 2 * 64 * 96 * work(widths(full))


@pytest.mark.parametrize("flops", [0.6, 0.25])
def test_the_least_important_channels_are_removed_until_the_work_fits(flops):
    generator = torch.Generator().manual_seed(2)
    importance = {name: torch.rand(width, generator=generator) for name, width in widths(network(256)).items()}
    importance["conv4_2"] *= 1e-6  # an unimportant layer keeps its least share
    channels = choose_channels(importance, flops)
    kept = {name: len(indices) for name, indices in channels.items()}
    share = work(kept) / work(widths(network(256)))
    assert 0.9 * flops < share <= flops
    assert kept["conv4_2"] == 512 // pruning.LEAST and kept["fc6"] == kept["fc7"]
    for name, indices in channels.items():
        assert kept[name] % pruning.MULTIPLE == 0 and torch.equal(indices, indices.unique())
        dropped = torch.ones(len(importance[name]), dtype=torch.bool)
        dropped[indices] = False
        if dropped.any():
            assert importance[name][indices].min() >= importance[name][dropped].max()


def test_importance_sees_which_channels_matter():
    recipe = check(TINY, {"auxiliary_weight": 0.0, "frozen_stages": 0, "fc_width": 16})
    full = network(16)
    with torch.no_grad():
        full.conv3_2.weight[::2] = 0
        full.conv3_2.bias[::2] = -1e6  # never fires
    batch = (
        torch.randint(0, 256, (2, 3, 32, 64), dtype=torch.uint8),
        torch.randint(0, 2, (2, 32, 64), dtype=torch.uint8),
        torch.full((2, 32, 64), 255, dtype=torch.uint8),
    )
    importance = pruning.channel_importance(pruning.TrainingModel(recipe, full), [batch, batch], "cpu")
    assert importance.keys() == set(PRUNED)
    assert importance["conv3_2"][::2].max() == 0 < importance["conv3_2"][1::2].median()


def test_lite_is_at_most_a_quarter_of_the_work():
    assert load_recipe("lite").flops <= 0.25


def test_a_run_prunes_distils_and_resumes(data, encoder_weights, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(loop, "IMPORTANCE_BATCHES", 2)
    run(TINY, data, tmp_path / "teacher", encoder_weights)
    teacher = checkpoint.load(tmp_path / "teacher" / "last.safetensors")
    recipe = check(TINY, {"flops": 0.3, "distillation": 1.0, "frozen_stages": 0})
    run(recipe, data, tmp_path / "lite", None, teacher=teacher)
    lite = checkpoint.load(tmp_path / "lite" / "last.safetensors")
    assert lite.metadata.teacher == teacher.sha256
    assert sum(lite.metadata.conv_widths) < sum(teacher.metadata.conv_widths)
    assert lite.network().conv_widths == lite.metadata.conv_widths
    assert work(widths(lite.network())) <= 0.3 * work(widths(teacher.network()))

    validated = []

    def interrupted(*args):
        validated.append(args)
        if len(validated) == 2:
            raise KeyboardInterrupt
        return validate(*args)

    validate = loop.validate
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "validate", interrupted)
        run(recipe, data, tmp_path / "part", None, teacher=teacher)
    run(recipe, data, tmp_path / "part", None, teacher=teacher, resume=True)
    part = checkpoint.load(tmp_path / "part" / "last.safetensors")
    assert checkpoint.digest("", part.tensors) == checkpoint.digest("", lite.tensors)


def test_a_teacher_changes_what_is_learned():
    recipe = check(TINY, {"distillation": 2.0, "auxiliary_weight": 0.0})
    model = pruning.TrainingModel(recipe, network(16)).eval()
    image = torch.randint(0, 256, (1, 3, 32, 64), dtype=torch.uint8)
    ignore = torch.full((1, 32, 64), 255, dtype=torch.uint8)
    road = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 32, 64)
    assert model(image, ignore, ignore) == 0
    assert model(image, ignore, ignore, road) > 0  # also without labels


@pytest.mark.parametrize("conv_widths", [[64] * 12, [0] * 13, [64.0] * 13, [9999] * 13, "many"])
def test_wrong_widths_in_a_file_are_refused(tmp_path, conv_widths):
    path = tmp_path / "weights.safetensors"
    checkpoint.save(path, network(16), checkpoint.Metadata(fc="atrous", fc_width=16))
    with safe_open(path, "pt") as file:
        header = file.metadata()
    header["metadata"] = json.dumps({**json.loads(header["metadata"]), "conv_widths": conv_widths})
    save_file(load_file(path), path, header)
    with pytest.raises(checkpoint.CheckpointError, match="has invalid metadata"):
        checkpoint.load(path)


def test_every_pruned_layer_is_in_the_network():
    assert PRUNED[: len(CONV_NAMES)] == CONV_NAMES and all(hasattr(network(16), name) for name in PRUNED)


def test_a_blend_lies_between_two_weights(tmp_path):
    files = []
    for k, temperature in enumerate((2.0, 1.0)):
        torch.manual_seed(k)
        files.append(tmp_path / f"{k}.safetensors")
        known = {f"set {k}": {"frames": 3}, "validation/kitti_road": {"frames": 1}}
        metadata = checkpoint.Metadata(fc="atrous", fc_width=16, temperature=temperature, data=known)
        checkpoint.save(files[-1], FCN8s("atrous", 16), metadata)
    first, second = map(checkpoint.load, files)
    blend(first, second, 0.25, tmp_path / "blend.safetensors")
    between = checkpoint.load(tmp_path / "blend.safetensors")
    assert between.metadata.temperature == 1 and between.metadata.origin == first.sha256
    for ours, start, end in zip(*(c.network().parameters() for c in (between, first, second)), strict=True):
        torch.testing.assert_close(ours, 0.75 * start + 0.25 * end, rtol=2e-3, atol=1e-3)
    assert set(between.metadata.trained_on) == {"set 1", "origin/set 0"}
    other = tmp_path / "other.safetensors"
    checkpoint.save(other, FCN8s("atrous", 32), checkpoint.Metadata(fc="atrous", fc_width=32))
    with pytest.raises(CheckpointError, match="different shapes"):
        blend(first, checkpoint.load(other), 0.5, tmp_path / "no.safetensors")


def test_the_command_that_blends_refuses_bad_input(tmp_path, capsys):
    weights = tmp_path / "w.safetensors"
    checkpoint.save(weights, FCN8s("atrous", 16), checkpoint.Metadata(fc="atrous", fc_width=16))
    out = str(tmp_path / "out.safetensors")
    assert blend_command([out, str(weights), str(weights), "0.5"]) == 0 and checkpoint.load(out).metadata.origin
    for words, message in (
        ([out, str(weights), str(weights), "1.5"], "the share is 1.5, but must be within 0"),
        ([out, str(weights), str(weights), "nan"], "the share is nan"),
        ([out, str(weights), "missing.safetensors", "0.5"], "there is no weights file missing.safetensors"),
        ([str(tmp_path / "none" / "out"), str(weights), str(weights), "0.5"], "its folder does not exist"),
    ):
        assert blend_command(words) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
