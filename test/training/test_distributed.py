"""Training with several processes: the same curve as with one, and an end without a hang when one is lost.

Under torchrun this file is itself the program that trains, see `PROGRAMS`.
"""

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_training import TINY, BegunRun, write_encoder
from tiny_kitti import draw, write_folder

from fcn_road_seg.datasets.kitti_road import KittiRoad, split_names
from fcn_road_seg.errors import UserError
from fcn_road_seg.frames.sample import IGNORE, Sample
from fcn_road_seg.inference import checkpoint
from fcn_road_seg.training import distributed, loop
from fcn_road_seg.training.learner import Learner, counted_shares
from fcn_road_seg.training.mixture import MicroBatches, Mixture, MixtureBatches, collate
from fcn_road_seg.training.model import TrainingModel
from fcn_road_seg.training.recipe import Recipe, RecipeError, check

pytestmark = pytest.mark.slow

# Batches of 4, 3, 4 and 1 frames: in the last one a second process has none.
RECIPE = replace(TINY, samples={"kitti_road": 7, "camvid": 5}, keep_prob=1.0, weight_decay=0.01, augment=False)
RUNS = {
    "plain": RECIPE,
    "accumulate": replace(RECIPE, accumulate=2),
    "lite": replace(RECIPE, flops=0.3, distillation=1.0, frozen_stages=0),
}
TOLERANCE = 1e-4  # of the losses
NAMES = [f"um_{i:06d}" for i in range(8)]
ALONE = distributed.Processes(0, 1, "cpu")


def frames(root: Path) -> tuple[dict, KittiRoad]:
    """Two data sets, one with classes; the ignored share differs by frame, so that means of means would be wrong."""
    camvid = []
    for seed in range(5):
        image, label = draw(20 + seed, 96, 128)
        label[: 18 * seed] = IGNORE
        classes = label * 3
        classes[:, : 25 * seed] = IGNORE
        classes[label == IGNORE] = IGNORE
        camvid.append(Sample(image, label, f"frame{seed}", classes))
    return {"kitti_road": KittiRoad(root, NAMES[:6]), "camvid": camvid}, KittiRoad(root, NAMES[6:])


def train(recipe: Recipe, folder: Path, name: str, **options) -> dict:
    sources, validation = frames(folder / "kitti")
    teacher = checkpoint.load(folder / "teacher.safetensors") if recipe.needs_teacher else None
    run = BegunRun(folder / name)  # its state is compared
    return loop.train(
        recipe, sources, {"kitti_road": validation}, run, folder / "vgg16.safetensors", teacher=teacher, **options
    )


def train_everything(folder: Path) -> None:
    """The program of each of two processes."""
    with distributed.join("cpu") as processes:
        loop.IMPORTANCE_BATCHES = 2
        for name, recipe in RUNS.items():
            best = train(recipe, folder, f"{name}_by_2", workers=0)
            (folder / f"best_{name}_{processes.rank}").write_text(repr(best))
        train(replace(RECIPE, epochs=1), folder, "begun_by_2", workers=1)
        train(RECIPE, folder, "begun_by_1", workers=0, resume=True)
        try:
            train(replace(RECIPE, seed=processes.rank), folder, "none", workers=0)
        except UserError as error:
            (folder / f"error_{processes.rank}").write_text(str(error))


def train_until_killed(folder: Path) -> None:
    """Lose process 1 in the middle of the second epoch."""
    step, steps = Learner.step, count(1)

    def mortal_step(learner: Learner, micro_batches: Sequence) -> float:
        if next(steps) == 7 and learner.processes.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(learner, micro_batches)

    Learner.step = mortal_step
    train(RECIPE, folder, "killed", workers=0)


def resume_killed(folder: Path) -> None:
    train(RECIPE, folder, "killed", workers=0, resume=True)


PROGRAMS = {"all": train_everything, "until_killed": train_until_killed, "resume_killed": resume_killed}


def run_program(name: str, folder: Path) -> subprocess.CompletedProcess:
    command = torchrun(__file__, name, str(folder))
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=900)


def environment(**variables: str) -> dict[str, str]:
    here = str(Path(__file__).parents[1])
    path = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **variables}


