"""What may happen to the images of an experience: nothing, a pixel permutation, a rotation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clbench.seeds import numpy_generator

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Shift:
    """Leaves images as they are; subclasses change them. `x` is [N, C, H, W] at stored dtype."""

    def apply(self, x: Tensor) -> Tensor:
        """Return the changed images, of the same shape and dtype."""
        return x


@dataclass(frozen=True)
class Permutation(Shift):
    """Reorders the H·W pixels, the same way in every channel."""

    seed: int
    index: int
    """The experience's position in the stream."""

    def apply(self, x: Tensor) -> Tensor:
        """Return the images with their pixels permuted."""
        import torch

        generator = numpy_generator(self.seed, "change", self.index)
        order = generator.permutation(x.shape[-2] * x.shape[-1])
        return x.flatten(2)[:, :, torch.as_tensor(order, device=x.device)].view(x.shape)


@dataclass(frozen=True)
class Rotation(Shift):
    """Rotates counter-clockwise about the centre, bilinear, zeros outside."""

    degrees: float

    def apply(self, x: Tensor, chunk: int = 4096) -> Tensor:
        """Return the rotated images; uint8 is rounded back to uint8."""
        import torch
        from torch.nn import functional

        angle = np.deg2rad(self.degrees)
        turn = [[np.cos(angle), -np.sin(angle), 0.0], [np.sin(angle), np.cos(angle), 0.0]]
        height, width = x.shape[-2:]
        turn[0][1] *= height / width  # affine_grid works in units of half the width and height
        turn[1][0] *= width / height
        theta = torch.tensor(turn, dtype=torch.float32, device=x.device)
        grid = functional.affine_grid(theta[None], [1, *x.shape[1:]], align_corners=False)
        rotated = torch.empty_like(x)
        for start in range(0, len(x), chunk):
            part = x[start : start + chunk].float()
            turned = functional.grid_sample(
                part, grid.expand(len(part), -1, -1, -1), align_corners=False
            )
            if not x.dtype.is_floating_point:
                turned = turned.round().clamp(0, 255)
            rotated[start : start + chunk] = turned.to(x.dtype)
        return rotated
