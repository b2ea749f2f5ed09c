"""What a training run leaves behind: its log file, sample pictures, closing line, and no state once it has finished."""

import argparse
import json
import re
import warnings
from pathlib import Path

import pytest
from rich.console import Console
from safetensors.torch import save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_kitti import write_folder

from fcn_road_seg.cli import train
from fcn_road_seg.cli.main import main
from fcn_road_seg.datasets import kitti_road
from fcn_road_seg.errors import UserError
from fcn_road_seg.inference import checkpoint
from fcn_road_seg.inference.checkpoint import CheckpointError
from fcn_road_seg.inference.network import FCN8s, torchvision_names
from fcn_road_seg.ros.remedies import start_command
from fcn_road_seg.training import progress
from fcn_road_seg.training.progress import TrainingProgress, duration
from fcn_road_seg.training.run_folder import RunFolder

STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""

    class Clock:
        now = 1000.0

        def monotonic(self) -> float:
            return self.now

        def strftime(self, _: str) -> str:
            return f"{self.now:.0f}"

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def on_a_terminal(monkeypatch) -> None:
    monkeypatch.setattr(progress, "Console", lambda **_: Console(stderr=True, force_terminal=True))


@pytest.mark.parametrize("terminal", [False, True])
def test_a_line_every_ten_seconds(tmp_path, clock, capsys, monkeypatch, terminal):
    if terminal:
        on_a_terminal(monkeypatch)
    log = tmp_path / "train.log"
    with TrainingProgress(log) as shown:
        shown.begin(steps=103, first_step=3)
        for step in range(4, 10):  # 4 s each
            clock.now += 4
            shown.step(step, f"epoch 1/3, loss {step / 100}")
        shown.say("saved [a]")
    assert log.read_text().splitlines() == [
        "1012 epoch 1/3, loss 0.06, step 6/103, 6 min left",
        "1024 epoch 1/3, loss 0.09, step 9/103, 6 min left",
        "1024 saved [a]",
    ]
    error = capsys.readouterr().err
    if terminal:
        assert "training" in error or "epoch 1/3, loss 0.09" in error
        assert "9/103" in error and "step 9/103" not in error and "saved [a]" in error
    else:
        assert error.splitlines() == [line.split(" ", 1)[1] for line in log.read_text().splitlines()]


def test_long_loops_have_lines_too_and_a_resumed_run_appends(tmp_path, clock):
    log = tmp_path / "train.log"
    for _ in range(2):
        with TrainingProgress(log) as shown:
            for _ in shown.track([1, 2, 3], "validation"):
                clock.now += 6
    assert [line.split(" ", 1)[1] for line in log.read_text().splitlines()] == ["validation 2/3"] * 2


def test_warnings_and_the_error_that_ends_a_run_are_logged(tmp_path, capsys):
    log = tmp_path / "train.log"
    with pytest.raises(UserError), TrainingProgress(log):
        warnings.warn("the lamp is hot", stacklevel=1)
        raise UserError("the disk is full: empty it")
    with pytest.raises(ZeroDivisionError), TrainingProgress(log):
        print(1 / 0)
    with pytest.raises(KeyboardInterrupt), TrainingProgress(log):
        raise KeyboardInterrupt
    text = log.read_text()
    assert "UserWarning: the lamp is hot" in text and "the lamp is hot" in capsys.readouterr().err
    assert re.search(STAMP + "Ended: the disk is full: empty it\n", text)
    assert "print(1 / 0)" in text and "ZeroDivisionError: division by zero\n" in text
    assert text.endswith("Ended: interrupted.\n")


