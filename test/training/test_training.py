"""Recipes, augmentation and small training runs: they learn, resume bit for bit, and stop cleanly."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_kitti import write_folder

from fcn_road_seg.datasets.kitti_road import KittiRoad
from fcn_road_seg.frames.sample import DatasetError, Sample
from fcn_road_seg.inference import checkpoint
from fcn_road_seg.inference.checkpoint import CheckpointError
from fcn_road_seg.inference.network import FCN8s, torchvision_names
from fcn_road_seg.inference.preprocess import network_size, normalise, to_input
from fcn_road_seg.training import augmentation, loop, validation
from fcn_road_seg.training.encoder import load_encoder
from fcn_road_seg.training.mixture import Mixture, MixtureBatches
from fcn_road_seg.training.model import TrainingModel, build_optimizer, cross_entropy, set_learning_rate
from fcn_road_seg.training.pseudo_labels import PseudoLabelled, mean_probability
from fcn_road_seg.training.recipe import Recipe, RecipeError, check, load_recipe
from fcn_road_seg.training.run_folder import RunFolder

TINY = Recipe(
    name="tiny",
    samples={"kitti_road": 8},
    fc_width=16,
    network_width=96,
    network_height=32,
    epochs=2,
    batch_size=4,
    lr=3e-3,
    upscore_lr=1e-2,
    encoder_lr=1e-4,
    frozen_stages=3,
    keep_prob=0.5,
    std_init=0.001,
    ema=0.5,
    auxiliary_weight=0.4,
    augment=True,
    scale_min=0.8,
    scale_max=1.3,
    colour=0.3,
    blur=0.3,
    jpeg=0.3,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple[KittiRoad, KittiRoad]:
    root = write_folder(tmp_path_factory.mktemp("kitti"), [f"um_{i:06d}" for i in range(8)])
    return KittiRoad(root, [f"um_{i:06d}" for i in range(6)]), KittiRoad(root, ["um_000006", "um_000007"])


def write_encoder(path: Path) -> Path:
    """A random encoder in torchvision's names, He-initialised for images of 0..255."""
    torch.manual_seed(3)
    network = FCN8s("atrous", 16)
    tensors = {}
    for theirs, ours in torchvision_names().items():
        tensor = network.state_dict()[ours]
        tensors[theirs] = torch.nn.init.kaiming_normal_(tensor) if tensor.ndim == 4 else torch.zeros_like(tensor)
    tensors["features.0.weight"] = tensors["features.0.weight"] / 50
    save_file(tensors, path)
    return path


