"""Where images lie: on the device as whole splits, or on the host where these do not fit, fetched ahead of their use.

What is fetched is gathered into pinned memory by a thread and copied on a stream of its own, while the device computes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from clbench.dataset import Dataset
from clbench.errors import ClbenchError
from clbench.scenario import Indices, Task

_log = logging.getLogger(__name__)

SHARE = 0.8
"""Of the free memory that images may take. The rest is for networks, optimisers, activations and exemplars, and for
what the allocator cannot use."""


def free_bytes(device: torch.device) -> int | None:
    """Return how much memory can be had on a device; None where images are on the host anyway, or share its memory."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free) + held  # what torch holds and does not use is free for us


def fits(dataset: Dataset, device: torch.device, tasks: Sequence[Task] = ()) -> bool:
    """Return whether all images of a dataset fit on a device; where they do not, that is said once a process.

    Args:
        dataset: On the host.
        device: Where its images will be used.
        tasks: Of a stream, the base split among them; none where episodes are drawn.

    Raises:
        ClbenchError: Not even the largest experience fits.
    """
    free = free_bytes(device)
    if free is None:
        return True
    pixels = dataset.x_train[:1].numel()
    stored = pixels * dataset.x_train.element_size()
    asked = sum(len(task.test) for task in tasks)
    experience = max((len(task.train) for task in tasks), default=0)
    # Beside both splits the union of the test sets, of which there are three copies while it is put in order; and an
    # experience as stored and as float32, which is what learning it takes.
    images = (len(dataset.x_train) + len(dataset.x_test) + 3 * asked) * stored
    if images + experience * (stored + 4 * pixels) <= SHARE * free:
        return True
    if experience * stored > free:
        raise ClbenchError(
            f"the largest experience has {_gigabytes(experience * stored)} of images and {device} has"
            f" {_gigabytes(free)} free; a dataset may be larger than that but no experience of it:"
            " take more experiences, or fewer samples of each (-S samples=…)"
        )
    _say_once(dataset.name, device)
    return False


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.3g} GB"


@lru_cache
def _say_once(name: str, device: torch.device) -> None:
    _log.warning(
        "dataset %s does not fit into the free memory of %s: its images stay in main memory and are"
        " copied as they are needed",
        name,
        device,
    )


class Images(Protocol):
    """The images of a split, from which experiences are gathered."""

    def take(self, rows: Indices, then: Indices | None = None) -> Tensor:
        """Return a copy of those at ``rows`` on the device; ``then`` is what will be asked for next."""


class Resident:
    """Images that lie on the device."""

    def __init__(self, x: Tensor) -> None:
        self._x = x

    def take(self, rows: Indices, then: Indices | None = None) -> Tensor:
        """Return a copy of those at ``rows``."""
        return self._x.index_select(0, torch.as_tensor(rows, device=self._x.device))


class Hosted:
    """Images [N, C, H, W] that lie on the host; what is asked for next is fetched to the device meanwhile."""

    def __init__(self, x: Tensor, device: torch.device) -> None:
        self._x, self._device = x, device
        self._thread = ThreadPoolExecutor(1, "clbench-fetch")
        self._side: torch.cuda.Stream | None = None
        if device.type == "cuda":
            # Of the streams with priority, so that it is none on which steps are recorded (`clbench.graphs`).
            self._side = torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]
        self._coming: tuple[Indices, Future[Tensor]] | None = None

    def take(self, rows: Indices, then: Indices | None = None) -> Tensor:
        """Return a copy of those at ``rows``; begin to fetch those at ``then``, the same array as the next ``rows``."""
        coming, self._coming = self._coming, None
        if coming is None or coming[0] is not rows:
            coming = rows, self._thread.submit(self._fetch, rows)
        if then is not None:
            self._coming = then, self._thread.submit(self._fetch, then)
        x = coming[1].result()
        if self._side is not None:
            # Its memory is the side stream's: not to be used again too early.
            x.record_stream(torch.cuda.current_stream(self._device))
        return x

    def _fetch(self, rows: Indices) -> Tensor:
        at = torch.as_tensor(rows)
        if self._side is None:
            return self._x.index_select(0, at).to(self._device)
        shape = (len(at), *self._x.shape[1:])
        # Only what is on its way is pinned: a pinned split would lie in main memory twice.
        gathered = torch.empty(shape, dtype=self._x.dtype, pin_memory=True)
        torch.index_select(self._x, 0, at, out=gathered)
        with torch.cuda.stream(self._side):
            x = gathered.to(self._device, non_blocking=True)
        self._side.synchronize()  # this thread waits, not the one that learns
        return x
