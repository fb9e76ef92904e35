"""One Triton over gRPC: load and unload by call, predict, and what its errors mean. Several of them: `triton_replicas`.

A bundle travels to Triton inside the load call (three files: configuration, a program of a few lines, the bundle), so
that the service and the server share no folder. After a restart Triton knows no model; the service loads again what
serves. The tensors are those of `bundle_runner.triton_model`, which is installed where Triton runs.
"""

import json

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from inference.domain.messages import PredictionFailure
from inference.domain.model import PredictionSettings
from inference.ports import Answer, ModelBroken, ModelNotLoaded, ProgramDied, ProgramFailed
from radloop.errors import TemporaryError

CONFIG = json.dumps({"backend": "python"})
VERSION = "1"
"""Version of every model: another bundle is another model."""

PROGRAM = b'''"""What Triton's python backend loads for every bundle; the program itself is the installed package `bundle_runner`."""

import os
import site

# The embedded interpreter ignores PYTHONPATH; without this it would not even find numpy.
for folder in filter(None, os.environ.get("RADLOOP_TRITON_SITE", "").split(os.pathsep)):
    site.addsitedir(folder)

from bundle_runner.triton_model import TritonPythonModel  # noqa: E402, F401
'''
"""Equal to ``bundle_runner/model.py``; a test holds the two together."""

_OUTPUTS = ("uncertainty", "embedding", "report")
"""What every answer holds beside the mask."""

_BAD_BUNDLE = "bad-bundle"
"""Code of `bundle_runner.errors.BundleError`."""

# Without the two limits on reconnecting, a client that saw Triton restart may not try again for two minutes.
_CHANNEL = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
]


