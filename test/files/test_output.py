"""Files that are written whole or not at all, and names that are not UTF-8."""

import os
import stat
import threading
from pathlib import Path

import pytest
import torch
from bad_disk import NO_FILES, NOT_UTF8, small_disk

from fcn_road_seg.errors import UserError
from fcn_road_seg.files.output import (
    check_writable,
    check_writable_folder,
    utf8_name,
    whole_file,
    whole_folder,
    write_whole,
)
from fcn_road_seg.inference import checkpoint
from fcn_road_seg.inference.network import VGG16_WIDTHS, FCN8s


def test_a_file_appears_whole(tmp_path):
    file = tmp_path / "a.txt"
    with whole_file(file) as partial:
        partial.write_text("new")
        assert not file.exists() and partial.parent == tmp_path and partial.name.startswith(".")
        assert partial.suffix == ".txt"
    assert file.read_text() == "new" and os.listdir(tmp_path) == ["a.txt"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("fault", [ValueError("no"), KeyboardInterrupt()])
def test_a_file_that_fails_leaves_the_old_one(tmp_path, fault):
    file = tmp_path / "a.txt"
    file.write_text("old")
    with pytest.raises(type(fault)), whole_file(file) as partial:
        partial.write_text("ne")
        raise fault
    assert file.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_leaves_the_old_file(tmp_path):
    file = tmp_path / "a.bin"
    file.write_bytes(b"old")
    with small_disk(1000), pytest.raises(OSError, match=r"cannot write .*a\.bin: File too large$"):
        write_whole(file, bytes(5000))
    assert file.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.bin"]


def test_the_fault_of_another_file_is_not_called_one_of_this(tmp_path):
    with pytest.raises(FileNotFoundError, match="other"), whole_file(tmp_path / "a.txt"):
        (tmp_path / "other").read_text()
    sentence = "^cannot write .*b.txt: File too large$"
    with pytest.raises(OSError, match=sentence), whole_file(tmp_path / "a.txt"), small_disk(10):
        write_whole(tmp_path / "b.txt", "x" * 100)


def test_a_link_keeps_its_target_and_a_pipe_is_written_to(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/file")
    write_whole(tmp_path / "link", "through the link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "folder" / "file").read_text() == "through the link"
    os.mkfifo(tmp_path / "pipe")
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append((tmp_path / "pipe").read_text()))
    reader.start()
    write_whole(tmp_path / "pipe", "figures")
    reader.join()
    assert received == ["figures"] and not (tmp_path / "pipe").is_file()
    check_writable("/dev/stdout")


@pytest.mark.parametrize(
    "path, why",
    [
        (NO_FILES / "a.json", "No such file"),
        (NO_FILES / "none" / "a.json", "there is no folder /proc/none"),
        (NO_FILES, "it is a folder"),
        (Path("/dev/null/a.json"), "there is no folder /dev/null"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before(path, why):
    with pytest.raises(UserError, match=f"cannot write {path}: {why}"):
        check_writable(path)


def test_a_folder_that_cannot_be_written_is_refused_before(tmp_path):
    (tmp_path / "file").write_text("")
    for folder, why in (
        (NO_FILES / "none" / "deep", "No such file"),
        (tmp_path / "file", "is a file, not a folder"),
        (tmp_path / "file" / "deep", "is a file, not a folder"),
    ):
        with pytest.raises(UserError, match=f"cannot write to {folder}: .*{why}"):
            check_writable_folder(folder)
    check_writable_folder(tmp_path / "new" / "deep")
    check_writable(tmp_path / "file")
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_appears_whole(tmp_path):
    folder = tmp_path / "deep" / "images"
    with pytest.raises(KeyboardInterrupt), whole_folder(folder) as partial:
        (partial / "a").write_text("a")
        raise KeyboardInterrupt
    assert not list((tmp_path / "deep").iterdir())
    with whole_folder(folder) as partial:
        (partial / "b").write_text("b")
        assert not folder.exists()
    assert os.listdir(folder) == ["b"] and os.listdir(tmp_path / "deep") == ["images"]


def test_a_name_that_is_not_utf8_gets_another(tmp_path, monkeypatch):
    with utf8_name("straße.mp4") as name:
        assert name == "straße.mp4"
    (tmp_path / NOT_UTF8).mkdir()
    monkeypatch.chdir(tmp_path)
    for path in (Path(NOT_UTF8, "a.mp4"), tmp_path / NOT_UTF8 / "a.mp4"):
        with utf8_name(path) as name:
            assert name.encode() and name.endswith(".mp4")
            Path(name).write_text("a film")
        assert not os.path.lexists(name)
        assert path.read_text() == "a film"
        path.unlink()


def test_weights_in_any_folder(tmp_path):
    path = tmp_path / NOT_UTF8 / "w.safetensors"
    path.parent.mkdir()
    widths = (8,) * len(VGG16_WIDTHS)
    network = FCN8s("atrous", 16, conv_widths=widths)
    metadata = checkpoint.Metadata(fc="atrous", fc_width=16, conv_widths=widths)
    checkpoint.save(path, network, metadata)
    loaded = checkpoint.load(path)
    assert torch.equal(loaded.tensors["conv1_1.bias"], network.conv1_1.bias.half())
    with small_disk(1000), pytest.raises(OSError, match="cannot write .*w.safetensors: File too large"):
        checkpoint.save(path, network, metadata)
    assert checkpoint.load(path).sha256 == loaded.sha256 and os.listdir(path.parent) == ["w.safetensors"]
