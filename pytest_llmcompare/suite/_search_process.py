"""Program of the process in which `regex:` assertions search; `bounded_search.py` starts it.

It imports nothing of this package. It reads lines of JSON, `[pattern, text, seconds]`, and answers each with `true`,
`false` or the text of an error. A search that takes longer ends the process: faulthandler's watchdog is a thread that
needs no lock of the interpreter.
"""

from __future__ import annotations

import faulthandler
import json
import os
import re
import signal
import sys


def main() -> None:
    """Answer requests until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - starts in milliseconds without pathlib
        for line in sys.stdin.buffer:
            pattern, text, seconds = json.loads(line)
            faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
            try:
                answer: bool | str = re.search(pattern, text) is not None
            except Exception as error:  # such as MemoryError
                answer = f"{type(error).__name__}: {error}"
            faulthandler.cancel_dump_traceback_later()
            sys.stdout.write(f"{json.dumps(answer)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
