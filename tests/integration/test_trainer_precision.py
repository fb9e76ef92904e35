"""The gradients of one step are the same however often they are taken: nothing is read that nobody has written."""

import numpy as np
import pytest
import torch

from training_job.network import build, network_definition
from training_job.team import uses_bf16

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("patch", [(16, 16, 16), (24, 24, 24), (16, 48, 32), (32, 48, 32)])
def test_the_same_step_has_the_same_gradients(patch: tuple[int, int, int]) -> None:
    torch.manual_seed(1)
    network = build(network_definition(1, 3)).train()
    images, labels = torch.randn(2, 1, *patch), torch.randint(0, 3, (2, *patch))

    def gradients() -> dict[str, np.ndarray]:
        network.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=uses_bf16(torch.device("cpu"), patch)):
            logits = network(images)
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        return {name: weights.grad.numpy().copy() for name, weights in network.named_parameters()}

    first = gradients()
    for size in range(1, 6):
        memory = torch.full((size, 5000), float("nan"))  # what may be found where nobody has written
        del memory
        for name, gradient in gradients().items():
            assert np.array_equal(gradient, first[name]), name
