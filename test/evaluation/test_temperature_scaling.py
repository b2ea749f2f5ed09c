"""The temperature: fitted correctly, applied exactly, and with the figures that it claims."""

import json
from dataclasses import replace
from hashlib import sha256

import cv2
import numpy as np
import pytest
import torch
from tiny_kitti import write_folder
from torchmetrics.functional.classification import binary_calibration_error

from fcn_road_seg.cli.main import main
from fcn_road_seg.datasets import kitti_road
from fcn_road_seg.evaluation import temperature_scaling
from fcn_road_seg.evaluation.metrics import PixelCounts
from fcn_road_seg.frames.own_vehicle import OwnVehicle
from fcn_road_seg.frames.sample import Sample
from fcn_road_seg.inference import checkpoint
from fcn_road_seg.inference.inference_network import InferenceNetwork
from fcn_road_seg.inference.network import FCN8s
from fcn_road_seg.inference.options import SegmenterOptions
from fcn_road_seg.inference.preprocess import MEAN
from fcn_road_seg.inference.segmenter import RoadSegmenter
from fcn_road_seg.postprocess.labels import labels_and_confidence
from fcn_road_seg.postprocess.threshold import threshold_mask


def red_is_the_logit(x: torch.Tensor) -> torch.Tensor:
    """A network whose logit difference is -8..8, by the frame's red channel."""
    z = (x[:, 0] + MEAN[0]) / 255 * 16 - 8
    return torch.stack([torch.zeros_like(z), z], 1)


def sample(name: str, temperature: float, seed: int) -> Sample:
    """A frame on which `red_is_the_logit` is `temperature` times too confident."""
    rng = np.random.default_rng(seed)
    image = np.zeros((160, 576, 3), np.uint8)
    image[..., 0] = rng.integers(0, 256, image.shape[:2])
    p = 1 / (1 + np.exp(-(image[..., 0] / 255 * 16 - 8) / temperature))
    label = (rng.random(p.shape) < p).astype(np.uint8)
    label[-3:] = 255
    return Sample(image, label, name)


def counts_of(probability: np.ndarray, label: np.ndarray) -> PixelCounts:
    counts = PixelCounts()
    counts.add(probability, label)
    return counts


@pytest.fixture(scope="module")
def table() -> temperature_scaling.TemperatureTable:
    frames = [sample("a", 2.0, 0), sample("b", 2.0, 1), sample("c", 0.7, 2)]
    return temperature_scaling.TemperatureTable(red_is_the_logit, frames, 576)


@pytest.mark.parametrize(("names", "temperature"), [(["a", "b"], 2.0), (["c"], 0.7)])
def test_the_fit_finds_the_temperature_that_labels_were_drawn_with(table, names, temperature):
    fitted = table.fit(names)
    assert fitted == pytest.approx(temperature, rel=0.07)
    assert temperature_scaling.expected_calibration_error(table.at(fitted, names)) < 0.01
    assert temperature_scaling.expected_calibration_error(table.at(1.0, names)) > 0.02


def test_held_out_frames_are_measured_at_the_temperature_of_the_others(table):
    held_out = temperature_scaling.expected_calibration_error(table.held_out([["a", "b"], ["c"]]))
    assert held_out > 2 * temperature_scaling.expected_calibration_error(table.at(table.fit()))
    assert (table.held_out([["c"]]).road == table.at(2.0, ["c"]).road).all()


def test_the_calibration_error_equals_that_of_torchmetrics():
    rng = np.random.default_rng(0)
    p = rng.choice([level for level in range(256) if level % 17], (50, 90)).astype(
        np.uint8
    )  # none on the border of a bin
    label = (rng.random(p.shape) < (p / 255) ** 2).astype(np.uint8)
    theirs = binary_calibration_error(torch.tensor(p / 255.0).flatten(), torch.tensor(label).flatten(), n_bins=15)
    ours = temperature_scaling.expected_calibration_error(counts_of(p, label))
    assert ours == pytest.approx(float(theirs), abs=1e-5) and ours > 0.1
    middle = (p >= 0.25 * 255) & (p <= 0.75 * 255)
    part = temperature_scaling.expected_calibration_error(counts_of(p[middle], label[middle]))
    assert temperature_scaling.expected_calibration_error(counts_of(p, label), (0.25, 0.75)) == pytest.approx(part)


