"""Cityscapes: layout, meaning of the classes, invalid folders, and training on it."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file
from tiny_bdd100k import write_folder as write_bdd100k
from tiny_cityscapes import IDS, draw, write_frames
from tiny_kitti import write_folder as write_kitti
from torchvision import datasets

from fcn_road_seg.cli.main import main
from fcn_road_seg.datasets import camvid, kitti_road
from fcn_road_seg.datasets.cityscapes import CLASSES, Cityscapes, tables
from fcn_road_seg.errors import UserError
from fcn_road_seg.frames.sample import DatasetError, Sample
from fcn_road_seg.inference import checkpoint
from fcn_road_seg.inference.network import FCN8s, torchvision_names
from fcn_road_seg.training.mixture import CAMVID_TO_CITYSCAPES, Mixture
from fcn_road_seg.training.recipe import check, load_recipe


@pytest.fixture
def root(tmp_path):
    return write_frames(write_frames(tmp_path / "cityscapes", "train", "zurich", 1), "train", "aachen", 2)


def label_file(root, name="aachen_000000_000019", kind="labelIds"):
    return root / "gtFine" / "train" / name.split("_")[0] / f"{name}_gtFine_{kind}.png"


def image_file(root, name="aachen_000000_000019"):
    return root / "leftImg8bit" / "train" / name.split("_")[0] / f"{name}_leftImg8bit.png"


# --- classes -----------------------------------------------------------------------------------


def test_every_class_has_its_label_and_train_id():
    labels, classes = tables()
    meaning = {name: int(labels[i]) for name, i in IDS.items() if i >= 0}
    assert {name for name, label in meaning.items() if label == 1} == {"road"}
    ignored = {"unlabeled", "rectification border", "out of roi", "ground"}
    assert {name for name, label in meaning.items() if label == 255} == ignored
    assert meaning["ego vehicle"] == meaning["sidewalk"] == 0
    taught = {name: CLASSES[classes[i]] for name, i in IDS.items() if i >= 0 and classes[i] != 255}
    assert len(CLASSES) == 19 and CLASSES[:2] == ("road", "sidewalk") and CLASSES[-1] == "bicycle"
    assert taught == {name: name for name in CLASSES}
    train_ids = {entry.name: entry.train_id for entry in datasets.Cityscapes.classes}
    assert [train_ids[name] for name in CLASSES] == list(range(19))


def test_camvids_classes_are_among_cityscapes():
    theirs = {name: CAMVID_TO_CITYSCAPES[camvid.CLASSES.index(name)] for name in camvid.CLASSES}
    known = {name: CLASSES[k] for name, k in theirs.items() if k != 255}
    assert known == camvid.CITYSCAPES_CLASSES and set(theirs) - set(known) == {"sign", "bicyclist"}
    assert CAMVID_TO_CITYSCAPES[255] == 255
    image, ids = np.zeros((64, 96, 3), np.uint8), np.full((64, 96), camvid.CLASSES.index("pavement"), np.uint8)
    recipe = check(load_recipe("seed"), {"network_width": 96, "network_height": 64})
    _, _, classes = Mixture({"camvid": [Sample(image, ids * 0, "a", ids)]}, recipe)["camvid", 0, 0]
    assert (classes == CLASSES.index("sidewalk")).all()


def test_parking_and_rail_track_are_road_on_request():
    for also_road in (["parking"], ["rail_track"], ["parking", "rail_track"]):
        labels, classes = tables(also_road)
        expected = {IDS["road"], *(IDS[name.replace("_", " ")] for name in also_road)}
        assert set(np.flatnonzero(labels == 1)) == expected
        assert np.array_equal(classes, tables()[1])


# --- reading -----------------------------------------------------------------------------------


def test_fine_frames(root):
    frames = Cityscapes(root)
    assert frames.names == ["aachen_000000_000019", "aachen_000001_000019", "zurich_000000_000019"]
    for seed, sample in zip((0, 1, 0), frames, strict=True):
        image, ids = draw(seed)
        assert np.array_equal(sample.image, image) and sample.name in frames.names
        assert sample.label.dtype == sample.classes.dtype == np.uint8
        assert np.array_equal(sample.label == 1, ids == IDS["road"])
        assert np.array_equal(sample.label == 255, np.isin(ids, [2, 3])) and 0.05 < (sample.label == 1).mean() < 0.6
        assert np.array_equal(sample.classes == CLASSES.index("sidewalk"), ids == IDS["sidewalk"])
        assert np.array_equal(sample.classes == CLASSES.index("road"), ids == IDS["road"])


def test_jpeg_images_and_instances_do_as_well(root):
    expected = Cityscapes(root)[0]
    for path in sorted(root.rglob("*_leftImg8bit.png")):
        Image.open(path).save(path.with_suffix(".jpg"), quality=95)
        path.unlink()
    for path in sorted(root.rglob("*_instanceIds.png")):
        ids = np.array(Image.open(path)).astype(np.uint16)
        ids[ids == IDS["car"]] = IDS["car"] * 1000 + 3
        Image.fromarray(ids).save(path)
        path.with_name(path.name.replace("instanceIds", "labelIds")).unlink()
    frames = Cityscapes(root)
    assert len(frames) == 3 and frames.names[0] == "aachen_000000_000019"
    assert np.array_equal(frames[0].label, expected.label) and np.array_equal(frames[0].classes, expected.classes)
    assert (frames[0].classes == CLASSES.index("car")).any()
    assert np.abs(frames[0].image.astype(int) - expected.image).mean() < 5


def test_the_fixture_has_all_the_files_of_cityscapes(root):
    theirs = datasets.Cityscapes(str(root), "train", "fine", ["semantic", "instance", "color", "polygon"])
    assert len(theirs) == 3
    _, (semantic, instance, colour, polygons) = theirs[0]
    assert semantic.size == instance.size == colour.size == (polygons["imgWidth"], polygons["imgHeight"])


def test_parking_is_road(root):
    ids = draw(0)[1]
    assert (ids == IDS["parking"]).any() and (ids == IDS["rail track"]).any()
    sample = Cityscapes(root, also_road=["parking"])[0]
    assert np.array_equal(sample.label == 1, np.isin(ids, [IDS["road"], IDS["parking"]]))


def test_coarse_frames_count_only_what_is_labelled(tmp_path):
    root = write_frames(tmp_path, "train_extra", "bayreuth", 2, "coarse")
    sample = Cityscapes(root, "train_extra", "coarse")[1]
    ids = draw(1, coarse=True)[1]
    assert np.array_equal(sample.label == 255, np.isin(ids, [0, 2, 3])) and (sample.label == 255).mean() > 0.5
    assert np.array_equal(sample.label == 1, ids == IDS["road"])


def test_zip_files_are_extracted(root, tmp_path):
    (tmp_path / "zips").mkdir()
    for name, folder in (("leftImg8bit_trainvaltest", "leftImg8bit"), ("gtFine_trainvaltest", "gtFine")):
        shutil.make_archive(str(tmp_path / "zips" / name), "zip", root, folder)
    assert Cityscapes(tmp_path / "zips").names == Cityscapes(root).names
    (tmp_path / "cut").mkdir()
    for file in (tmp_path / "zips").glob("*.zip"):
        (tmp_path / "cut" / file.name).write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DatasetError, match="cannot read .*cut as Cityscapes"):
        Cityscapes(tmp_path / "cut")


def test_frames_are_not_kept(root):
    frames = Cityscapes(root)
    label_file(root).unlink()
    with pytest.raises(DatasetError, match="cannot be read"):
        frames[0]


# --- bad folders -------------------------------------------------------------------------------


def test_invalid_cityscapes_folders_are_refused(root, tmp_path):
    with pytest.raises(DatasetError, match="needs leftImg8bit/train and gtFine/train"):
        Cityscapes(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="needs leftImg8bit/val and gtFine/val"):
        Cityscapes(root, "val")
    with pytest.raises(DatasetError, match="needs leftImg8bit/train and gtCoarse/train"):
        Cityscapes(root, "train", "coarse")
    for part, mode in (("valid", "fine"), ("train_extra", "fine"), ("train", "rough")):
        with pytest.raises(DatasetError, match="Unknown value"):
            Cityscapes(root, part, mode)
    with pytest.raises(DatasetError, match="parking and rail_track .* not 'sidewalk'"):
        Cityscapes(root, also_road=["sidewalk"])
    (tmp_path / "empty" / "leftImg8bit" / "train" / "aachen").mkdir(parents=True)
    (tmp_path / "empty" / "gtFine" / "train").mkdir(parents=True)
    with pytest.raises(DatasetError, match="has no CITY"):
        Cityscapes(tmp_path / "empty")


def test_stray_files(root):
    (root / "leftImg8bit" / "train" / "aachen" / "Thumbs.db").write_bytes(b"")
    assert len(Cityscapes(root)) == 3
    (root / "leftImg8bit" / "train" / "notes.txt").write_bytes(b"")
    (root / "leftImg8bit" / "train" / ".DS_Store").write_bytes(b"")
    (root / "leftImg8bit" / "train" / "aachen" / "._aachen_000000_000019_leftImg8bit.png").write_bytes(b"")
    assert len(Cityscapes(root)) == 3


def test_an_image_without_label_is_named(root):
    label_file(root, "aachen_000001_000019").unlink()
    label_file(root, "aachen_000001_000019", "instanceIds").unlink()
    with pytest.raises(DatasetError, match="aachen_000001_000019_leftImg8bit.png has no label .*_labelIds.png"):
        Cityscapes(root)


def test_damaged_files_are_named(root):
    frames = Cityscapes(root)
    label, image = label_file(root), image_file(root)
    intact = label.read_bytes()
    for content in (
        b"",
        b"junk" * 50,
        intact[:-200],
        intact[: len(intact) // 2],
        intact[:20] + b"\0" * 8 + intact[28:],
    ):
        label.write_bytes(content)
        with pytest.raises(DatasetError, match="labelIds.png cannot be read: it is"):
            frames[0]
    shutil.copy(label_file(root, kind="color"), label)
    with pytest.raises(DatasetError, match="labelIds.png is a colour image"):
        frames[0]
    Image.fromarray(np.zeros((10, 20), np.uint8)).save(label)
    with pytest.raises(DatasetError, match="labelIds.png is 20x10, but its image is 256x128"):
        frames[0]
    Image.fromarray(np.full((128, 256), 255, np.uint8)).save(label)
    with pytest.raises(DatasetError, match="class id 255, but the highest valid one is 33"):
        frames[0]
    label.write_bytes(intact)
    image.write_bytes(image.read_bytes()[:-100])
    with pytest.raises(UserError, match="leftImg8bit.png is a PNG that was cut off"):
        frames[0]


def test_a_palette_label_is_read_by_its_indices(root):
    ids = draw(0)[1]
    picture = Image.fromarray(ids)
    picture.putpalette(bytes(range(256)) * 3)
    picture.save(label_file(root))
    assert Image.open(label_file(root)).mode == "P"
    assert np.array_equal(Cityscapes(root)[0].label == 1, ids == IDS["road"])


# --- training ----------------------------------------------------------------------------------


@pytest.fixture
def train(tmp_path, monkeypatch):
    """`road_seg train` with a tiny network on the CPU for two epochs, and KITTI Road for its validation."""
    names = {"train": ["um_000000", "um_000001"], "val": ["umm_000000"]}
    monkeypatch.setattr(kitti_road, "split_names", names.get)
    kitti = write_kitti(tmp_path / "kitti", names["train"] + names["val"])
    tensors = {theirs: FCN8s("atrous", 16).state_dict()[ours] for theirs, ours in torchvision_names().items()}
    save_file(tensors, tmp_path / "vgg16.safetensors")
    arguments = (
        f"train --recipe seed --fc atrous --fc-width 16 --network-width 64 --network-height 32 --epochs 2 "
        f"--batch-size 2 --auxiliary-weight 0.4 --autocast false --augment true --device cpu --workers 0 "
        f"--encoder-weights {tmp_path / 'vgg16.safetensors'} --out {tmp_path / 'run'} --data kitti_road:{kitti}"
    ).split()
    return lambda samples, *data: main(
        [*arguments, "--samples", samples, *(part for item in data for part in ("--data", item))]
    )


def test_training_on_a_mixture(train, root, tmp_path):
    write_frames(root, "train_extra", "bayreuth", 1, "coarse")
    bdd100k = write_bdd100k(tmp_path / "bdd100k")
    samples = "{kitti_road: 2, cityscapes: 4, cityscapes+coarse+parking: 2, bdd100k: 3, bdd100k+direct_only: 1}"
    names = ("cityscapes", "cityscapes+coarse+parking", "bdd100k", "bdd100k+direct_only")
    folders = (root, root, bdd100k, bdd100k)
    assert train(samples, *(f"{name}:{folder}" for name, folder in zip(names, folders, strict=True))) == 0
    run = tmp_path / "run"
    rows = (run / "log.csv").read_text().splitlines()
    assert len(rows) == 3 and all(np.isfinite(float(row.split(",")[1])) for row in rows[1:])
    seen = json.loads((run / "data.json").read_text())
    assert seen["cityscapes"] == Cityscapes(root).names and seen["bdd100k"][0] == "0000f77c-6257be58"
    metadata = checkpoint.load(run / "last.safetensors").metadata
    assert metadata.recipe["samples"] == {
        "kitti_road": 2, "cityscapes": 4, "cityscapes+coarse+parking": 2, "bdd100k": 3, "bdd100k+direct_only": 1
    }  # fmt: skip
    assert {name: metadata.data[name]["frames"] for name in names} == dict(zip(names, (3, 1, 4, 4), strict=True))
    assert metadata.data["bdd100k"]["sha256"] != metadata.data["bdd100k+direct_only"]["sha256"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cityscapes+pavement", "parking and rail_track as road besides road, but not 'pavement'"),
        ("bdd100k+alternative", "only the variant bdd100k+direct_only"),
        ("camvid+parking", "there is no data set 'camvid+parking'"),
        ("cityscapes", "is not a Cityscapes folder"),
        ("bdd100k", "is not a BDD100K folder"),
    ],
)
def test_a_wrong_source_is_one_sentence_and_exit_code_2(train, tmp_path, capsys, name, message):
    assert train(f"{{{name}: 2}}", f"{name}:{tmp_path}") == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_a_source_without_a_path_is_refused(train, capsys):
    assert train("{cityscapes+coarse: 2}") == 2
    assert "give --data cityscapes+coarse:DIR" in capsys.readouterr().err


def test_a_damaged_frame_ends_the_training_with_its_name(train, root, capsys):
    label_file(root).write_bytes(b"junk")
    assert train("{cityscapes: 3}", f"cityscapes:{root}") == 2
    assert "aachen_000000_000019_gtFine_labelIds.png" in capsys.readouterr().err
