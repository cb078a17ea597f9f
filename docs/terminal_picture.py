"""Draws the README's terminal picture from a real run of the example suite with a drift in it.

    python docs/terminal_picture.py

The drift: in a copy of the suite the weights of tiny-gpt2 are replaced by those of tiny-gpt2-distil, as if somebody had
put a smaller model in its place.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PICTURE = REPOSITORY / "docs" / "images" / "comparison.svg"
COLUMNS = 100
CHARACTER = 12.2  # width of one in the picture
ARGUMENTS = ("test_compare_small_models.py", "--llm-models=tiny-gpt2,tiny-bloom")
HEADER = re.compile(r"(platform |rootdir: |configfile: |plugins: ).*\n")
FONT = re.compile(r"\s*@font-face \{.*?\n    \}", re.DOTALL)
"""A web font that would be fetched from a server whenever somebody looks at the picture."""

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
SVG = "{http://www.w3.org/2000/svg}"


def record(folder: Path) -> str:
    """Run the comparison in `folder`, which must not be there yet.

    Returns:
        The command and what the terminal shows, with colours; without the lines of pytest's header that differ from
        machine to machine.

    Raises:
        RuntimeError: The run did not end with the drifts that it is to show.
    """
    shutil.copytree(
        REPOSITORY / "example_suite", folder, ignore=shutil.ignore_patterns("__pycache__", "mlruns", "*.db")
    )
    shutil.copytree(folder / "models" / "tiny-gpt2-distil", folder / "models" / "tiny-gpt2", dirs_exist_ok=True)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *ARGUMENTS],
        cwd=folder,
        env={
            **os.environ,
            "COLUMNS": str(COLUMNS),
            "PY_COLORS": "1",
            "PYTHONUTF8": "1",
            "HF_HUB_OFFLINE": "1",
            "LLMCOMPARE_CACHE": "off",
        },
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if run.returncode != 1:
        raise RuntimeError(f"the run ended with {run.returncode}, expected failed tests (1):\n{run.stdout}{run.stderr}")
    return f"$ {shlex.join(['pytest', *ARGUMENTS])}\n{HEADER.sub('', run.stdout)}"


def draw(shown: str) -> str:
    """The picture of a terminal that shows this, as SVG."""
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, legacy_windows=False)
    for line in Text.from_ansi(shown).split():
        for at in range(0, max(len(line), 1), COLUMNS):  # as a terminal does; rich would break at blanks
            console.print(line[at : at + COLUMNS])
    svg = console.export_svg(title="a model was replaced: which answers changed?", unique_id="comparison")
    return FONT.sub("", svg)


def lines_in(svg: str) -> list[str]:
    """The lines of text in a picture."""
    rows: dict[float, str] = {}
    for text in ET.fromstring(svg).iter(f"{SVG}text"):  # noqa: S314 - we drew it ourselves
        if "clip-path" in text.attrib:  # all but the title of the window
            row, column = float(text.attrib["y"]), round(float(text.attrib["x"]) / CHARACTER)
            rows[row] = rows.get(row, "").ljust(column) + (text.text or "").replace("\xa0", " ")
    return [line.rstrip() for _, line in sorted(rows.items())]


def main() -> None:
    """Draw the picture anew."""
    with tempfile.TemporaryDirectory() as above:
        svg = draw(record(Path(above) / "example_suite"))
    PICTURE.write_text(svg, encoding="utf-8")
    print(f"{PICTURE}: {len(lines_in(svg))} lines")


if __name__ == "__main__":
    main()
