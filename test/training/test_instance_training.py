"""Training of the instance network, from the crops to a picture with names."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from tiny_instances import scene, write_backbone, write_cityscapes, write_detector
from tiny_yolox import yolox

from fcn_road_seg.cli.main import main
from fcn_road_seg.frames.instance_sample import InstanceSample
from fcn_road_seg.inference.checkpoint import CheckpointError
from fcn_road_seg.instances import checkpoint
from fcn_road_seg.instances.network import IGNORED, build
from fcn_road_seg.training import instance_loop
from fcn_road_seg.training.instance_crops import InstanceCrops, collate, crop, target
from fcn_road_seg.training.instance_loop import InstanceLearner, frames_digest, load_backbone
from fcn_road_seg.training.instance_recipe import FOLDER, InstanceRecipe
from fcn_road_seg.training.recipe import check, load_recipe, recipe_names

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = InstanceRecipe(
    "tiny",
    {"cityscapes": 4},
    width=16,
    short_side=128,
    crop_width=128,
    crop_height=64,
    epochs=2,
    batch_size=2,
    lr=2e-3,
    frozen_stages=5,
    ema=0.5,
    validation_frames=1,
)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return write_backbone(tmp_path_factory.mktemp("backbone") / "lite0.pth")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = write_cityscapes(tmp_path_factory.mktemp("cityscapes"), "train", "zurich")
    return write_cityscapes(root, "val", "ulm", (5,))


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in vars(TINY).items() if k != "name"}))
    return path


@pytest.fixture(scope="module")
def trained(data, backbone, recipe_file, tmp_path_factory):
    """The folder of a finished run."""
    out = tmp_path_factory.mktemp("run") / "whole"
    assert main(train_words(data, recipe_file, "--backbone-weights", str(backbone), "--out", str(out))) == 0
    return out


def train_words(data, recipe_file, *words):
    return ["train-instances", "--recipe", str(recipe_file), "--data", f"cityscapes:{data}", "--workers", "0", *words]


# --- crops -------------------------------------------------------------------------------------


def test_a_crop_shows_the_same_pixels_as_its_masks():
    """A frame whose red pixels are one instance: wherever the crop lies, its mask lies on red."""
    image, mask = np.zeros((80, 160, 3), np.uint8), np.zeros((80, 160), bool)
    mask[30:60, 50:90] = True
    image[mask] = (255, 0, 0)
    sample = InstanceSample(image, mask[None], np.array([2]), mask[None], np.array([-1]), "a")
    recipe = check(TINY, {"short_side": 80, "scale_min": 0.8, "scale_max": 1.6})
    shown = 0
    for seed in range(8):
        torch.manual_seed(seed)
        part = crop(sample, recipe)
        assert part.image.shape == (64, 128, 3)
        if len(part.labels):
            red = part.image[..., 0] > 127
            assert (part.masks[0] ^ red).sum() <= 0.1 * red.sum() and (part.ignored[0] == part.masks[0]).all()
            shown += 1
    assert shown >= 5


def test_crops_depend_only_on_their_address():
    crops = InstanceCrops({"cityscapes": [scene(1)]}, check(TINY, {"scale_max": 1.5, "colour": 0.4, "jpeg": 0.5}))
    (a, first), (b, again), (c, _) = (crops["cityscapes", 0, k] for k in (0, 0, 1))
    assert torch.equal(a, b) and all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(a, c)


def test_targets_have_boxes_and_ignore_what_is_too_small():
    masks = np.zeros((3, 20, 30), bool)
    masks[0, 5:15, 10:30] = masks[1, 0, 0] = masks[2, 18:, :4] = True
    sample = InstanceSample(np.zeros((20, 30, 3), np.uint8), masks[:2], np.array([7, 0]), masks[2:], np.array([0]), "a")
    made = target(sample, smallest=12)
    assert made["boxes"].tolist() == [[10, 5, 30, 15], [0, 0, 1, 1], [0, 18, 4, 20]]
    assert made["labels"].tolist() == [8, IGNORED, IGNORED] and made["masks"].dtype == torch.uint8


# --- training ----------------------------------------------------------------------------------


@pytest.mark.parametrize("autocast", [False, True])
def test_the_losses_fall(backbone, autocast):
    torch.manual_seed(0)
    model = build(16, 128)
    load_backbone(model, backbone)
    whole = {"crop_width": 256, "crop_height": 128, "autocast": autocast}
    learner = InstanceLearner(model, check(TINY, whole), "cpu")
    sample = scene(5)
    batch = collate([(torch.from_numpy(sample.image).permute(2, 0, 1), target(sample))])
    for group in learner.optimizer.param_groups:
        group["lr"] = group["base_lr"]
    totals = [sum(learner.step(*batch).values()) for _ in range(6)]
    assert np.isfinite(totals).all() and totals[-1] < 0.7 * totals[0]
    assert not any(parameter.requires_grad for parameter in model.backbone.body["stride16"].parameters())


def test_only_training_is_in_bf16(backbone):
    model = build(16, 128)
    load_backbone(model, backbone)
    images = torch.rand(1, 3, 128, 256)
    full = model.eval().backbone(images)
    model.backbone.autocast = True
    assert all(torch.equal(full[name], feature) for name, feature in model.backbone(images).items())
    coarse = model.train().backbone(images)
    assert all(
        0 < (full[name] - feature).abs().max() < 0.05 * full[name].abs().max() for name, feature in coarse.items()
    )
    assert {feature.dtype for feature in coarse.values()} == {torch.float32}


def test_a_run_writes_weights_with_what_they_learned_from(trained):
    loaded = checkpoint.load(trained / "last.safetensors")
    metadata = loaded.metadata
    assert (metadata.width, metadata.short_side) == (16, 128) and metadata.recipe["epochs"] == 2
    assert metadata.data["cityscapes"]["names"] == ["zurich_000001_000019", "zurich_000005_000019"]
    assert metadata.data["cityscapes"]["instances"]["car"] > 5
    assert metadata.data["validation/cityscapes"]["frames"] == 1
    assert {"mask_ap", "box_ap50"} <= metadata.figures["validation"].keys()
    assert (trained / "best.safetensors").is_file() and not (trained / "state.safetensors").exists()


def test_an_interrupted_run_goes_on_bit_for_bit(trained, data, backbone, recipe_file, tmp_path, monkeypatch, capsys):
    out, step, steps = tmp_path / "run", InstanceLearner.step, []

    def interrupted(self, images, targets):
        if len(steps) == 3:
            raise KeyboardInterrupt
        steps.append(len(images))
        return step(self, images, targets)

    monkeypatch.setattr(instance_loop, "SAVE_EVERY", -1.0)  # after every step
    monkeypatch.setattr(InstanceLearner, "step", interrupted)
    assert main(train_words(data, recipe_file, "--backbone-weights", str(backbone), "--out", str(out))) == 130
    monkeypatch.setattr(InstanceLearner, "step", step)
    assert main(["train-instances", "--resume", str(out), "--data", f"cityscapes:{data}", "--workers", "0"]) == 0
    whole, resumed = (checkpoint.load(run / "last.safetensors").tensors for run in (trained, out))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    capsys.readouterr()
    assert main(["train-instances", "--resume", str(out), "--data", f"cityscapes:{data}"]) == 0
    assert "has finished its 2 epochs" in capsys.readouterr().err


def test_a_run_is_not_resumed_with_other_frames(trained, data, backbone, recipe_file, tmp_path, monkeypatch, capsys):
    out, other = tmp_path / "run", write_cityscapes(tmp_path / "other", "train", "zurich", (5,))
    write_cityscapes(other, "val", "ulm", (5,))

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(InstanceLearner, "step", interrupt)
    main(train_words(data, recipe_file, "--backbone-weights", str(backbone), "--out", str(out)))
    capsys.readouterr()
    assert main(["train-instances", "--resume", str(out), "--data", f"cityscapes:{other}", "--workers", "0"]) == 2
    assert "with other frames" in capsys.readouterr().err


def test_the_digest_of_frames_does_not_depend_on_the_order_in_memory():
    sample = scene(1)
    column_first = replace(sample, masks=np.asfortranarray(sample.masks))  # as pycocotools decodes them
    assert not column_first.masks.flags.c_contiguous
    assert frames_digest([sample]) == frames_digest([column_first])


def test_frames_without_instances_are_not_measured(tmp_path, capsys):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images").mkdir()
    Image.new("RGB", (64, 32)).save(tmp_path / "images" / "a.png")
    coco = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [],
    }
    (tmp_path / "annotations" / "instances_val.json").write_text(json.dumps(coco))
    weights = str(write_detector(tmp_path / "weights.safetensors"))
    assert main(["evaluate-instances", "--weights", weights, "--data", f"coco:{tmp_path}"]) == 2
    assert "coco has no instance that counts in its 1 frames" in capsys.readouterr().err


def test_every_recipe_can_be_read():
    assert recipe_names(FOLDER) == ["instances"]
    recipe = load_recipe("instances", InstanceRecipe, FOLDER)
    assert recipe.samples == {"cityscapes": 1000}


def test_a_missing_or_wrong_backbone_is_named(tmp_path, small_weights):
    model = build(16)
    with pytest.raises(CheckpointError, match="there is no file"):
        load_backbone(model, tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="does not hold EfficientNet-Lite0's weights"):
        load_backbone(model, small_weights)


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--data", "cityscapes:/nowhere"], "needs leftImg8bit/train"),
        ([], "give --data cityscapes:DIR"),
        (["--data", "coco:x"], 'or train on what you have, as in --samples "{coco: 1000}"'),
        (["--data", "mine=coco:x", "--samples", "{mine: 4}"], "is not a data set in COCO's format"),
        (["--samples", "{synthetic: 2}"], "nothing validates this training"),
        (["--crop-width", "100"], "crop_width is 100"),
        (["--workers", "-1"], "--workers is -1"),
        (["--weights", "x", "--backbone-weights", "y"], "leave out --backbone-weights"),
        (["--nonsense"], ""),
    ],
)
def test_wrong_usage_ends_with_a_sentence(words, sentence, capsys):
    try:
        code = main(["train-instances", *words])
    except SystemExit as end:
        code = end.code
    assert code == 2 and sentence in capsys.readouterr().err


# --- use ---------------------------------------------------------------------------------------


def test_evaluate_instances_prints_and_writes_figures(trained, data, tmp_path, capsys):
    file = tmp_path / "figures.json"
    words = ["--weights", str(trained / "last.safetensors"), "--json", str(file), "--data", f"cityscapes:{data}"]
    assert main(["evaluate-instances", *words]) == 0
    shown = capsys.readouterr().out
    assert "| class | instances | box AP | box AP50 | mask AP | mask AP50 |" in shown
    assert "| mean, to 20 m |" in shown and "| mean, small |" in shown
    figures = json.loads(file.read_text())
    assert figures["cityscapes"]["frames"] == 1
    ((city, found),) = figures["cityscapes"]["cities"].items()
    assert f"| mean, {city} |" in shown and found["mask"] == figures["cityscapes"]["mask"]["classes"]
    assert set(figures["cityscapes"]["mask"]) == {"mean", "classes", "intervals", "size", "distance"}
    for data in ([], ["--data", "synthetic:none"], ["--data", "camvid:x"]):
        assert main(["evaluate-instances", *words[:2], *data]) == 2


def test_peers_are_measured_on_the_same_frames(trained, data, tmp_path, capsys):
    pytest.importorskip("openvino")
    file, peer = tmp_path / "figures.json", yolox(tmp_path / "y.onnx", {})
    words = ["--weights", str(trained / "last.safetensors"), "--json", str(file), "--data", f"cityscapes:{data}"]
    assert main(["evaluate-instances", *words, "--peer", str(peer), "--peer", f"{peer}:tiles"]) == 0
    assert (
        "| class | ours AP | ours AP50 | y AP | y AP50 | y in tiles AP | y in tiles AP50 |" in capsys.readouterr().out
    )
    figures = json.loads(file.read_text())["cityscapes"]
    assert list(figures["peers"]) == ["ours", "y", "y in tiles"] and figures["p50_ms"] > 0
    assert main(["evaluate-instances", *words, "--peer", "none.onnx"]) == 2


def test_segment_draws_instances_over_pictures_and_videos(trained, small_weights, tmp_path):
    for number in (1, 5):
        cv2.imwrite(str(tmp_path / f"street{number}.png"), scene(number).image[..., ::-1])
    writer = cv2.VideoWriter(str(tmp_path / "drive.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (256, 128))
    writer.write(scene(5).image[..., ::-1])
    writer.release()
    inputs = [str(tmp_path / name) for name in ("street1.png", "street5.png", "drive.avi")]
    words = ["segment", *inputs, "--weights", str(small_weights), "--device", "cpu", "--backend", "torch"]
    assert main([*words, "--out", str(tmp_path / "plain")]) == 0
    options = ["--instances", "--instance-weights", str(trained / "last.safetensors"), "--instance-score", "0"]
    assert main([*words, "--out", str(tmp_path / "drawn"), *options]) == 0
    plain, drawn = (cv2.imread(str(tmp_path / name / "street5_overlay.png")) for name in ("plain", "drawn"))
    assert (plain != drawn).any(2).mean() > 0.01
    assert (tmp_path / "drawn" / "drive_overlay.mp4").stat().st_size > 1000
    assert main([*words, "--out", str(tmp_path / "x"), *options[1:3]]) == 2
    assert main([*words, "--out", str(tmp_path / "x"), "--instances", "--instance-score", "2"]) == 2
