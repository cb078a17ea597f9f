"""URIs of MLflow models: which forms there are, and what they say. Pure."""

from __future__ import annotations

import re

from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.text import without_secrets

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
HUB_PAGE = re.compile(r"(?:https?://(?:www\.)?(?:huggingface\.co|hf\.co)/|hf:/{0,2})(?P<id>[^/?#]+(?:/[^/?#]+)?)")
MLFLOW = ("models", "runs")
SERVERS = ("http", "https", "openai")
TAKEN = (*MLFLOW, *SERVERS, "hf")
"""Schemes with a meaning of their own, which no plugin is asked for."""

FORMS = (
    "a hub id (gpt2-large, bigscience/bloom-560m), a folder (./models/tiny), "
    "or an MLflow URI (models:/qa@champion, models:/qa/3, runs:/ID/model)"
)
HOOK = (
    "A model of a kind of your own is loaded by the hook pytest_llmcompare_load_model, in a plugin or in the "
    "conftest.py of pytest's root folder."
)


def is_mlflow(uri: str, scheme: str, where: str, *, others: bool) -> bool:
    """Whether a source with a scheme is MLflow's; else a plugin loads it.

    Args:
        uri: The source.
        scheme: Its scheme.
        where: What it is part of, for messages.
        others: Whether there are plugins that load models.

    Raises:
        UsageError: It is neither, or names no version.
    """
    scheme = scheme.lower()
    if scheme in MLFLOW:
        if not is_complete(uri):
            raise UsageError(
                f"{where}: {without_secrets(uri)!r} is not a complete MLflow model URI. Expected {MLFLOW_FORMS}."
            )
        return True
    if others and scheme not in TAKEN:
        if not uri.partition(":")[2].strip():
            raise UsageError(
                f"{where}: there is nothing after {uri!r}. Expected {uri}ANYTHING, as its plugin wants it."
            )
        return False
    raise refused(uri, scheme, where)


def refused(uri: str, scheme: str, where: str) -> UsageError:
    """The error for a scheme that nobody loads."""
    if page := HUB_PAGE.match(uri):
        return UsageError(f"{where}: a hub model is named by its id, not by its address. Write {page['id']}")
    if scheme in SERVERS:
        return UsageError(
            f"{where}: servers are not supported by this version ({scheme}:). Expected {FORMS}.\n"
            "A server can be wrapped in an MLflow pyfunc of your own and named by its models:/ URI."
        )
    return UsageError(
        f"{where}: URIs of the scheme {scheme}: are not supported. Expected {FORMS}.\n"
        f"Of MLflow's URIs these are: {MLFLOW_FORMS}. A folder is given by its path.\n{HOOK}"
    )


MLFLOW_FORMS = "models:/NAME@ALIAS, models:/NAME/VERSION, models:/m-ID or runs:/RUN_ID/PATH"

REGISTERED = re.compile(r"models:/(?P<name>[^/]+?)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+|latest))")
LOGGED = re.compile(r"models:/(?P<id>m-[0-9A-Za-z]+)")
RUN = re.compile(r"runs:/(?P<run>[^/]+)/(?P<path>.*[^/])/?")


def is_complete(uri: str) -> bool:
    """Whether a `models:` or `runs:` URI names one model in one version."""
    return any(form.fullmatch(uri) for form in (REGISTERED, LOGGED, RUN))


def default_name(uri: str) -> str:
    """A short name: `qa-champion`, `qa-3`, `m-1a2b3c4d`, or for a run `model-1a2b3c4d`."""
    if logged := LOGGED.fullmatch(uri):
        return logged["id"][:10]  # `m-` and 8 of its 32 digits
    if registered := REGISTERED.fullmatch(uri):
        return f"{registered['name']}-{registered['alias'] or registered['version']}"
    if run := RUN.fullmatch(uri):
        return f"{run['path'].rpartition('/')[2]}-{run['run'][:8]}"
    return uri
