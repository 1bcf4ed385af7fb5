"""Our networks in the shapes that Avalanche's strategies expect."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from avalanche.models.base_model import BaseModel
from torch import Tensor, nn

from clbench.experience import StreamInfo
from clbench.networks import MLP, Conv4, make_network


class SplitNetwork(BaseModel, nn.Module):  # type: ignore[misc]
    """One of our networks, with its last layer apart: the weights and logits are the same."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        head = _take_head(network)
        self.feature_extractor = network
        self.classifier = head  # after the features: CoPE and LFL take what comes last for it

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [N, units] of normalised images [N, C, H, W]."""
        return self.classifier(self.feature_extractor(x))  # type: ignore[no-any-return]

    def get_features(self, x: Tensor) -> Tensor:
        """Return what the last layer is given, [N, features]."""
        return self.feature_extractor(x)  # type: ignore[no-any-return]

    @property
    def features(self) -> int:
        """The number of features."""
        return int(self.classifier.in_features)


def _take_head(network: nn.Module) -> nn.Linear:
    """Return the network's last layer and put an identity in its place."""
    if isinstance(network, MLP):
        head, network.layers[-1] = network.layers[-1], nn.Identity()
    elif isinstance(network, Conv4):
        head, network.head = network.head, nn.Identity()  # type: ignore[assignment]
    assert isinstance(head, nn.Linear)
    return head


def split(parameters: Any, info: StreamInfo, units: int | None = None) -> SplitNetwork:
    """Return a freshly initialised network with as many outputs as the stream has classes, or ``units``."""
    sized = replace(info, classes=units or info.classes)
    return SplitNetwork(make_network(parameters.network, parameters.hidden, sized))
