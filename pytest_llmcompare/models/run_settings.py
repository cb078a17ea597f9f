"""Settings of a run that a model has, too: device, dtype and how it is decoded. Pure."""

from __future__ import annotations

import dataclasses

from pytest_llmcompare.settings import FILE, Settings

from .loading_options import AUTO
from .spec import ModelSpec, SourceKind


def with_settings(spec: ModelSpec, settings: Settings) -> ModelSpec:
    """A spec with the run's settings. Precedence: command line or environment, model's table, file, default."""

    def own_or_of_run(name: str, own: str | None) -> str | None:
        for_this_run = settings.origins.get(name) not in (None, FILE)
        general = str(getattr(settings, name))
        return general if general and (for_this_run or not own) else own

    is_served = spec.kind is SourceKind.SERVER  # then the server decides on device and dtype
    device = spec.device if is_served else own_or_of_run("device", spec.device)
    return dataclasses.replace(
        spec,
        device=device,
        loading=spec.loading if device == AUTO else spec.loading.on_one_device(),
        dtype=spec.dtype if is_served else own_or_of_run("dtype", spec.dtype),
        decode=own_or_of_run("decode", spec.decode),
    )
