"""What the plugin costs a pytest run that does not use it.

    python benchmarks/startup.py [ROUNDS]

Runs the same one-test suite in a process of its own, in turn with the plugin and with `-p no:llmcompare`, and prints
the medians of the processor time of each and of their difference, pair by pair. Processor time, because what else the
machine does shows in the wall clock.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

WITHOUT = ("-p", "no:llmcompare")


def processor_seconds(folder: Path, *options: str) -> float:
    """Processor time of one pytest process, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(rounds: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "test_one.py").write_text("def test_one():\n    assert True\n")
        (folder / "pytest.ini").write_text("[pytest]\n")
        for options in ((), WITHOUT):
            processor_seconds(folder, *options)  # warms the file cache and the compiled modules
        pairs = [(processor_seconds(folder), processor_seconds(folder, *WITHOUT)) for _ in range(rounds)]
    with_plugin, without = (statistics.median(column) for column in zip(*pairs, strict=True))
    difference = statistics.median(one - other for one, other in pairs)
    print(f"pytest with the plugin     {with_plugin * 1000:7.1f} ms")
    print(f"pytest without it          {without * 1000:7.1f} ms")
    print(f"difference, pair by pair   {difference * 1000:7.1f} ms  ({difference / without:+.1%} of the run)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