def test_a_moved_threshold_gives_the_same_mask():
    z = np.linspace(-6, 6, 10001)
    for temperature in (0.5, 1.6, 4.0):
        moved = temperature_scaling.moved_threshold(0.553, 1.0, temperature)
        assert np.array_equal(1 / (1 + np.exp(-z / temperature)) >= moved, 1 / (1 + np.exp(-z)) >= 0.553)
        assert temperature_scaling.moved_threshold(moved, temperature, 1.0) == pytest.approx(0.553)
    assert (
        temperature_scaling.moved_threshold(0.0, 1.0, 2.0) == 0.0
        and temperature_scaling.moved_threshold(1.0, 1.0, 2.0) == 1.0
    )


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.97])
def test_a_confidence_row_has_the_quality_of_the_labels(confidence):
    rng = np.random.default_rng(1)
    p = rng.integers(0, 256, (60, 80)).astype(np.uint8)
    truth = (rng.random(p.shape) < p / 255).astype(np.uint8)
    labels, _ = labels_and_confidence(p, 0.55, confidence)
    row = temperature_scaling.confidence_row(counts_of(p, truth), 0.55, confidence)
    assert row.precision == pytest.approx((truth[labels == 1] == 1).mean())
    assert row.not_road_precision == pytest.approx((truth[labels == 0] == 0).mean())
    assert row.recall == pytest.approx((labels[truth == 1] == 1).mean())
    assert row.coverage == pytest.approx((labels != 255).mean())


def test_the_least_confidence_is_the_least_that_reaches_the_precision(table):
    counts = table.at(2.0, ["a", "b"])
    row = temperature_scaling.least_confidence(counts, 0.5, 0.97)
    assert row.precision >= 0.97 > temperature_scaling.confidence_row(counts, 0.5, row.confidence - 1 / 255).precision
    never = counts_of(np.array([[255, 0]], np.uint8), np.array([[0, 1]], np.uint8))
    assert temperature_scaling.least_confidence(never, 0.5, 0.9) is None


def test_streets_are_the_split_files_paragraphs(tmp_path):
    path = kitti_road.Path(kitti_road.__file__).parent / "splits" / "kitti_road_val.txt"
    streets = temperature_scaling.read_streets(path)
    assert [name for street in streets for name in street] == kitti_road.split_names("val")
    assert ["um_000004", "um_000005"] in streets and len(streets) > 4
    (tmp_path / "names.txt").write_text("um_000001\num_000002  # one street\n")
    assert temperature_scaling.read_streets(tmp_path / "names.txt") == [["um_000001", "um_000002"]]