def test_other_processes_say_nothing(capsys):
    with TrainingProgress(None) as shown:
        shown.begin(10, 0)
        shown.step(1, "epoch 1/3")
        shown.say("saved")
        assert list(shown.track([1, 2], "reading")) == [1, 2]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (91, "2 min"), (3590, "1 h 0 min"), (7500, "2 h 5 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


# --- a run -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with data and the run of a `road_seg train`; TensorBoard's and the log's files are in `run`."""
    folder = tmp_path_factory.mktemp("trained")
    names = {"train": ["um_000000", "um_000001"], "val": [f"umm_{i:06d}" for i in range(5)]}
    write_folder(folder / "kitti", names["train"] + names["val"])
    tensors = {theirs: FCN8s("atrous", 16).state_dict()[ours] for theirs, ours in torchvision_names().items()}
    save_file(tensors, folder / "vgg16.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kitti_road, "split_names", names.get)
        patch.setattr(progress, "LINE_EVERY", 0.0)
        assert main([*arguments(folder), "--json", str(folder / "best.json")]) == 0
    return folder


def arguments(folder: Path) -> list[str]:
    options = (
        f"--fc atrous --fc-width 16 --network-width 64 --network-height 32 --epochs 2 --batch-size 2 --autocast false "
        f"--device cpu --workers 0 --encoder-weights {folder / 'vgg16.safetensors'} "
        f"--data kitti_road:{folder / 'kitti'} --out {folder / 'run'}"
    )
    return ["train", "--recipe", "seed", "--samples", "{kitti_road: 2}", *options.split()]


def test_the_log_of_a_run(trained):
    lines = (trained / "run" / "train.log").read_text().splitlines()
    assert all(re.match(STAMP, line) for line in lines)
    lines = [line[20:] for line in lines]
    assert "reading kitti_road 1/2" in lines
    begin = lines.index(
        next(line for line in lines if line.startswith("Recipe seed trains 2 epochs on cpu, revision "))
    )
    assert lines[begin].endswith(". Frames per epoch: 2 of 2 kitti_road. Validation on kitti_road (5 frames).")
    assert re.fullmatch(r"epoch 1/2, loss \d+\.\d{4}, step 1/2, \d+ s left", lines[begin + 1])
    assert [line for line in lines if line.startswith("validation")][0] == "validation 0/5"
    figures = [line for line in lines if re.match(r"epoch \d  loss .*  max_f 0\.\d+ ", line)]
    assert len(figures) == 2


def test_the_closing_line_names_the_weights_and_the_next_commands(trained):
    last = (trained / "run" / "train.log").read_text().splitlines()[-1][20:]
    best = json.loads((trained / "best.json").read_text())["best"]
    weights = trained / "run" / "best.safetensors"
    assert last == (
        f"Done: {weights} has MaxF {100 * best['max_f']:.2f} % on the validation frames after epoch {best['epoch']}. "
        f"Next: road_seg evaluate --weights {weights} --data kitti_road:{trained / 'kitti'}; "
        f"or {start_command({'weights': str(weights)}, {})}"
    )


def test_fine_tuned_weights_are_compared_with_those_that_they_started_from():
    args = argparse.Namespace(
        weights="lite",
        data=["mine=folder:/my frames", "kitti_road:K", "unlabelled:U"],
        label_map=["mine=map.yaml", "other=o.yaml"],
    )
    said = train.next_step(Path("/runs/best.safetensors"), args, {"mine", "kitti_road"})
    assert said == (
        "road_seg evaluate --compare lite /runs/best.safetensors --data 'mine=folder:/my frames' --data kitti_road:K "
        f"--label-map mine=map.yaml; or {start_command({'weights': '/runs/best.safetensors'}, {})}"
    )


def test_tensorboard_shows_validation_frames_with_their_masks(trained):
    events = EventAccumulator(str(trained / "run"), {"images": 0, "scalars": 0}).Reload()
    tags = events.Tags()
    assert tags["images"] == [f"kitti_road/umm_00000{i}" for i in (0, 1, 3, 4)]
    for tag in tags["images"]:
        pictures = events.Images(tag)
        assert [picture.step for picture in pictures] == [1, 2]
        assert (pictures[0].width, pictures[0].height) == (192, 60)
    assert {"loss", "max_f"} <= set(tags["scalars"]) and "epoch" not in tags["scalars"]


def test_a_finished_run_has_no_state_and_says_so_when_resumed(trained, capsys):
    run = trained / "run"
    assert sorted(path.name for path in run.iterdir() if not path.name.startswith("events")) == [
        "best.safetensors", "data.json", "last.safetensors", "log.csv", "recipe.yaml", "train.log",
    ]  # fmt: skip
    before = checkpoint.load(run / "last.safetensors").sha256
    (run / "state.safetensors").write_bytes(b"left over by an older version")
    assert main(["train", "--resume", str(run), "--json", str(trained / "again.json")]) == 0
    assert capsys.readouterr().err == (
        f"{run} has finished its 2 epochs, and its weights are {run / 'best.safetensors'}: "
        f"to train on, begin a new run with --weights {run / 'last.safetensors'}\n"
    )
    assert not (run / "state.safetensors").exists()
    best, again = (json.loads((trained / name).read_text())["best"] for name in ("best.json", "again.json"))
    assert again == best
    assert checkpoint.load(run / "last.safetensors").sha256 == before
    with pytest.raises(CheckpointError, match="has finished its 2 epochs"):
        RunFolder(run).begun(2)
    assert RunFolder(run).begun(3).sha256 == before  # of three epochs, one would be left
