"""Asks questions in a few threads at a time, and yields the answers as they come."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from pytest_llmcompare.errors import GenerationError

Q = TypeVar("Q")
A = TypeVar("A")


def in_threads(
    ask: Callable[[Q], A], questions: Mapping[int, Q], count: int
) -> Iterator[tuple[int, A | GenerationError]]:
    """Ask questions in threads that do not keep the process from ending.

    Args:
        ask: Asks one question.
        questions: The questions, by index.
        count: Number of threads.

    Yields:
        Index and outcome of each question, in the order of the answers.

    Raises:
        Exception: Whatever else `ask` raises, which is a bug.
    """
    todo: queue.SimpleQueue[tuple[int, Q]] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, A | Exception]] = queue.SimpleQueue()
    stopped = threading.Event()
    for numbered in questions.items():
        todo.put(numbered)

    def work() -> None:
        while not stopped.is_set():
            try:
                index, question = todo.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((index, ask(question)))
            except Exception as error:  # handed to the thread that waits
                done.put((index, error))

    for _ in range(min(count, len(questions))):
        threading.Thread(target=work, name="llmcompare-request", daemon=True).start()
    try:
        for _ in questions:
            index, outcome = done.get()
            if isinstance(outcome, Exception) and not isinstance(outcome, GenerationError):
                raise outcome
            yield index, outcome
    finally:
        stopped.set()