@pytest.mark.parametrize("temperature", [1.0, 2.0, 1.7])
def test_every_network_of_a_checkpoint_has_its_temperature(small_weights, temperature):
    plain = checkpoint.load(small_weights)
    warm = replace(plain, metadata=replace(plain.metadata, temperature=temperature))
    x = torch.randn(1, 3, 32, 64) * 50
    frame = torch.randint(0, 256, (1, 32, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        expected = plain.network()(x) / temperature
        torch.testing.assert_close(warm.network()(x), expected, rtol=1e-5, atol=1e-4)
        p = InferenceNetwork(plain.network())(frame)
        folded = InferenceNetwork(warm.network())(frame)
    torch.testing.assert_close(torch.logit(folded), torch.logit(p) / temperature, rtol=1e-3, atol=1e-2)
    assert torch.equal(plain.network().head.upscore8.weight, plain.tensors["head.upscore8.weight"].float())


def test_an_invalid_temperature_is_refused(small_weights, tmp_path):
    plain = checkpoint.load(small_weights)
    for temperature in (0.0, -1.0, float("nan"), "hot"):
        path = tmp_path / "bad.safetensors"
        checkpoint.save(path, plain.network(), replace(plain.metadata, temperature=temperature))
        with pytest.raises(checkpoint.CheckpointError, match="damaged or altered"):
            checkpoint.load(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = write_folder(tmp_path_factory.mktemp("kitti"), [f"um_00000{i}" for i in range(4)])
    (root / "names.txt").write_text("# one street\num_000000\num_000001\n# another\num_000002\num_000003\n")
    return root


def command(folder, weights, out, *more: str) -> int:
    arguments = ["--root", str(folder), "--split", str(folder / "names.txt"), "--weights", str(weights)]
    return main(["calibrate", *arguments, "--out", str(out), *more])


def test_the_command_writes_the_same_network_with_a_temperature(folder, small_weights, tmp_path, capsys):
    out, figures = tmp_path / "out.safetensors", tmp_path / "figures.json"
    assert command(folder, small_weights, out, "--json", str(figures)) == 0
    assert "temperature" in capsys.readouterr().out
    before, after = checkpoint.load(small_weights), checkpoint.load(out)
    assert after.metadata.temperature != 1.0 and after.metadata.origin == before.sha256
    assert all(torch.equal(tensor, after.tensors[name]) for name, tensor in before.tensors.items())
    found = json.loads(figures.read_text())
    assert found["after"]["nll"] < found["before"]["nll"] and found["held_out"] and found["frames"] == 4
    assert after.metadata.figures["calibration"]["temperature"] == found["temperature"] == after.metadata.temperature
    frame = kitti_road.KittiRoad(folder)[0].image
    masks = []
    for path in (small_weights, out):
        segmenter = RoadSegmenter.load(SegmenterOptions(path, "cpu", "fp32", backend="torch"))
        masks.append(threshold_mask(segmenter(frame), segmenter.threshold))
    assert np.mean(masks[0] != masks[1]) < 0.01 and 0 < masks[0].mean() < 255

    again = tmp_path / "again.safetensors"
    assert command(folder, out, again) == 0
    assert checkpoint.load(again).metadata.temperature == after.metadata.temperature
    assert checkpoint.load(again).metadata.threshold == pytest.approx(after.metadata.threshold)


def test_the_own_vehicle_does_not_count(tmp_path):
    """Its pixels are labelled as if the network were always wrong there, which would raise the temperature."""
    frames = [sample(f"f{k}", 1.0, k) for k in range(2)]
    mask = np.zeros(frames[0].label.shape, np.uint8)
    mask[120:] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    wrong = [replace(f, label=np.where(mask, (f.image[..., 0] < 128).astype(np.uint8), f.label)) for f in frames]
    hidden = temperature_scaling.TemperatureTable(
        red_is_the_logit, wrong, 576, own_vehicle=OwnVehicle(tmp_path / "mask.png")
    )
    assert 0.9 < hidden.fit() < 1.1 < temperature_scaling.TemperatureTable(red_is_the_logit, wrong, 576).fit()
    counts = hidden.at(1.0)
    assert counts.road.sum() + counts.other.sum() == 2 * 120 * 576


def test_the_command_takes_an_own_vehicle_mask(folder, small_weights, tmp_path, capsys):
    mask, out, figures = tmp_path / "mask.yaml", tmp_path / "out.safetensors", tmp_path / "figures.json"
    mask.write_text("polygons: [[[0, 1], [0, 0.8], [1, 0.8], [1, 1]]]")
    option = "--own-vehicle-mask", str(mask), "--json", str(figures)
    assert command(folder, small_weights, out, *option) == 0
    digest = sha256(mask.read_bytes()).hexdigest()
    assert json.loads(figures.read_text())["own_vehicle_mask_sha256"] == digest
    assert checkpoint.load(out).metadata.figures["calibration"]["own_vehicle_mask_sha256"] == digest
    mask.unlink()
    assert command(folder, small_weights, tmp_path / "other.safetensors", *option) == 2
    assert "there is no own-vehicle mask" in capsys.readouterr().err


def test_the_command_refuses(folder, small_weights, tmp_path, capsys):
    out = tmp_path / "out.safetensors"
    for arguments, message in (
        (("--road-precision", "2"), "must be above 0 and at most 1"),
        (("--split", "train"), "frames that training has seen"),
        (("--split", str(tmp_path / "none")), "cannot read"),
        (("--root", str(tmp_path)), "is not a KITTI Road folder"),
        (("--weights", str(tmp_path / "none")), "there is no weights file"),
    ):
        assert command(folder, small_weights, out, *arguments) == 2
        assert message in capsys.readouterr().err
    assert not out.exists()


def test_the_shipped_weights_are_calibrated_on_held_out_streets(repository, shipped_weights):
    root = repository.parent / "shared" / "data" / "kitti_road"
    if not root.is_dir():
        pytest.skip("KITTI Road is not in ../shared/data/kitti_road")
    names = kitti_road.split_names("val")[::3]
    loaded = checkpoint.load(shipped_weights)
    raw = replace(loaded, metadata=replace(loaded.metadata, temperature=1.0))
    frames = temperature_scaling.TemperatureTable(raw.network(), kitti_road.KittiRoad(root, names), 576)
    assert temperature_scaling.expected_calibration_error(frames.at(frames.fit())) <= 0.02
    assert temperature_scaling.expected_calibration_error(frames.at(loaded.metadata.temperature)) <= 0.02


def test_the_common_threshold_lies_between_those_of_the_sets():
    """Each set counts once, however many pixels it has."""
    low, high = PixelCounts(), PixelCounts()
    low.road[60:], low.other[:60] = 1, 1
    high.road[180:], high.other[:180] = 100, 100
    assert temperature_scaling.common_threshold([low]) == 60 / 255
    assert temperature_scaling.common_threshold([high]) == 180 / 255
    assert 60 / 255 <= temperature_scaling.common_threshold([low, high]) <= 180 / 255
    mostly_low, mostly_high = [low, low, low, high], [low, high, high, high]
    assert temperature_scaling.common_threshold(mostly_low) < temperature_scaling.common_threshold(mostly_high)


def test_several_data_sets_calibrate_together(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(kitti_road, "split_names", lambda part: ["um_000000", "um_000001"])
    root = write_folder(tmp_path / "kitti", ["um_000000", "um_000001"])
    for kind in ("images", "labels"):
        (tmp_path / "mine" / kind).mkdir(parents=True)
    for k in range(5):
        frame = sample(f"f{k}", 1.0, k)
        cv2.imwrite(str(tmp_path / "mine" / "images" / f"f{k}.png"), frame.image[..., ::-1])
        cv2.imwrite(str(tmp_path / "mine" / "labels" / f"f{k}.png"), frame.label)
    (tmp_path / "mine" / "val.txt").write_text("f1\nf2\nf3\n")
    weights, out, json_file = tmp_path / "in.safetensors", tmp_path / "out.safetensors", tmp_path / "figures.json"
    checkpoint.save(weights, FCN8s("atrous", 16), checkpoint.Metadata(fc="atrous", fc_width=16, network_width=64))
    data = ["--data", f"kitti_road:{root}", "--data", f"mine=folder:{tmp_path / 'mine'}"]
    command = ["calibrate", "--weights", str(weights), "--out", str(out), "--json", str(json_file)]
    assert main([*command, *data, "--frames", "2"]) == 0
    figures = json.loads(json_file.read_text())
    assert figures["frames"] == 4 and figures["held_out"]
    assert checkpoint.load(out).metadata.threshold == figures["threshold"]
    assert main(command) == main([*command, *data, "--root", str(root)]) == 2
    assert "--root, or data sets with --data" in capsys.readouterr().err
    assert main([*command, "--root", str(root), "--label-map", "map.yaml"]) == 2
    assert "--label-map is for the folders of --data" in capsys.readouterr().err
    assert main([*command, *data, "--split", "val"]) == 2
    assert "--split needs a KITTI Road folder" in capsys.readouterr().err
    assert main(["evaluate", *data, "--weights", str(out), "--json", str(json_file), "--backend", "torch"]) == 0
    figures = json.loads(json_file.read_text())
    assert {name: row["frames"] for name, row in figures["sets"].items()} == {"kitti_road": 2, "mine": 3}