def torchrun(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *arguments]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Iterator[Path]:
    """A folder of runs with one process and with two."""
    folder = tmp_path_factory.mktemp("trained")
    write_folder(folder / "kitti", NAMES)
    write_encoder(folder / "vgg16.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "IMPORTANCE_BATCHES", 2)
        train(RECIPE, folder, "plain", workers=0)
        (folder / "teacher.safetensors").write_bytes((folder / "plain" / "last.safetensors").read_bytes())
        train(RUNS["lite"], folder, "lite", workers=0)
    train(RUNS["accumulate"], folder, "accumulate", workers=0)
    train(replace(RECIPE, epochs=1), folder, "begun_by_1", workers=0)
    result = run_program("all", folder)
    assert result.returncode == 0, result.stderr[-3000:]
    yield folder
    shutil.rmtree(folder)  # 2 GB, which would lie there until the last test has ended


def log(folder: Path) -> list[dict[str, float]]:
    with open(folder / "log.csv") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def assert_same_course(run: Path, reference: Path) -> None:
    """Compare losses, weights and mean gradients; single weights may differ where Adam divides noise by noise."""
    losses, expected = ([row["loss"] for row in log(folder)] for folder in (run, reference))
    np.testing.assert_allclose(losses, expected, rtol=TOLERANCE)
    assert expected[-1] < 0.95 * expected[0]  # otherwise nothing was trained that could differ
    state, expected_state = (load_file(folder / "state.safetensors") for folder in (run, reference))
    assert state.keys() == expected_state.keys()
    for name, tensor in expected_state.items():
        bound = {"weight": 0.01, "exp_avg": 0.2}.get(name.rpartition(".")[2])  # Adam hides the gradients' scale
        if bound:
            assert (state[name] - tensor).norm() <= bound * tensor.norm(), name


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_train_like_one(trained, name):
    assert_same_course(trained / f"{name}_by_2", trained / name)


def test_accumulation_changes_only_memory(trained):
    assert_same_course(trained / "accumulate", trained / "plain")


def test_a_run_resumes_with_fewer_or_more_processes(trained):
    assert_same_course(trained / "begun_by_1", trained / "plain")
    train(RECIPE, trained, "begun_by_2", workers=0, resume=True)
    assert_same_course(trained / "begun_by_2", trained / "plain")


def test_a_killed_run_resumes_as_if_it_had_not_been_killed(trained):
    killed = run_program("until_killed", trained)
    assert killed.returncode != 0 and "SIGKILL" in killed.stderr
    assert [row["epoch"] for row in log(trained / "killed")] == [1]
    resumed = run_program("resume_killed", trained)
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    logs = [log(trained / name) for name in ("killed", "plain_by_2")]
    for row in sum(logs, []):
        del row["seconds"]
    assert logs[0] == logs[1]
    states = [load_file(trained / name / "state.safetensors") for name in ("killed", "plain_by_2")]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_all_processes_return_the_best_epoch_and_one_writes(trained):
    for name in RUNS:
        first, second = ((trained / f"best_{name}_{rank}").read_text() for rank in (0, 1))
        assert first == second and "max_f" in first
        rows = log(trained / f"{name}_by_2")
        assert [row["epoch"] for row in rows] == [1, 2]
        assert len(list((trained / f"{name}_by_2").glob("events.out.tfevents.*"))) == 1
        checkpoint.load(trained / f"{name}_by_2" / "best.safetensors").network()


def test_processes_with_different_recipes_end_with_a_sentence(trained):
    for rank in (0, 1):
        message = (trained / f"error_{rank}").read_text()
        assert message == "process 1 of this training run has a different recipe from process 0"


# --- parts of a batch --------------------------------------------------------------------------


@pytest.mark.parametrize(("world_size", "accumulate"), [(1, 1), (2, 1), (1, 3), (3, 2)])
def test_every_frame_of_a_batch_goes_to_one_process(tmp_path, world_size, accumulate):
    sources = {"kitti_road": [None] * 6, "camvid": [None] * 5}
    batches = MixtureBatches(Mixture(sources, replace(RECIPE, batch_size=6)), 0)
    ranks = [MicroBatches(batches, accumulate, rank, world_size) for rank in range(world_size)]
    parts = [list(rank) for rank in ranks]
    assert {len(rank) for rank in ranks} == {len(part) for part in parts} == {accumulate * len(batches)}
    for i, batch in enumerate(batches):
        step = [part for rank in parts for part in rank[i * accumulate : (i + 1) * accumulate]]
        assert sorted(address for part in step for address in part) == sorted(batch)
        sizes = [len(part) for part in step]
        assert max(sizes) - min(sizes) <= 1


def test_parts_of_the_loss_add_up(small_weights):
    """Gradients of weighted micro-batches, also of an empty one and one without labels, against the full batch's."""
    recipe = replace(RECIPE, distillation=0.7, frozen_stages=0)
    torch.manual_seed(0)
    model = TrainingModel(recipe)
    image = torch.randint(0, 256, (3, 3, 32, 64), dtype=torch.uint8)
    label = torch.randint(0, 2, (3, 32, 64), dtype=torch.uint8)
    label[1, :20], label[2] = IGNORE, IGNORE
    classes = torch.randint(0, 11, (3, 32, 64), dtype=torch.uint8)
    classes[0] = IGNORE
    learner = Learner(model, recipe, ALONE, checkpoint.load(small_weights))
    full = [image, label, classes]
    pieces = [[part[i : i + 1] for part in full] for i in range(3)]
    results = []
    for parts in ([full], [*pieces, collate([])]):
        model.zero_grad()
        losses = [learner._loss(part, *s) for part, s in zip(parts, counted_shares(parts, ALONE), strict=True)]
        sum(losses).backward()
        results.append([sum(losses).detach(), *[p.grad for p in model.parameters()]])
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-5)


