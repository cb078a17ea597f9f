"""Takes the picture of the HTML report: a real run of the example suite, looked at in a real browser.

python docs/report_picture.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from screens import browser, run_suite, save

NAME = "report.png"
CASE = "answers/tiny-gpt2/sum"
WIDTH, HEIGHT = 1400, 760


def main() -> None:
    """Take the picture anew."""
    with tempfile.TemporaryDirectory() as above:
        folder = Path(above) / "example_suite"
        run_suite(folder, "test_compare_small_models.py", "--llm-report=report.html")
        with browser() as shown:
            shown.look(width=WIDTH, height=HEIGHT)
            shown.open((folder / "report.html").as_uri())
            drifted = f"document.querySelector('a[href*=\"{CASE}\"]').click()"
            shown.js(drifted)
            shown.wait("!document.getElementById('panel').hidden")
            shown.js("document.getElementById('search').scrollIntoView({behavior: 'instant'})")
            shown.js("window.scrollBy(0, 12)")
            save(shown, NAME)


if __name__ == "__main__":
    main()
