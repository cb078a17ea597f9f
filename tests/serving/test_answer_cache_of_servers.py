"""The answers of a served model are cached only if its table says so, because a server can change in silence."""

from __future__ import annotations

import pytest

from tests.plugin.suites import TEST, Suite, says

from .servers import Faulty, completion
from .test_run_limits import configure


@pytest.mark.parametrize("wish", [True, False])
def test_a_server_is_not_asked_again_by_wish_alone(suite: Suite, wish: bool) -> None:
    """Recorded, read once more along the baselines, then taken from the cache without a request."""
    suite.trivia()
    with Faulty(lambda *_: completion()) as faulty:
        configure(suite, faulty.url, *(["cache = true"] if wish else []))
        suite.run("--llm-update", models=["m"]).assert_outcomes(passed=3)
        suite.run(models=["m"]).assert_outcomes(passed=3)
        asked = len(faulty.requests)
        again = suite.run(models=["m"])
        again.assert_outcomes(passed=3)
        assert says(again, "3 of 3 answers from the cache") == wish
        assert (len(faulty.requests) == asked) == wish
        only = suite.run("--llm-cache=only", models=["m"])
        only.assert_outcomes(**({"passed": 3} if wish else {"errors": 3}))
        assert says(only, "only with cache = true in [tool.llmcompare.models.m]") != wish


def test_one_new_prompt_asks_a_server_for_all(suite: Suite) -> None:
    """Answers of one table are of one server at one time."""
    suite.trivia(test=TEST)
    with Faulty(lambda *_: completion()) as faulty:
        configure(suite, faulty.url, "cache = true")
        suite.run("--llm-update", models=["m"])
        suite.run(models=["m"])
        suite.table("trivia.jsonl", [{"id": f"q{at}", "prompt": f"Question {at}"} for at in range(3)])
        assert not says(suite.run(models=["m"]), "from the cache")
