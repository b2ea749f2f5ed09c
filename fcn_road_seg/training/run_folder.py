"""The files of a training run: recipe, split, logs, checkpoints and the state to resume from."""

import csv
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import yaml
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from fcn_road_seg.errors import UserError, first_line
from fcn_road_seg.evaluation.inference_loop import Track
from fcn_road_seg.files.input import read_text
from fcn_road_seg.files.output import check_writable_folder, whole_file, write_whole
from fcn_road_seg.frames.instance_sample import InstanceSamples
from fcn_road_seg.frames.sample import IGNORE, ROAD, WHAT_IS_ROAD, DatasetError, Samples
from fcn_road_seg.inference import checkpoint
from fcn_road_seg.inference.checkpoint import CheckpointError
from fcn_road_seg.training.instance_recipe import InstanceRecipe
from fcn_road_seg.training.recipe import Recipe


class RunFolder:
    """One run's files.

    `recipe.yaml` and `data.json` (the names of all frames) are the snapshot; `train.log`, `log.csv` and TensorBoard's
    events are the log; `best.safetensors` and `last.safetensors` are the weights. `--resume` needs `state.safetensors`,
    which is deleted when the run has finished.

    Args:
        path: of the folder.
        figure: the column of the log that chooses the best epoch.
    """

    def __init__(self, path: str | Path, figure: str = "max_f"):
        self.path, self._figure = Path(path), figure
        self.best, self.last = self.path / "best.safetensors", self.path / "last.safetensors"
        self.log_file, self._table = self.path / "train.log", self.path / "log.csv"
        self._state = self.path / "state.safetensors"

    def check_new(self) -> None:
        """Check, before the work, that a new run can be written.

        Raises:
            CheckpointError: the folder already holds a run.
            UserError: it cannot be written to, or its name is not UTF-8, which TensorBoard needs.
        """
        if (self.path / "recipe.yaml").exists():
            raise CheckpointError(f"{self.path} already holds a run: --resume it or choose another folder")
        try:
            str(self.path).encode()
        except UnicodeEncodeError:
            raise UserError(f"the name of the run folder {self.path} is not UTF-8: choose another") from None
        check_writable_folder(self.path)

    def create(self) -> None:
        """Create the folder.

        Raises:
            UserError: as `check_new`.
        """
        self.check_new()
        self.path.mkdir(parents=True, exist_ok=True)

    def write_snapshot(self, recipe: Recipe | InstanceRecipe, data: Mapping[str, Samples | InstanceSamples]) -> None:
        """Write the recipe and the names of all frames."""
        write_whole(self.path / "recipe.yaml", yaml.safe_dump(asdict(recipe), sort_keys=False))
        names = {name: list(frames.names) for name, frames in data.items() if hasattr(frames, "names")}
        write_whole(self.path / "data.json", json.dumps(names, indent=1))

    def begun(self, epochs: int) -> checkpoint.Checkpoint:
        """The weights of the last complete epoch, to resume from.

        Args:
            epochs: of the whole run.

        Raises:
            CheckpointError: the weights are missing or damaged, or the run has finished.
        """
        if self.finished(epochs):
            raise CheckpointError(self.finished_text(epochs))
        try:
            return checkpoint.load(self.last)
        except CheckpointError as error:
            raise CheckpointError(f"there is no run of this recipe to resume in {self.path} ({error})") from None

    def finished(self, epochs: int) -> dict[str, float]:
        """The best epoch's row of the log if the run has all its epochs; else nothing."""
        rows = self._rows()
        return max(rows, key=lambda row: row[self._figure]) if rows and rows[-1]["epoch"] >= epochs else {}

    def finished_text(self, epochs: int) -> str:
        """What to say when a finished run is resumed."""
        return (
            f"{self.path} has finished its {epochs} epochs, and its weights are {self.best}: "
            f"to train on, begin a new run with --weights {self.last}"
        )

    def finish(self) -> None:
        """Delete the state of a run that has all its epochs."""
        self._state.unlink(missing_ok=True)

    def log(self, row: dict[str, float]) -> None:
        """Add an epoch's figures to TensorBoard and to the CSV, where a repeated epoch replaces its old row."""
        rows = [old for old in self._rows() if old["epoch"] < row["epoch"]]
        with whole_file(self._table) as partial, open(partial, "w", newline="") as handle:
            writer = csv.DictWriter(handle, row)
            writer.writeheader()
            writer.writerows([*rows, row])
        for name, value in row.items():
            if name != "epoch":
                self._board.add_scalar(name, value, row["epoch"])
        self._board.flush()

    def log_picture(self, name: str, picture: np.ndarray, epoch: int) -> None:
        """Add a picture, uint8 H x W x 3 RGB, to TensorBoard."""
        self._board.add_image(name, picture, epoch, dataformats="HWC")

    @cached_property
    def _board(self) -> SummaryWriter:
        return SummaryWriter(str(self.path))

    def _rows(self) -> list[dict[str, float]]:
        """The CSV's rows."""
        if not self._table.exists():
            return []
        return [
            {name: int(value) if name == "epoch" else float(value) for name, value in row.items()}
            for row in csv.DictReader(read_text(self._table).splitlines())
        ]

    def save_state(self, parts: list[nn.Module], optimizer: torch.optim.Optimizer, epoch: int, best: dict) -> None:
        """Write everything that the next epoch depends on, whole or not at all."""
        tensors = {f"part{i}.{k}": v for i, part in enumerate(parts) for k, v in part.state_dict().items()}
        for index, slots in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{slot}": value for slot, value in slots.items()}
        tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        numbers = json.dumps({"epoch": epoch, "best": best})
        header = {"numbers": numbers, "sha256": checkpoint.digest(numbers, tensors)}
        write_whole(self._state, safetensors.torch.save(tensors, header))

    def load_state(self, parts: list[nn.Module], optimizer: torch.optim.Optimizer) -> tuple[int, dict]:
        """Restore the state that `save_state` wrote; returns the number of finished epochs and the best one's row.

        Raises:
            CheckpointError: the state is missing, was damaged or altered, or is of another network or run.
        """
        try:
            with safe_open(self._state, "pt") as file:
                header = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if "sha256" in header and header["sha256"] != checkpoint.digest(header["numbers"], tensors):
                raise ValueError(f"{self._state.name} was damaged or altered")  # older ones have no SHA-256
            numbers = json.loads(header["numbers"])
            if numbers["best"] and numbers["best"]["seconds"] not in {row["seconds"] for row in self._rows()}:
                raise ValueError(f"{self._state.name} is of another run: {self._table.name} lacks its best epoch")
            for i, part in enumerate(parts):
                prefix = f"part{i}."
                part.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
            slots: dict[int, dict[str, torch.Tensor]] = {}
            for name, tensor in tensors.items():
                if name.startswith("optimizer."):
                    _, index, slot = name.split(".")
                    slots.setdefault(int(index), {})[slot] = tensor
            optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
            return numbers["epoch"], numbers["best"]
        except (OSError, SafetensorError, RuntimeError, TypeError, KeyError, ValueError) as error:
            why = first_line(error)
            raise CheckpointError(f"there is no run of this recipe to resume in {self.path} ({why})") from None


