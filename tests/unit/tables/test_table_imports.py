"""Collecting tests must stay cheap: reading text tables imports no heavy library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ["pandas", "numpy", "torch", "transformers", "mlflow", "pyarrow", "yaml"]
SCRIPT = """
import sys
from pathlib import Path
from pytest_llmcompare.suite.table import read_table
source = {source}
assert len(read_table(source, base=Path(sys.argv[1]))) == 2
print([name for name in {heavy} if name in sys.modules])
"""
CONFIG = '{"top_k": 5, "do_sample": true, "max_new_tokens": 3}'
TABLES = {
    "t.csv": 'prompt,config_dict\na,"{}"\nb,\n'.format(CONFIG.replace('"', '""')),
    "t.tsv": "prompt\tnote\na\t1\nb\t2\n",
    "t.jsonl": f'{{"prompt": "a", "config_dict": {CONFIG}}}\n{{"prompt": "b"}}\n',
    "t.json": f'[{{"prompt": "a", "config_dict": {CONFIG}}}, {{"prompt": "b"}}]',
    "t.yaml": "- a\n- b\n",
}


def imported(source: str, folder: Path) -> str:
    script = SCRIPT.format(source=source, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("source", ["'t.csv'", "'t.tsv'", "'t.jsonl'", "'t.json'", "['a', 'b']"])
def test_reading_a_table_imports_nothing_heavy(source: str, tmp_path: Path) -> None:
    for name, text in TABLES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert imported(source, tmp_path) == "[]"


def test_only_yaml_needs_yaml(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(TABLES["t.yaml"], encoding="utf-8")
    assert imported("'t.yaml'", tmp_path) == "['yaml']"
