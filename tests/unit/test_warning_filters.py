"""Warnings of libraries are ignored in a block; those of the user's own code in it meet the user's filter."""

from __future__ import annotations

import warnings

import pytest

from pytest_llmcompare.models.warning_filters import library_warnings_ignored, under_users_filter, users_filter


def test_nothing_is_raised_or_shown_in_the_block() -> None:
    """Even where a library sets a filter of its own around what it warns about; afterwards all is as before."""
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("error")
        before = [*warnings.filters]
        with library_warnings_ignored():
            warnings.warn("plain", UserWarning, stacklevel=1)
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                warnings.warn("insists", FutureWarning, stacklevel=1)
        assert warnings.filters == before
        with pytest.raises(UserWarning, match="afterwards"):
            warnings.warn("afterwards", UserWarning, stacklevel=1)
    assert shown == []


@pytest.mark.parametrize(
    ("wanted", "raised"),
    [("error", True), ("error::UserWarning", True), ("error:mi.e", True), ("error::FutureWarning", False)],
)
def test_the_users_own_code_meets_the_users_filter(wanted: str, raised: bool) -> None:
    """By action, category and message, however deep the blocks are nested."""
    _, message, category = [*wanted.split(":"), "", ""][:3]

    def own() -> str:
        warnings.warn("mine", UserWarning, stacklevel=1)
        return "done"

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        kind = {"UserWarning": UserWarning, "FutureWarning": FutureWarning}.get(category, Warning)
        warnings.filterwarnings("error", message, kind)
        with library_warnings_ignored(), library_warnings_ignored():
            if raised:
                with pytest.raises(UserWarning, match="mine"), users_filter():
                    own()
            else:
                assert under_users_filter(own)() == "done"
            warnings.warn("a library's", UserWarning, stacklevel=1)
    assert [str(found.message) for found in shown] == ([] if raised else ["mine"])


def test_outside_of_a_block_there_is_nothing_to_restore() -> None:
    """A model that is served, say, warns as any code does."""
    with pytest.warns(UserWarning, match="as usual"), users_filter():
        warnings.warn("as usual", UserWarning, stacklevel=1)
