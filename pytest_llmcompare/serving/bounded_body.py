"""Limits on the body of an answer: its size, and the seconds that it takes.

The timeouts of HTTP clients hold for each piece that arrives, so a server that sends a byte now and then is waited for
without end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from .shown_tokens import BadAnswerError

MOST_BYTES = 256 << 20
"""Largest body; the log-probs of a prompt of 100,000 tokens take about 30 MB."""


def bound_body(timeout: float, stream_class: Any, too_slow: type[Exception]) -> Callable[[Any], None]:
    """A hook for responses, called before their bodies are read, which then raise if they exceed a limit.

    Args:
        timeout: Seconds from the headers of a response to the end of its body.
        stream_class: The HTTP library's class of bodies.
        too_slow: Its error for a body that takes longer.
    """

    class BoundedBody(stream_class):  # type: ignore[misc]
        def __init__(self, stream: Any) -> None:
            self.stream = stream
            self.end = time.monotonic() + timeout

        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for piece in self.stream:
                size += len(piece)
                if size > MOST_BYTES:
                    raise BadAnswerError(f"the answer is larger than {MOST_BYTES >> 20} MB")
                if time.monotonic() > self.end:
                    raise too_slow("the answer takes too long")
                yield piece

        def close(self) -> None:
            self.stream.close()

    def hook(response: Any) -> None:
        response.stream = BoundedBody(response.stream)

    return hook