@pytest.fixture(scope="module")
def encoder_weights(tmp_path_factory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder") / "vgg16.safetensors")


class BegunRun(RunFolder):
    """A run that keeps its state at the end, so that it can be resumed with more epochs."""

    def finish(self) -> None:
        pass


def run(recipe, data, folder, encoder_weights, kind=RunFolder, **options) -> dict:
    train_set, held_out = data
    sources, sets = {"kitti_road": train_set}, {"kitti_road": held_out}
    return loop.train(recipe, sources, sets, kind(folder), encoder_weights, **options)


# --- augmentation ------------------------------------------------------------------------------


def test_augmentation_moves_image_and_label_together():
    """Road is painted white and the rest black, so image and label must agree after any crop."""
    label = np.zeros((120, 400), np.uint8)
    label[60:, 100:260] = 1
    sample = Sample(np.repeat(label[..., None] * 255, 3, axis=2), label, "painted")
    recipe = check(TINY, {"colour": 0.0, "blur": 0.0, "jpeg": 0.0, "scale_min": 0.5, "scale_max": 2.0})
    mixture = Mixture({"kitti_road": [sample]}, recipe)
    disagreement, padded = [], 0
    for k in range(40):
        image, label, classes = mixture[("kitti_road", 0, k)]
        assert image.shape == (3, 32, 96) and label.shape == classes.shape == (32, 96)
        assert image.dtype == label.dtype == torch.uint8
        valid = label != 255
        padded += (~valid).any().item()
        disagreement.append(((image[0] > 127) != (label == 1))[valid].float().mean().item())
        assert (classes == 255).all()
    assert max(disagreement) < 0.05 and padded > 5


@pytest.mark.parametrize("augment", [False, True])
def test_image_and_label_are_sampled_at_the_same_places(augment):
    """On ramps, where a pixel's value is its position, image and mask must agree to a fraction of a pixel."""
    recipe = check(TINY, {"augment": augment, "colour": 0.0, "blur": 0.0, "jpeg": 0.0})
    for axis in (0, 1):
        ramp = np.indices((100, 200))[axis].astype(np.uint8)
        mixture = Mixture({"kitti_road": [Sample(np.repeat(ramp[..., None], 3, 2), ramp, "ramp")]}, recipe)
        offsets = []
        for k in range(20):
            image, label, _ = mixture[("kitti_road", 0, k)]
            valid = (label > 4) & (label < 90)  # away from the borders and from ignored pixels
            offsets.append((image[0].float() - label.float())[valid].mean().item())
        assert abs(np.mean(offsets)) < 0.15


def test_a_crop_keeps_the_frames_lower_edge():
    label = np.zeros((120, 400), np.uint8)
    label[-8:] = 1
    mixture = Mixture({"kitti_road": [Sample(np.repeat(label[..., None], 3, 2), label, "edge")]}, TINY)
    for k in range(20):
        _, label, _ = mixture[("kitti_road", 0, k)]
        assert (label[-1][label[-1] != 255] == 1).all() and not (label[:16] == 1).any()


def test_half_of_the_crops_of_tall_frames_lie_at_any_height():
    """A row's colour is its height: tall frames show their sky at large scales too, KITTI's never do."""
    rows = np.linspace(0, 250, 360).astype(np.uint8)[:, None, None]
    recipe = check(TINY, {"scale_min": 1.5, "scale_max": 1.5, "colour": 0.0, "blur": 0.0, "jpeg": 0.0})
    for width, free, expected in ((240, 0.0, 0), (240, 0.5, 18), (1200, 0.5, 0), (240, 1.0, 36)):
        sample = Sample(np.repeat(rows, width, 1).repeat(3, 2), np.zeros((360, width), np.uint8), "ramp")
        mixture = Mixture({"kitti_road": [sample]}, check(recipe, {"free_crops": free}))
        lowest = torch.stack([mixture[("kitti_road", 0, k)][0][0, -1].max() for k in range(40)])
        assert abs((lowest < 240).sum() - expected) <= (8 if free else 0)
        assert free < 1 or lowest.min() < 190


def test_an_own_vehicle_is_not_road():
    image, label = np.full((120, 400, 3), 90, np.uint8), np.zeros((120, 400), np.uint8)
    label[60:] = 1
    changes = {"own_vehicle": 1.0, "colour": 0.0, "blur": 0.0, "jpeg": 0.0, "scale_min": 1.0, "scale_max": 1.0}
    frames = {"kitti_road": [Sample(image, label, "road"), Sample(image, label * 0, "bonnet")]}
    mixture = Mixture(frames, check(TINY, changes))
    for k in range(20):
        shown, truth, classes = mixture[("kitti_road", 0, k)]
        lower = truth[16:] == 0
        assert 0.03 < lower.float().mean() < 0.95 and (truth[17:20] == 1).any() and (classes == 255).all()
        assert (shown[0, 18:].float() - 90).abs()[lower[2:]].mean() > (shown[0].float() - 90).abs()[truth == 1].mean()
        untouched, _, _ = mixture[("kitti_road", 1, k)]
        assert ((untouched - 90) ** 2 <= 1).float().mean() > 0.7
    assert (label[60:] == 1).all() and (image == 90).all()


def test_night_is_darker_and_darkest_above():
    sample = Sample(np.full((120, 400, 3), 150, np.uint8), np.ones((120, 400), np.uint8), "day")
    changes = {"night": 1.0, "colour": 0.0, "blur": 0.0, "jpeg": 0.0, "scale_min": 1.0, "scale_max": 1.0}
    mixture = Mixture({"kitti_road": [sample]}, check(TINY, changes))
    nights = torch.stack([mixture[("kitti_road", 0, k)][0].float() for k in range(30)])
    assert nights.mean() < 75 and nights[:, :, :8].mean() < 0.6 * nights[:, :, 20:].mean()
    assert (mixture[("kitti_road", 0, 0)][1][-1] == 1).any()


def test_a_cast_changes_each_channel_by_its_own_factor():
    image = torch.full((3, 4, 4), 100, dtype=torch.uint8)
    torch.manual_seed(0)
    shown = torch.stack([augmentation.Cast(0.2)(augmentation.tv_tensors.Image(image))[0] for _ in range(50)]).float()
    assert 79 <= shown.min() < 86 and 114 < shown.max() <= 120
    assert shown.mean((2, 3)).std(1).mean() > 5


def test_the_last_rows_of_other_data_sets_are_ignored():
    sample = Sample(np.zeros((100, 300, 3), np.uint8), np.ones((100, 300), np.uint8), "all road")
    recipe = check(TINY, {"augment": False, "ignore_bottom": 0.1, "network_width": 288, "network_height": 96})
    mixture = Mixture({"kitti_road": [sample], "camvid": [sample]}, recipe)
    assert (mixture[("kitti_road", 0, 0)][1] == 1).all()
    label = mixture[("camvid", 0, 0)][1]
    assert (label[:86] == 1).all() and (label[88:] == 255).all()
    assert (sample.label == 1).all()


def test_training_and_the_node_see_the_same_input(data):
    """Without augmentation a training frame equals the result of `to_input`, bit for bit."""
    mixture = Mixture({"kitti_road": data[0]}, check(TINY, {"augment": False}))
    frame = torch.from_numpy(data[0][0].image).permute(2, 0, 1)[None]
    trained = normalise(mixture[("kitti_road", 0, 0)][0][None])
    assert torch.equal(trained, to_input(frame, (96, 32), torch.float32))


def test_frames_depend_on_their_address_alone(data):
    mixture = Mixture({"kitti_road": data[0]}, TINY)
    first = mixture[("kitti_road", 0, 0)]
    torch.manual_seed(99)
    mixture[("kitti_road", 1, 0)]
    again = mixture[("kitti_road", 0, 0)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], mixture[("kitti_road", 0, 1)][0])