def test_more_parts_than_frames_are_refused(trained):
    with pytest.raises(RecipeError, match="batch_size is 4, but 5 micro-batches share it"):
        train(replace(RECIPE, accumulate=5), trained, "refused")


def test_dropout_differs_by_process():
    seeds = [loop.dropout_seed(seed, epoch, rank) for seed in range(3) for epoch in range(50) for rank in range(16)]
    assert len({seed % 2**32 for seed in seeds}) == len(seeds)  # a CPU generator uses no more bits
    torch.manual_seed(loop.dropout_seed(2**31, 10**6, 10**6))  # and it accepts these


def test_the_learning_rate_follows_the_batch_size():
    recipe = check(RECIPE, {"batch_size": 16, "lr_batch_size": 4})
    learner = Learner(TrainingModel(recipe), recipe, ALONE)
    rates = sorted(group["base_lr"] for group in learner.optimizer.param_groups)
    assert rates == pytest.approx([4e-4, 12e-3, 4e-2])
    assert check(RECIPE, {"batch_size": 16}).lr_scale == 1


# --- interrupted runs --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def arguments(trained) -> list[str]:
    """The arguments of a `road_seg train` that takes hours."""
    root = write_folder(trained / "kitti_road", split_names("train") + split_names("val"))
    recipe = trained / "long.yaml"
    recipe.write_text(
        "{samples: {kitti_road: 8}, fc_width: 16, network_width: 96, network_height: 32, epochs: 10000, batch_size: 4}"
    )
    weights = str(trained / "vgg16.safetensors")
    return ["train", "--recipe", str(recipe), "--data", f"kitti_road:{root}", "--encoder-weights", weights]


def start(command: list[str], **variables: str) -> subprocess.Popen:
    return subprocess.Popen(command, env=environment(**variables), stderr=subprocess.PIPE, text=True)


def wait_for_an_epoch(run: Path, process: subprocess.Popen) -> None:
    deadline, log = time.monotonic() + 600, run / "log.csv"
    while not log.exists() or len(log.read_text().splitlines()) < 3:  # two rows: the first epoch is complete
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_ctrl_c_ends_torchrun_and_leaves_usable_weights(arguments, tmp_path):
    run = tmp_path / "run"
    process = start(torchrun("-m", "fcn_road_seg.cli.main", *arguments, "--out", str(run)))
    try:
        wait_for_an_epoch(run, process)
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=600)[1]
    finally:
        process.kill()
    assert process.returncode != 0
    assert errors.count("can be used; --resume repeats the unfinished epoch") == 1
    checkpoint.load(run / "last.safetensors").network()
    checkpoint.load(run / "best.safetensors").network()


@pytest.mark.parametrize("lost", [0, 1])
def test_a_killed_process_ends_the_others_with_a_sentence(arguments, tmp_path, lost):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    run = tmp_path / "run"
    command = [sys.executable, "-m", "fcn_road_seg.cli.main", *arguments, "--out", str(run)]
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = [start(command, RANK=str(rank), **place) for rank in range(2)]
    try:
        wait_for_an_epoch(run, processes[0])
        processes[lost].kill()
        errors = processes[1 - lost].communicate(timeout=600)[1]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert processes[1 - lost].returncode == 2
    assert f"road_seg train: process {1 - lost} lost contact with another process of this training run" in errors
    assert "Traceback" not in errors
    assert not list(run.glob("*.partial")) or lost == 0
    checkpoint.load(run / "last.safetensors").network()


if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](Path(sys.argv[2]))
