"""The skin Triton's python backend calls: tensors to `predict.predict` and back.

Tensors cross by DLPack in both directions. The python backend of the bundled server was built against numpy 1; with numpy
2 its ``as_numpy()`` gives wrong values and ``Tensor(name, array)`` sends none, both silently. DLPack is right with either,
and does not copy. Strings cannot cross by DLPack: what is asked comes as request parameters, what is said beside the
arrays goes as UTF-8 JSON in a uint8 tensor.

A request carries ``image`` float32 ``(C, I, J, K)``, ``affine`` float64 ``(4, 4)`` (voxel to RAS, mm) and the parameters
``seed`` (integer), ``members`` (0 for all), ``overlap`` (text, empty for the bundle's own) and ``segment_bits`` (boolean).
The answer holds ``mask`` uint8 ``(I, J, K)`` (or, as an output of Triton has one type, ``segment_bits`` uint32
``(I, J, K)`` instead, where a request wants those), ``uncertainty`` float32 ``(I, J, K)`` (nats), ``embedding`` float32
``(F,)`` and ``report``, the JSON object ``{"scores": {name: value}, "members": n}``. An error reads
"<code>: <explanation>", see `errors`.

A bundle that cannot be opened is loaded all the same, and every request is answered with the reason: what a load call fails
with is written to Triton's log, and the words of a stranger's program have no place there. With the parameter ``check`` a
request is answered with nothing but that error or an empty ``report``.
"""

import json
from pathlib import Path
from typing import Any

INPUTS = (("image", "TYPE_FP32", [-1, -1, -1, -1]), ("affine", "TYPE_FP64", [4, 4]))
OUTPUTS = (
    ("mask", "TYPE_UINT8", [-1, -1, -1]),
    ("segment_bits", "TYPE_UINT32", [-1, -1, -1]),
    ("uncertainty", "TYPE_FP32", [-1, -1, -1]),
    ("embedding", "TYPE_FP32", [-1]),
    ("report", "TYPE_UINT8", [-1]),
)
BUNDLE_FILE = "bundle.zip"


class TritonPythonModel:
    """One bundle in one Triton model instance."""

    @staticmethod
    def auto_complete_config(config: Any) -> Any:
        """Declare the tensors, so that a model's configuration need name nothing but the backend."""
        for name, kind, shape in INPUTS:
            config.add_input({"name": name, "data_type": kind, "dims": shape})
        for name, kind, shape in OUTPUTS:
            config.add_output({"name": name, "data_type": kind, "dims": shape})
        config.set_max_batch_size(0)
        return config

    def initialize(self, args: dict[str, str]) -> None:
        """Open the bundle; why it cannot be opened is what every request is answered with."""
        # Here and not above: Triton also starts this file only to ask for the configuration, and torch takes seconds.
        import torch
        import triton_python_backend_utils

        from bundle_runner.bundle import open_bundle
        from bundle_runner.errors import BundleError
        from bundle_runner.output import discard_output

        discard_output()
        on_gpu = args["model_instance_kind"] == "GPU" and torch.cuda.is_available()
        device = f"cuda:{args['model_instance_device_id']}" if on_gpu else "cpu"
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        self._triton = triton_python_backend_utils
        folder = Path(args["model_repository"]) / args["model_version"]
        self._bundle, self._refusal = None, ""
        try:
            self._bundle = open_bundle(folder / BUNDLE_FILE, device)
        # Whatever it is: raised from here, its text would stand in Triton's log.
        except Exception as error:
            self._refusal = f"{BundleError.code}: {error}"

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request; one that fails does not touch the others."""
        return [self._answer(request) for request in requests]

    def finalize(self) -> None:
        """Remove what was unpacked."""
        if self._bundle is not None:
            self._bundle.close()

    def _answer(self, request: Any) -> Any:
        import torch

        from bundle_runner.errors import BundleError, NotFinite, ProgramRaised, UnsuitableImage
        from bundle_runner.predict import predict

        triton = self._triton
        if self._bundle is None:
            return triton.InferenceResponse(error=triton.TritonError(self._refusal))
        if json.loads(request.parameters() or "{}").get("check"):
            report = torch.frombuffer(bytearray(b"{}"), dtype=torch.uint8)
            return triton.InferenceResponse(output_tensors=[triton.Tensor.from_dlpack("report", report)])
        try:
            image, affine = (
                torch.from_dlpack(triton.get_input_tensor_by_name(request, name).to_dlpack()) for name, _, _ in INPUTS
            )
            seed, settings = read_parameters(request.parameters())
            prediction = predict(self._bundle, image, affine, seed, settings)
        except (BundleError, NotFinite, ProgramRaised, UnsuitableImage) as error:
            return triton.InferenceResponse(error=triton.TritonError(f"{error.code}: {error}"))
        # The bundle is a stranger's code: the request must be answered whatever it raises.
        except Exception as error:
            return triton.InferenceResponse(
                error=triton.TritonError(f"{ProgramRaised.code}: {type(error).__name__}: {error}")
            )
        report = json.dumps({"scores": prediction.scores, "members": prediction.members}).encode()
        tensors = {
            "segment_bits" if settings.segment_bits else "mask": prediction.mask,
            "uncertainty": prediction.uncertainty,
            "embedding": prediction.embedding,
            "report": torch.frombuffer(bytearray(report), dtype=torch.uint8),
        }
        wanted = request.requested_output_names()
        return triton.InferenceResponse(
            output_tensors=[
                triton.Tensor.from_dlpack(name, tensor.contiguous())
                for name, tensor in tensors.items()
                if name in wanted
            ]
        )


def read_parameters(text: str) -> tuple[int, Any]:
    """Return the seed and the settings from a request's parameters.

    Parameters
    ----------
    text : str
        JSON object as the python backend gives it; empty for none.

    Returns
    -------
    tuple of (int, PredictionSettings)
        Seed 0 and the bundle's own settings where nothing is said.
    """
    from bundle_runner.predict import PredictionSettings

    values = json.loads(text) if text else {}
    overlap = str(values.get("overlap", ""))
    settings = PredictionSettings(
        members=int(values.get("members", 0)),
        overlap=float(overlap) if overlap else None,
        segment_bits=bool(values.get("segment_bits", False)),
    )
    return int(values.get("seed", 0)), settings