def test_without_augmentation_a_frame_is_only_resized(data):
    image, label, _ = Mixture({"kitti_road": data[0]}, check(TINY, {"augment": False}))[("kitti_road", 0, 0)]
    assert image.shape == (3, 32, 96)
    assert abs((label == 1).float().mean() - (data[0][0].label == 1).mean()) < 0.02


@pytest.mark.parametrize("frame", [(1242, 375), (1224, 370), (480, 360), (832, 468), (800, 400), (320, 227)])
def test_training_and_inference_see_frames_at_the_same_size(frame):
    recipe = load_recipe("road")
    columns, rows = network_size(*frame, recipe.network_width)
    assert augmentation.training_size(recipe, *frame) == (rows, columns)


def test_frames_as_wide_as_the_recipes_network_width_get_its_height():
    recipe = check(load_recipe("road"), {"network_height": 192})
    assert augmentation.training_size(recipe, 1242, 375) == (192, 576)
    assert augmentation.training_size(recipe, 480, 360) == (256, 352)


def test_an_epoch_draws_every_frame_and_keeps_data_sets_apart(data):
    recipe = check(TINY, {"samples": {"kitti_road": 12, "camvid": 4}, "batch_size": 5})
    mixture = Mixture({"kitti_road": data[0], "camvid": data[1]}, recipe)
    batches = list(MixtureBatches(mixture, 0))
    assert len(batches) == len(MixtureBatches(mixture, 0)) == 4
    assert all(len({name for name, _, _ in batch}) == 1 for batch in batches)
    addresses = [address for batch in batches for address in batch]
    assert len(set(addresses)) == 16
    counts = np.bincount([i for name, i, _ in addresses if name == "kitti_road"])
    assert counts.tolist() == [2] * 6
    assert batches == list(MixtureBatches(mixture, 0)) != list(MixtureBatches(mixture, 1))


# --- the model ---------------------------------------------------------------------------------


def test_ignored_pixels_have_no_loss():
    logits = torch.randn(1, 2, 4, 4)
    label = torch.full((1, 4, 4), 255, dtype=torch.uint8)
    assert cross_entropy(logits, label).item() == 0
    label[0, 0, 0] = 1
    expected = -torch.log_softmax(logits[0, :, 0, 0], 0)[1]
    torch.testing.assert_close(cross_entropy(logits, label), expected)


