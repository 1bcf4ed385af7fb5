"""Networks: every image size, and weights that depend on the init seed alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch

from clbench.experience import StreamInfo
from clbench.networks import Conv4, NetworkName, StridedConv4, choose, make_network
from clbench.seeds import Seeds
from tests.toys import make, stream_of

INFO = stream_of("class-incremental").info
SIZES = [(8, 8), (9, 7), (16, 12), (28, 28), (32, 32), (84, 84)]
NAMES: tuple[NetworkName, ...] = ("mlp", "conv4")


def info(shape: tuple[int, int, int], classes: int = 7, **seeds: int) -> StreamInfo:
    """Return a stream's facts with this shape."""
    return replace(INFO, shape=shape, classes=classes, seeds=Seeds.of(0, **seeds))


@pytest.mark.parametrize(("name", "channels", "size"), [*product(NAMES, (1, 3), SIZES)])
def test_every_image_size(name: NetworkName, channels: int, size: tuple[int, int]) -> None:
    shape = channels, *size
    network = make_network(name, [6, 5], info(shape))
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    logits = network(x)
    assert logits.shape == (3, 7)
    assert logits.isfinite().all()
    logits.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert not torch.equal(logits[0], logits[1])  # it looks at the image


@pytest.mark.parametrize("name", NAMES)
def test_no_output_depends_on_the_rest_of_its_batch(name: NetworkName) -> None:
    network = make_network(name, [8], info((3, 12, 12)))
    x = torch.randn(5, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    for mode in (True, False):  # while learning, too
        network.train(mode)
        alone = torch.cat([network(x[i : i + 1]) for i in range(5)])
        torch.testing.assert_close(network(x), alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("channels", "size"), [*product((1, 3), SIZES)])
def test_batch_statistics_are_used_while_learning_and_after(
    channels: int, size: tuple[int, int]
) -> None:
    network = StridedConv4((channels, *size), 6, 5)
    x = torch.randn(4, channels, *size, generator=torch.Generator().manual_seed(0))
    learning, after = network.train()(x), network.eval()(x)
    assert learning.shape == (4, 5)
    assert torch.equal(learning, after)
    assert not torch.allclose(network(x[:2]), after[:2])
    assert set(network.state_dict()) == {name for name, _ in network.named_parameters()}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 8, 8), "mlp"),
        ((1, 28, 28), "mlp"),
        ((1, 32, 32), "mlp"),
        ((1, 32, 33), "conv4"),
        ((1, 84, 84), "conv4"),
        ((3, 32, 32), "conv4"),
    ],
)
def test_auto(shape: tuple[int, int, int], expected: str) -> None:
    assert choose("auto", shape) == expected
    assert choose("mlp", shape) == "mlp"
    assert choose("conv4", shape) == "conv4"
    assert isinstance(make_network("auto", [4], info(shape)), Conv4) == (expected == "conv4")


def test_hidden_sets_the_widths() -> None:
    mlp = make_network("mlp", [11, 13], info((1, 8, 8)))
    shapes = [tuple(p.shape) for p in mlp.parameters()]
    assert shapes == [(11, 64), (11,), (13, 11), (13,), (7, 13), (7,)]
    conv = make_network("conv4", [9, 13], info((3, 32, 32)))
    assert [p.shape[0] for p in conv.parameters() if p.ndim == 4] == [9] * 4


@pytest.mark.parametrize("name", NAMES)
def test_weights_depend_on_the_init_seed_alone(name: NetworkName) -> None:
    def weights(**seeds: int) -> bytes:
        network = make_network(name, [4], info((1, 8, 8), **seeds))
        return b"".join(p.detach().numpy().tobytes() for p in network.parameters())

    first = weights()
    torch.manual_seed(123)
    assert weights() == first
    assert weights(order=1, train=1, memory=1) == first
    assert weights(init=1) != first


@pytest.mark.parametrize("name", NAMES)
def test_global_random_state_is_left_alone(
    name: NetworkName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of every device: on a GPU it is global, too."""
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    before = torch.get_rng_state()
    make_network(name, [4], info((1, 8, 8)))
    assert torch.equal(torch.get_rng_state(), before)
    assert seeded == []


@pytest.mark.parametrize("name", NAMES)
def test_xavier_fills_its_interval_and_leaves_biases_at_zero(name: NetworkName) -> None:
    network = make_network(name, [60, 40], info((1, 28, 28)), "xavier")
    layers = [m for m in network.modules() if isinstance(m, (torch.nn.Linear, torch.nn.Conv2d))]
    for layer in layers:
        assert layer.bias is not None
        assert not layer.bias.any()
        pixels = layer.weight[0, 0].numel()
        bound = (6 / (pixels * (layer.weight.shape[0] + layer.weight.shape[1]))) ** 0.5
        assert 0.95 * bound < float(layer.weight.detach().abs().max()) <= bound
    usual = make_network(name, [60, 40], info((1, 28, 28)))
    assert not torch.equal(next(usual.parameters()), next(network.parameters()))


def test_a_strategy_takes_the_initialisation_it_is_told() -> None:
    ours: Any = make("finetune", INFO, initialisation="xavier")
    assert not ours.network.layers[0].bias.any()
    usual: Any = make("finetune", INFO)
    assert usual.network.layers[0].bias.all()
    assert "initialisation" not in usual.parameters.specified()
