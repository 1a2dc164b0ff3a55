"""The kind of component that this application adds: ``register_image_measures`` makes ``image_measures``."""

from __future__ import annotations

from limbeck.hookspecs import Register, hookspec


@hookspec
def register_image_measures(register: Register) -> None:
    """Offer image measures: one number for each synthetic image.

    Called once per process; the return value is ignored; import nothing here.

    Args:
        register: call as ``register(name, "module:Class", summary=...)`` with a subclass of
            ``limbeck_example.measures.ImageMeasure``.
    """