def test_encoder_and_head_have_their_own_learning_rates():
    model = TrainingModel(TINY)
    optimizer = build_optimizer(model, TINY)
    set_learning_rate(optimizer, check(TINY, {"warmup_steps": 10}), 4, 100)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    parameters = dict(model.named_parameters())
    assert rates[id(parameters["network.conv5_3.weight"])] == pytest.approx(0.5e-4)
    assert rates[id(parameters["network.fc6.weight"])] == pytest.approx(1.5e-3)
    assert rates[id(parameters["network.head.upscore8.weight"])] == pytest.approx(5e-3)
    assert rates[id(parameters["auxiliary.score_fr.weight"])] == pytest.approx(1.5e-3)
    assert id(parameters["network.conv3_3.weight"]) not in rates
    assert len(rates) == sum(p.requires_grad for p in model.parameters())
    set_learning_rate(optimizer, check(TINY, {"schedule": "cosine"}), 50, 100)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(optimizer.param_groups[0]["base_lr"] / 2)


def test_invalid_encoder_weights_are_refused(tmp_path):
    network = FCN8s("atrous", 16)
    with pytest.raises(CheckpointError, match="--encoder-weights"):
        load_encoder(network, tmp_path / "missing.safetensors")
    save_file({"features.0.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="features.0.weight"):
        load_encoder(network, tmp_path / "other.safetensors")


def test_a_failed_download_without_a_file_is_one_sentence(monkeypatch):
    def offline(*_, **__):
        raise OSError("name resolution failed")

    monkeypatch.setattr("torchvision.models.VGG16_Weights.get_state_dict", offline)
    with pytest.raises(CheckpointError, match="cannot download.*--encoder-weights FILE"):
        load_encoder(FCN8s("atrous", 16))


# --- complete runs -----------------------------------------------------------------------------


def test_a_run_learns_and_writes_all_its_files(data, encoder_weights, tmp_path):
    recipe = check(TINY, {"samples": {"kitti_road": 24}, "epochs": 5})
    best = run(recipe, data, tmp_path / "run", encoder_weights)
    assert best["max_f"] > 0.8
    with open(tmp_path / "run" / "log.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 and float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))
    assert load_recipe(str(tmp_path / "run" / "recipe.yaml")) == check(recipe, {"name": "tiny"})
    names = json.loads((tmp_path / "run" / "data.json").read_text())
    assert names["validation/kitti_road"] == ["um_000006", "um_000007"]

    loaded = checkpoint.load(tmp_path / "run" / "best.safetensors")
    assert loaded.metadata.figures["validation"]["max_f"] == best["max_f"]
    assert loaded.metadata.threshold == best["threshold"]
    assert loaded.metadata.recipe["epochs"] == 5
    assert loaded.metadata.data["kitti_road"]["frames"] == 6
    held_out = loaded.metadata.data["validation/kitti_road"]
    assert len(held_out["sha256"]) == 64 and held_out["names"] == names["validation/kitti_road"]
    assert list(loaded.metadata.trained_on) == ["kitti_road"]
    assert loaded.metadata.trained_on["kitti_road"]["names"] == [f"um_{i:06d}" for i in range(6)]


@pytest.mark.parametrize("stop", [1, 4])  # the step, in the first or the second epoch
def test_ctrl_c_leaves_usable_weights_and_resume_is_bit_for_bit(data, encoder_weights, tmp_path, monkeypatch, stop):
    run(TINY, data, tmp_path / "uninterrupted", encoder_weights)
    steps = []

    def interrupt(*args):
        steps.append(args)
        if len(steps) == stop:
            raise KeyboardInterrupt
        set_learning_rate(*args)

    monkeypatch.setattr(loop, "set_learning_rate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(TINY, data, tmp_path / "parts", encoder_weights)
    assert len(steps) == stop
    last = tmp_path / "parts" / "last.safetensors"
    interrupted = checkpoint.load(last)
    assert not interrupted.metadata.figures
    interrupted.network()

    monkeypatch.undo()
    run(TINY, data, tmp_path / "parts", None, resume=True)
    uninterrupted = checkpoint.load(tmp_path / "uninterrupted" / "last.safetensors")
    assert checkpoint.digest("", interrupted.tensors) != checkpoint.digest("", uninterrupted.tensors)
    assert checkpoint.digest("", checkpoint.load(last).tensors) == checkpoint.digest("", uninterrupted.tensors)


def test_a_run_is_not_overwritten(data, encoder_weights, tmp_path):
    run(check(TINY, {"epochs": 1}), data, tmp_path / "run", encoder_weights)
    with pytest.raises(CheckpointError, match="already holds a run"):
        run(TINY, data, tmp_path / "run", encoder_weights)


def test_a_run_resumes_only_with_its_own_data_and_teacher(data, encoder_weights, tmp_path):
    run(check(TINY, {"epochs": 1}), data, tmp_path / "run", encoder_weights, BegunRun)
    other = KittiRoad(data[0].root, data[0].names[:5]), data[1]
    with pytest.raises(RecipeError, match="set of frames kitti_road is not the one that the run began with"):
        run(TINY, other, tmp_path / "run", None, resume=True)
    teacher = checkpoint.load(tmp_path / "run" / "last.safetensors")
    with pytest.raises(RecipeError, match="not the teacher"):
        run(TINY, data, tmp_path / "run", None, resume=True, teacher=teacher)


def test_a_run_resumes_only_with_its_own_recipe_and_state(data, encoder_weights, tmp_path):
    for seed, name in ((0, "run"), (1, "other")):
        run(check(TINY, {"epochs": 1, "seed": seed}), data, tmp_path / name, encoder_weights, BegunRun)
    state, table = (tmp_path / "run" / name for name in ("state.safetensors", "log.csv"))
    with pytest.raises(RecipeError, match="blur is 0.0, but this run began with 0.3: put its own recipe.yaml back"):
        run(check(TINY, {"blur": 0.0}), data, tmp_path / "run", None, resume=True)
    own, rows = state.read_bytes(), table.read_bytes()
    state.write_bytes((tmp_path / "other" / "state.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="state.safetensors is of another run"):
        run(TINY, data, tmp_path / "run", None, resume=True)
    state.write_bytes(own[:-1] + bytes([own[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="state.safetensors was damaged or altered"):
        run(TINY, data, tmp_path / "run", None, resume=True)
    assert table.read_bytes() == rows
    state.write_bytes(own)
    run(TINY, data, tmp_path / "run", None, resume=True)


def test_a_repeated_epoch_has_one_row(tmp_path):
    folder = RunFolder(tmp_path)
    for epoch, loss in ((1, 0.5), (2, 0.4), (2, 0.3)):
        folder.log({"epoch": epoch, "loss": loss})
    with open(tmp_path / "log.csv") as file:
        assert [(row["epoch"], row["loss"]) for row in csv.DictReader(file)] == [("1", "0.5"), ("2", "0.3")]


def test_a_missing_run_is_not_resumed(data, tmp_path):
    with pytest.raises(CheckpointError, match="no run of this recipe to resume"):
        run(TINY, data, tmp_path / "run", None, resume=True)


def test_fine_tuning_starts_from_unchanged_weights(data, encoder_weights, tmp_path):
    recipe = check(TINY, {"samples": {"kitti_road": 24}, "epochs": 2, "warmup_steps": 0})
    run(recipe, data, tmp_path / "first", encoder_weights)
    first = checkpoint.load(tmp_path / "first" / "last.safetensors")
    wider = check(
        recipe, {"fc_width": 32, "epochs": 1, "lr": 0.0, "upscore_lr": 0.0, "encoder_lr": 0.0}
    )  # stays 16 wide
    run(wider, data, tmp_path / "same", None, start=first)
    same = checkpoint.load(tmp_path / "same" / "last.safetensors")
    assert same.metadata.origin == first.sha256 and same.metadata.fc_width == 16 and not first.metadata.origin
    assert same.metadata.trained_on["origin/kitti_road"] == first.metadata.data["kitti_road"]
    assert same.metadata.max_f == pytest.approx(first.metadata.max_f, abs=1e-6)
    for name, tensor in first.tensors.items():
        torch.testing.assert_close(same.tensors[name], tensor)

    tuned = check(recipe, {"epochs": 2, "fc_width": 32})
    run(check(tuned, {"epochs": 1}), data, tmp_path / "tuned", None, BegunRun, start=first)
    run(tuned, data, tmp_path / "tuned", None, resume=True)  # with the widths of `first`
    resumed = checkpoint.load(tmp_path / "tuned" / "last.safetensors").metadata
    assert resumed.origin == first.sha256 and set(resumed.trained_on) == {"kitti_road", "origin/kitti_road"}


# --- validation --------------------------------------------------------------------------------


def half_road(tops: list[int], grey: int) -> list[Sample]:
    """Frames of 60 x 100 whose road, white, begins in these rows; a patch of `grey` in the sky looks like road."""
    samples = []
    for top in tops:
        label = np.zeros((60, 100), np.uint8)
        label[top:] = 1
        image = np.repeat(label[..., None] * 250, 3, 2)
        image[:10] = grey
        samples.append(Sample(image, label, f"from_{top}"))
    return samples


def test_several_sets_are_validated_by_their_mean_and_one_threshold():
    """The answer is the image's brightness. Frames with a sky of 100 are right above 100/255, others at any level."""
    segment = lambda image: image[..., 0]  # noqa: E731
    sets = {"clear": half_road([30, 40], 0), "hazy": half_road([30], 100), "white": half_road([30], 250)}
    row = validation.validate(segment, sets)
    wrong = 2 * 30 / (2 * 30 + 10)
    assert row["clear_max_f"] == row["hazy_max_f"] == 1 and row["white_max_f"] == pytest.approx(wrong)
    assert row["max_f"] == pytest.approx((2 + wrong) / 3) and 100 < 255 * row["threshold"] <= 250
    assert row["iou"] == pytest.approx((2 + 30 / 40) / 3) and "bev_max_f" not in row
    assert set(validation.validate(segment, {"hazy": sets["hazy"]})) == {
        "max_f", "average_precision", "iou", "threshold"
    }  # fmt: skip


def test_sets_without_road_are_refused(data, encoder_weights, tmp_path):
    frames = half_road([30], 0)
    nothing = [Sample(frames[0].image, frames[0].label * 255, "0 and 255")]
    everything = [Sample(frames[0].image, frames[0].label * 0 + 1, "all")]
    for sources, sets, message in (
        (nothing, frames, "none of the 1 frames of kitti_road shows road: in labels 1 is road"),
        (frames, nothing, "none of the 1 frames of validation/mine shows road"),
        (frames, everything, "the 1 frames of validation/mine show only road"),
    ):
        with pytest.raises(DatasetError, match=message):
            loop.train(TINY, {"kitti_road": sources}, {"mine": sets}, RunFolder(tmp_path / "run"), encoder_weights)


# --- self-training -----------------------------------------------------------------------------


def test_pseudo_labels_are_where_the_teacher_is_confident(data, encoder_weights, tmp_path):
    recipe = check(TINY, {"samples": {"kitti_road": 24}, "epochs": 5})
    run(recipe, data, tmp_path / "teacher", encoder_weights)
    teacher = tmp_path / "teacher" / "last.safetensors"
    folder = data[0].root / "training" / "image_2"
    frames = PseudoLabelled([folder, folder], teacher, confidence=0.7, device="cpu")
    assert len(frames) == len(frames.names) == 16 and frames.names[:2] == ["um_000000", "um_000001"]
    assert frames.teacher == checkpoint.load(teacher).sha256

    truth = KittiRoad(data[0].root)
    confident, right = [], []
    for sample, labelled in zip(frames, truth, strict=False):
        assert np.array_equal(sample.image, labelled.image)
        counted = (sample.label != 255) & (labelled.label != 255)
        confident.append(counted.mean())
        right.append((sample.label == labelled.label)[counted].mean())
    assert 0.3 < np.mean(confident) < 1 and np.mean(right) > 0.9

    student = check(recipe, {"samples": {"kitti_road": 4, "unlabelled": 8}, "epochs": 1})
    sources = {"kitti_road": data[0], "unlabelled": frames}
    loop.train(student, sources, {"kitti_road": data[1]}, RunFolder(tmp_path / "student"), encoder_weights)
    data_facts = checkpoint.load(tmp_path / "student" / "last.safetensors").metadata.data["unlabelled"]
    assert data_facts["frames"] == 16 and data_facts["teacher"] == frames.teacher


def test_a_teachers_mean_answer_has_the_frames_orientation():
    image = np.zeros((2, 4, 3), np.uint8)
    image[:, 0] = 200
    answers = [lambda frame: frame[..., 0], lambda frame: np.zeros(frame.shape[:2], np.uint8)]
    mean = mean_probability(answers, image)
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, np.where(np.arange(4) == 0, 100 / 255, 0) * np.ones((2, 1)), rtol=1e-6)


def test_no_images_to_label_is_one_sentence(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DatasetError, match="is not a folder of images"):
            PseudoLabelled([folder], "unused.safetensors", 0.9)
