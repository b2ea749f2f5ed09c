"""Recipes: their fields' checks, help texts and table."""

import re

import pytest

from fcn_road_seg.cli.main import main
from fcn_road_seg.training.recipe import FIELDS, RecipeError, check, load_recipe, markdown_table, recipe_names

SEED = load_recipe("seed")


def test_seed_is_the_write_ups_recipe():
    recipe = load_recipe("seed")
    assert (recipe.lr, recipe.encoder_lr, recipe.schedule) == (1e-4, 1e-4, "constant")
    assert (recipe.keep_prob, recipe.epochs, recipe.batch_size, recipe.std_init) == (0.25, 25, 16, 0.01)
    assert (recipe.network_width, recipe.network_height) == (576, 160)
    assert (recipe.fc, recipe.augment, recipe.weight_decay, recipe.ema) == ("full", False, 0.0, 0.0)
    assert list(recipe.samples) == ["kitti_road"]


def test_road_is_its_teachers_recipe_and_self_training():
    road, teacher = load_recipe("road"), load_recipe("teacher")
    assert set(teacher.samples) == {"kitti_road", "camvid", "synthetic"}
    assert set(road.samples) == {*teacher.samples, "unlabelled"}
    assert road.augment and road.encoder_lr < road.lr
    assert check(road, {"name": "teacher", "samples": teacher.samples, "epochs": teacher.epochs}) == teacher


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epoch": 3}, "no field 'epoch'"),
        ({"epochs": "many"}, "epochs is 'many'"),
        ({"epochs": 0}, "epochs is 0, but must be 1 or more"),
        ({"epochs": True}, "epochs is True"),
        ({"network_width": 100}, "network_width is 100, but must be 32 to 4096, a multiple of 32"),
        ({"keep_prob": 0.0}, "keep_prob"),
        ({"schedule": "step"}, "constant or cosine"),
        ({"fc": "dense"}, "atrous or full"),
        ({"lr": -1.0}, "lr is -1.0, but must be 0 to 1"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"frozen_stages": 9}, "frozen_stages is 9"),
        ({"seed": -1}, "seed is -1"),
        ({"samples": {}}, "samples"),
        ({"samples": {"kitti_road": True}}, "samples"),
        ({"samples": {"mine:4": None}}, "as in {synthetic: 1000}: 'mine:4' has none"),
        ({"scale_min": 3.0}, "scale_min"),
        ({"augment": 1}, "augment is 1"),
    ],
)
def test_invalid_fields_are_named(change, message):
    with pytest.raises(RecipeError, match=message):
        check(SEED, change)


def test_numbers_may_be_integers_or_strings():
    assert check(SEED, {"lr": "1e-4", "ema": 0}).lr == 1e-4


def test_invalid_recipe_files_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="there are .*lite, .*road, seed, teacher, .* or give a YAML file"):
        load_recipe("nonsense")
    file = tmp_path / "mine.yaml"
    for text, message in (("a: [", "not valid YAML"), ("- 1", "not a recipe"), ("epochs: 2", "incomplete")):
        file.write_text(text)
        with pytest.raises(RecipeError, match=message):
            load_recipe(str(file))
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="not valid YAML"):
        load_recipe(str(file))


def test_every_recipe_is_valid_and_in_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    for name in recipe_names():
        assert load_recipe(name).name == name
        assert name in text


def test_help_has_text_range_and_default_of_every_field(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    lines = dict(re.findall(r"^  --(\S+) VALUE\s+(.+)$", capsys.readouterr().out, re.MULTILINE))
    assert list(lines) == [name.replace("_", "-") for name in FIELDS if name != "name"]
    for name, line in lines.items():
        known = FIELDS[name.replace("-", "_")]
        assert len(known.text) > 10 and known.text.endswith(".") and line.startswith(known.text)
        assert known.range_text in line
    assert lines["keep-prob"].endswith("(0.01 to 1; default 0.25)")
    assert lines["network-width"].endswith("(32 to 4096, a multiple of 32; default 576)")
    assert lines["schedule"].endswith("(constant or cosine; default constant)")
    assert lines["augment"].endswith("(true or false; default false)")
    assert lines["epochs"].endswith("(1 or more; default 25)")


def test_defaults_are_valid():
    for known in FIELDS.values():
        if known.default is not None:
            assert known.check(known.default) == known.default


def test_the_docs_have_the_table(repository):
    docs = (repository / "docs" / "training.md").read_text()
    (table,) = re.findall(r"<!-- fields -->\n(.*?)\n<!-- /fields -->", docs, re.DOTALL)
    assert table.strip() == markdown_table(), "put the output of `python -m fcn_road_seg.training.recipe` there"
