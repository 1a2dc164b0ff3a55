"""A distilled memory as a storage policy of Avalanche, for anybody's replay."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from limbeck.errors import LimbeckWarning, UsageError
from limbeck.synthetic import SyntheticSet
from limbeck_applications.continual.bridge.keeper import Keeper
from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.bridge.limits import Keeping, LimitedMemory

_ExemplarsBuffer: Any = avalanche().training.storage_policy.ExemplarsBuffer


class DistilledBuffer(_ExemplarsBuffer):  # type: ignore[misc]
    """Keeps synthetic images of every experience, distilled from it when it ends.

    An ``ExemplarsBuffer``: give it to ``ReplayPlugin`` or to whatever takes one, on streams of (x, y) and of
    (x, y, task label) alike::

        memory = DistilledBuffer(100, "dm")
        strategy = Naive(..., plugins=[ReplayPlugin(memory.max_size, storage_policy=memory)])

    Images are distilled as the network sees them when it is tested: under the stream's evaluation transform. Its
    training transform never touches the memory.

    Args:
        max_size: stored images in all. Without it, ``max_bytes`` limits them.
        method: whatever ``limbeck list methods`` names; ``"random"`` and ``"herding"`` pick real images.
        sets: synthetic sets made before, or folders of some, in place of distilling.
        **options: what ``Keeping`` describes: ``max_bytes``, ``storage`` (``"uint8"``), ``seconds`` or ``steps`` of
            distilling for each experience, ``profile`` (``"small"``), ``network`` to look through, ``shrink``,
            ``grows``, ``num_classes``, ``seed``, ``mean`` and ``std``, and sections of a run.

    Attributes:
        max_size: its limit in images; in bytes where only they are limited, which no image falls short of.

    Raises:
        UsageError: an unknown method or option, or no limit.
    """

    def __init__(
        self,
        max_size: int | None = None,
        method: str = "dm",
        *,
        sets: Sequence[SyntheticSet | str | Path] = (),
        **options: Any,
    ) -> None:
        keeping = Keeping.of(type(self).__name__, {"max_size": max_size, "method": method, **options})
        super().__init__(keeping.max_size or keeping.max_bytes)
        self.keeper = Keeper(keeping, sets)
        self._warned = False

    def before_training(self, strategy: Any, **_: Any) -> None:
        """Refuse to be a plugin, which would change nothing: it is what a plugin stores into.

        Raises:
            UsageError: says where it belongs.
        """
        raise UsageError(
            "a DistilledBuffer is a storage policy, not a plugin: plugins=[ReplayPlugin(memory.max_size, "
            "storage_policy=memory)]. DistilledReplay and DistilledGDumb are plugins."
        )

    @property
    def memory(self) -> LimitedMemory | None:
        """What is kept, piece by piece, with its bytes and seconds; None before the first experience."""
        return self.keeper.memory

    def update(self, strategy: Any, **kwargs: Any) -> None:
        """Distil the strategy's experience; what Avalanche's own plugins call."""
        self.post_adapt(strategy, strategy.experience)

    def post_adapt(self, agent_state: Any, exp: Any) -> None:
        """Distil an experience and make room for it.

        Args:
            agent_state: the strategy, whose device is used.
            exp: of Avalanche, in either world.

        Raises:
            UsageError: images or samples it cannot be distilled from, or a memory too small.
        """
        self.keeper.learn(exp, torch.device(getattr(agent_state, "device", "cpu")))
        self._refresh()

    def resize(self, strategy: Any, new_size: int) -> None:
        """Keep ``new_size`` images from now on: old pieces shrink by importance or are distilled again.

        Args:
            strategy: not used.
            new_size: images in all.

        Raises:
            UsageError: fewer than the classes that are kept.
        """
        self.keeper.resize(new_size)
        self.max_size = new_size
        self._refresh()

    def _refresh(self) -> None:
        if self.keeper.is_empty:
            return
        if self.keeper.kept().labels.ndim == 2 and not self._warned:
            self._warned = True
            warnings.warn(
                f"'{self.keeper.keeping.method}' learns soft labels, but a buffer of Avalanche holds classes: the most "
                "probable one is taken. DistilledReplay and DistilledGDumb use the soft labels.",
                LimbeckWarning,
                stacklevel=3,
            )
        self.buffer = self.keeper.dataset()