def frames_digest(frames: Samples, track: Track = iter) -> dict:
    """What the metadata says about a set of frames.

    Returns:
        {"frames": their number, "sha256": of their names, pixels, labels and classes in order, "road": share of road in
        the labelled pixels, 0..1, "names": of the frames, if the set has them, "teacher": SHA-256 of the weights that
        labelled them, if any}.
    """
    sha, count, road, labelled = hashlib.sha256(), 0, 0, 0
    for sample in track(frames):
        sha.update(sample.name.encode())
        for part in (sample.image, sample.label, sample.classes):
            if part is not None:
                sha.update(np.ascontiguousarray(part).data)
        count += 1
        road += int((sample.label == ROAD).sum())
        labelled += int((sample.label != IGNORE).sum())
    names = {"names": list(frames.names)} if hasattr(frames, "names") else {}
    teacher = {"teacher": frames.teacher} if hasattr(frames, "teacher") else {}
    return {"frames": count, "sha256": sha.hexdigest(), "road": road / max(labelled, 1), **names, **teacher}


def check_road(data: Mapping[str, dict]) -> None:
    """Check that each set shows road, and sets for validation something else too; see `frames_digest`.

    Raises:
        DatasetError: one does not.
    """
    for name, facts in data.items():
        if not facts["road"]:
            raise DatasetError(f"none of the {facts['frames']} frames of {name} shows road: {WHAT_IS_ROAD}")
        if facts["road"] == 1 and name.startswith("validation/"):
            raise DatasetError(f"the {facts['frames']} frames of {name} show only road, so they measure nothing")
