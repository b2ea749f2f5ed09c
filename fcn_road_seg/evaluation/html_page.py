"""What the HTML pages of `road_seg evaluate` share: their folder, their template and what they say about weights."""

from pathlib import Path
from typing import Any

from fcn_road_seg.errors import UserError
from fcn_road_seg.evaluation.error_picture import COLOURS, MEANINGS
from fcn_road_seg.files.output import check_writable_folder, write_whole
from fcn_road_seg.inference.segmenter import RoadSegmenter


def prepare(folder: Path, option: str = "--report") -> None:
    """Create the folder of a page, and in it `frames` for its pictures.

    Args:
        option: which asked for the page; all but --gallery need matplotlib.

    Raises:
        UserError: it cannot be written to, or matplotlib or Jinja2 is not installed.
    """
    try:
        import jinja2  # noqa: F401

        if option != "--gallery":
            from matplotlib.figure import Figure  # noqa: F401
    except ImportError as error:
        raise UserError(f"{option} needs {error.name}: pip install matplotlib jinja2") from None
    check_writable_folder(folder / "frames")
    (folder / "frames").mkdir(parents=True, exist_ok=True)


def write_page(folder: Path, template: str, **values: Any) -> None:
    """Fill in a template of this folder and write it as `folder`/index.html."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    environment.filters["percent"] = lambda share: "–" if share is None else f"{100 * share:.2f}"
    environment.filters["points"] = lambda share: "–" if share is None else f"{100 * share:+.2f}"
    environment.globals["legend"] = [(COLOURS[name], meaning) for name, meaning in MEANINGS.items()]
    write_whole(folder / "index.html", environment.get_template(template).render(values))


def weights_facts(segmenter: RoadSegmenter) -> dict[str, str]:
    """What a page says about the weights and where they run."""
    metadata = segmenter.checkpoint.metadata
    return {
        "weights": segmenter.checkpoint.path.name,
        "SHA-256": segmenter.checkpoint.sha256,
        "threshold": f"{segmenter.threshold:.3f}",
        "runs on": f"{segmenter.device_name} ({segmenter.device}, {segmenter.backend}), {segmenter.precision}, "
        f"network width {segmenter.network_width}",
        "trained on": ", ".join(
            f"{name} ({data.get('frames', '?')} frames)" for name, data in metadata.trained_on.items()
        )
        or "unknown",
        "recipe": f"{metadata.recipe.get('name', 'unknown')}, seed {metadata.seed}, revision {metadata.git_revision}",
    }
