"""Which bundles run in bfloat16: those that say so, on a processor made for it."""

from types import SimpleNamespace

import pytest
import torch

from bundle_runner import predict


@pytest.mark.parametrize(
    ("metadata", "device", "fast", "expected"),
    [
        ({"radloop": {"precision": "bfloat16"}}, "cpu", True, True),
        ({"radloop": {"precision": "bfloat16"}}, "cpu", False, False),
        ({"radloop": {"precision": "bfloat16"}}, "cuda", False, True),
        ({"radloop": {}}, "cpu", True, False),
        ({}, "cpu", True, False),
    ],
)
def test_a_bundle_runs_in_bfloat16_only_when_it_says_so(monkeypatch, metadata, device, fast, expected) -> None:
    monkeypatch.setattr(predict, "fast_bf16", lambda: fast)
    bundle = SimpleNamespace(metadata=metadata, device=torch.device(device))
    assert predict._in_bfloat16(bundle) is expected
