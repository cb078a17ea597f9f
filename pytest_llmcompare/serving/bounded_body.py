"""Limits on the body of an answer: its size, and the seconds that it takes.

The timeouts of HTTP clients hold for each piece that arrives, so a server that sends a byte now and then is waited for
without end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .shown_tokens import BadAnswerError

if TYPE_CHECKING:
    import httpx2

MOST_BYTES = 256 << 20
"""Largest body; the log-probs of a prompt of 100,000 tokens take about 30 MB."""


def bound_body(timeout: float) -> Callable[[httpx2.Response], None]:
    """A hook for responses, called before their bodies are read, which then raise if they exceed a limit.

    Args:
        timeout: Seconds from the headers of a response to the end of its body.
    """
    import httpx2

    class BoundedBody(httpx2.SyncByteStream):
        def __init__(self, stream: httpx2.SyncByteStream) -> None:
            self.stream = stream
            self.end = time.monotonic() + timeout

        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for piece in self.stream:
                size += len(piece)
                if size > MOST_BYTES:
                    raise BadAnswerError(f"the answer is larger than {MOST_BYTES >> 20} MB")
                if time.monotonic() > self.end:
                    raise httpx2.ReadTimeout("the answer takes too long")
                yield piece

        def close(self) -> None:
            self.stream.close()

    def hook(response: httpx2.Response) -> None:
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = BoundedBody(response.stream)

    return hook
