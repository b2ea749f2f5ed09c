"""Writes the figures of test/gpu/check.sh into docs/performance.md: python tools/gpu_page.py gpu_out/gpu.json"""

import json
import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from fcn_road_seg.benchmark.markdown_table import cell, table  # noqa: E402
from fcn_road_seg.benchmark.results import markdown  # noqa: E402

PAGE = REPOSITORY / "docs" / "performance.md"
BEGIN, END = "<!-- gpu: written by tools/gpu_page.py -->", "<!-- /gpu -->"


def gpu_page(result: dict) -> str:
    """All figures of a gpu.json as Markdown."""
    parts = ["\n".join(f"- {name}: {text}" for name, text in result["machine"].items())]
    counts = ", ".join(f"{number} {kind}" for kind, number in sorted(result["tests"].items())) or "not run"
    parts.append(f"`pytest -m cuda`: {counts}.")
    if result["left_out"]:
        parts.append("Left out:\n\n" + "\n".join(f"- {what}" for what in result["left_out"]))
    for name, report in result["benchmarks"].items():
        parts += [
            f"### {'The node' if name == 'node' else 'Network width ' + name.replace('_', ', ')}",
            markdown(shown(report)).strip(),
        ]
    return "\n\n".join(parts) + "\n"


def shown(report: dict) -> dict:
    """A report without the command, which names folders of the machine."""
    return report | {"machine": {name: text for name, text in report["machine"].items() if name != "command"}}


def short_table(result: dict) -> str:
    """Each rung at each width in one line."""
    rows = [
        [r["rung"], "x".join(map(str, r["network_size"])), cell(r["p50_ms"]), cell(r["p99_ms"])]
        + [f"{r['speedup']:.2f}x", f"{100 * (1 - r['equal_to_fp32']):.3f} %", cell(r["peak_memory_mb"])]
        for report in result["benchmarks"].values()
        for r in report["rungs"]
    ]
    header = ("rung", "input", "p50 ms", "p99 ms", "vs FP32 eager", "pixels that differ", "memory MB")
    return table(header, rows) if rows else "No rung was measured."


def main(argv: list[str]) -> int:
    """Return 0, or 2 if there is no such file, its figures are a CPU's, or docs/performance.md has lost its marks."""
    if len(argv) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        result = json.loads(Path(argv[0]).read_text())
        rehearsed, page = "GPU" not in result["machine"], gpu_page(result)
    except (OSError, ValueError) as error:
        print(f"gpu_page.py: cannot read {argv[0]} ({error}): give the gpu.json of test/gpu/check.sh", file=sys.stderr)
        return 2
    except (LookupError, TypeError, AttributeError):
        print(f"gpu_page.py: {argv[0]} is JSON, but not the gpu.json of test/gpu/check.sh", file=sys.stderr)
        return 2
    if rehearsed:
        print(f"gpu_page.py: {argv[0]} is of a rehearsal without a GPU, and is not for the docs", file=sys.stderr)
        return 2
    text = PAGE.read_text()
    if BEGIN not in text or END not in text:
        print(f"gpu_page.py: {PAGE} has lost the lines {BEGIN} and {END}: put them back", file=sys.stderr)
        return 2
    PAGE.write_text(with_page(text, page))
    return 0


def with_page(text: str, page: str) -> str:
    """The text of docs/performance.md with another page between the marks."""
    return re.sub(f"(?s){BEGIN}.*{END}", lambda _: f"{BEGIN}\n\n{page}\n{END}", text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