class TritonServer:
    """The port `ModelServer` on a Triton server.

    Parameters
    ----------
    url : str
        Host and port of its gRPC endpoint.
    predict_timeout_s : float
        Longest time for one image, waiting in Triton's own queue included.
    load_timeout_s : float
        Longest time to load one model.
    """

    def __init__(self, url: str, *, predict_timeout_s: float, load_timeout_s: float) -> None:
        self._client = triton.InferenceServerClient(url, channel_args=_CHANNEL)
        self._predict_timeout_s, self._load_timeout_s = predict_timeout_s, load_timeout_s
        self._is_closed = False

    def is_ready(self) -> bool:
        """Whether the server answers. Never raises."""
        try:
            return not self._is_closed and self._client.is_server_ready(client_timeout=2.0)
        except InferenceServerException:
            return False

    def loaded(self) -> set[str]:
        """Return the names of the models that are ready."""
        try:
            # Not the repository index: it leaves out models whose files came with the load call.
            found = self._client.get_inference_statistics(client_timeout=10.0)
        except InferenceServerException as error:
            raise away(_code(error)) from error
        return {model.name for model in found.model_stats if model.version == VERSION}

    def held(self) -> set[str]:
        """Return the same: one server has what it has."""
        return self.loaded()

    def close(self) -> None:
        """End the connection; what waits for an answer fails as if the server were away."""
        self._is_closed = True
        self._client.close()

    def load(self, name: str, bundle: bytes) -> None:
        """Load a bundle under a name; see `ModelServer.load`."""
        try:
            self._client.load_model(
                name,
                config=CONFIG,
                files={f"file:{VERSION}/model.py": PROGRAM, f"file:{VERSION}/bundle.zip": bundle},
                client_timeout=self._load_timeout_s,
            )
        except InferenceServerException as error:
            if self._is_lost(error):
                raise away(_code(error)) from error
            raise ModelBroken(error.message()) from error
        self._check(name)

    def _check(self, name: str) -> None:
        """Ask a loaded model whether its bundle could be opened; one that could not is unloaded.

        The load call does not tell: Triton would write the words of the bundle's program into its log.
        """
        try:
            self._client.infer(
                name,
                _inputs(np.zeros((1, 1, 1, 1)), np.eye(4)),
                outputs=[triton.InferRequestedOutput("report")],
                model_version=VERSION,
                parameters={"check": True},
                client_timeout=self._load_timeout_s,
            )
        except InferenceServerException as error:
            if self._is_lost(error):
                raise away(_code(error)) from error
            self.unload(name)
            raise ModelBroken(error.message()) from error

    def _is_lost(self, error: InferenceServerException) -> bool:
        """Whether a call failed because of the server; one that let the time pass may be busy, or gone without a word."""
        code = _code(error)
        return code in ("UNAVAILABLE", "CANCELLED") or (code == "DEADLINE_EXCEEDED" and not self.is_ready())

    def unload(self, name: str) -> None:
        """Unload a model; one that is not there is no error."""
        try:
            self._client.unload_model(name, client_timeout=self._load_timeout_s)
        except InferenceServerException as error:
            if _code(error) in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
                raise away(_code(error)) from error

    def predict(
        self, name: str, image: np.ndarray, affine_ras: np.ndarray, seed: int, settings: PredictionSettings
    ) -> Answer:
        """Run a model on one image; see `ModelServer.predict`."""
        parameters = {
            "seed": seed,
            "members": settings.members,
            "overlap": "" if settings.overlap is None else repr(settings.overlap),
            "segment_bits": settings.segment_bits,
        }
        mask = "segment_bits" if settings.segment_bits else "mask"
        try:
            result = self._client.infer(
                name,
                _inputs(image, affine_ras),
                outputs=[triton.InferRequestedOutput(output) for output in (mask, *_OUTPUTS)],
                model_version=VERSION,
                parameters=parameters,
                client_timeout=self._predict_timeout_s,
            )
        except InferenceServerException as error:
            raise self._meaning(error) from error
        except ValueError as error:  # gRPC's answer to a call on a connection that is closed
            if not self._is_closed:
                raise
            raise away() from error
        report = json.loads(result.as_numpy("report").tobytes())
        answer = Answer(
            mask=result.as_numpy(mask),
            uncertainty=result.as_numpy("uncertainty"),
            embedding=result.as_numpy("embedding"),
            scores=report["scores"],
        )
        if not np.isfinite(list(answer.scores.values())).all():
            raise ProgramFailed(PredictionFailure.NOT_FINITE, "a score is not finite")
        return answer

    def _meaning(self, error: InferenceServerException) -> Exception:
        code = _code(error)
        if code == "NOT_FOUND" or (code == "UNAVAILABLE" and self.is_ready()):
            return ModelNotLoaded("model-not-loaded", delay_s=1.0)
        if self._is_lost(error):
            return away(_code(error))
        if code == "INVALID_ARGUMENT":
            return ProgramFailed(PredictionFailure.UNSUITABLE, error.message())
        said, _, _ = error.message().partition(":")
        if said == _BAD_BUNDLE:
            return ModelBroken(error.message())
        if said in set(PredictionFailure):
            return ProgramFailed(PredictionFailure(said), error.message())
        return ProgramDied("program-died", delay_s=2.0, got=code)


def _inputs(image: np.ndarray, affine_ras: np.ndarray) -> list[triton.InferInput]:
    inputs = [triton.InferInput("image", list(image.shape), "FP32"), triton.InferInput("affine", [4, 4], "FP64")]
    inputs[0].set_data_from_numpy(np.ascontiguousarray(image, dtype=np.float32))
    inputs[1].set_data_from_numpy(np.ascontiguousarray(affine_ras, dtype=np.float64))
    return inputs


def _code(error: InferenceServerException) -> str:
    return (error.status() or "").removeprefix("StatusCode.")


def away(got: str = "") -> TemporaryError:
    """Return the error that Triton is away; `got` is gRPC's code."""
    return TemporaryError(
        "triton-away", delay_s=2.0, expected="an answer from Triton", got=got or "none", do="start Triton"
    )
