"""Fine-tuning: train on each experience in turn and do nothing against forgetting; the lower reference."""

from __future__ import annotations

from clbench.gradient import GradientStrategy


class Finetune(GradientStrategy):
    """Cross-entropy on the current experience."""
