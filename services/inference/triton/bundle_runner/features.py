"""The embedding of a case: pooled features of the layer where the network sees most at once.

The layer is found by a look at the shapes, so that no bundle has to name it: of all convolutions, the one with the fewest
output voxels (the bottleneck of an encoder and decoder), the last of them where several tie. A network that never gets
coarser has no bottleneck; there the input of its last convolution is taken (the penultimate features).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_CONVOLUTIONS = (torch.nn.Conv3d, torch.nn.ConvTranspose3d)


@torch.no_grad()
def find_feature_layer(network: torch.nn.Module, sample: torch.Tensor) -> tuple[str, str] | None:
    """Find the layer whose features embed a case.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode.
    sample : torch.Tensor
        float32, shape ``(1, C, I, J, K)``, of the size of one window.

    Returns
    -------
    tuple of (str, str) or None
        Name of the module and whether its "output" or its "input" counts; None for a network without 3-D convolutions.
    """
    seen: list[tuple[str, int]] = []
    handles = []
    for name, module in network.named_modules():
        if isinstance(module, _CONVOLUTIONS):
            handles.append(
                module.register_forward_hook(
                    lambda _module, _inputs, output, name=name: seen.append((name, output[0, 0].numel()))
                )
            )
    try:
        network(sample)
    finally:
        for handle in handles:
            handle.remove()
    if not seen:
        return None
    fewest = min(voxels for _, voxels in seen)
    if all(voxels == fewest for _, voxels in seen):
        return seen[-1][0], "input"
    return [name for name, voxels in seen if voxels == fewest][-1], "output"


@contextmanager
def collected_features(network: torch.nn.Module, layer: tuple[str, str] | None) -> Iterator[list[torch.Tensor]]:
    """Collect the pooled features of every window that passes through `network` inside the ``with`` block.

    Yields
    ------
    list of torch.Tensor
        Grows by one float32 ``(windows, F)`` with each forward pass; stays empty where there is no layer.
    """
    pooled: list[torch.Tensor] = []
    if layer is None:
        yield pooled
        return
    name, side = layer

    def collect(_module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        features = output if side == "output" else inputs[0]
        pooled.append(features.detach().float().flatten(2).mean(dim=2).cpu())

    handle = network.get_submodule(name).register_forward_hook(collect)
    try:
        yield pooled
    finally:
        handle.remove()


def embedding_of(pooled: list[torch.Tensor]) -> torch.Tensor:
    """Return float32 ``(F,)``: the mean over all windows; ``(0,)`` where nothing was collected."""
    return torch.cat(pooled).mean(dim=0) if pooled else torch.zeros(0)
