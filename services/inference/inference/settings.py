"""The service's own settings, `INFERENCE_*`; what is shared stands in `RADLOOP_*`."""

from pydantic import Field

from radloop.settings import ServiceSettings, settings_config


class InferenceSettings(ServiceSettings):
    """How predictions are made, and how much at once."""

    model_config = settings_config("INFERENCE_")

    in_flight: int = Field(default=2, ge=1, le=64)
    """Number of predictions with Triton at the same time, all its replicas together; the others wait in the table."""

    members: int = Field(default=0, ge=0)
    """Number of a bundle's members (weights files) that predict; 0 for all. Changes every prediction's identity."""

    overlap: float | None = Field(default=None, ge=0.0, le=0.9)
    """Overlap of sliding windows, 0..0.9; unset for the bundle's own. Changes every prediction's identity."""

    keep_uncertainty: bool = True
    """Whether uncertainty maps are stored."""

    keep_embedding: bool = True
    """Whether embeddings are stored."""

    keep_maps_days: float = Field(default=0.0, ge=0.0)
    """Days after which `radloop objects sweep` removes uncertainty maps and embeddings; 0 keeps them. Masks and scores stay."""

    predict_timeout_s: float = Field(default=600.0, gt=0)
    """Seconds Triton may take for one case, waiting in its own queue included."""

    load_timeout_s: float = Field(default=300.0, gt=0)
    """Seconds Triton may take to load a model."""

    wait_s: float = Field(default=120.0, gt=0)
    """Seconds a request to POST /v1/infer waits for its prediction."""

    bundle_limit_bytes: int = Field(default=2_000_000_000, gt=0, le=2_000_000_000)
    """Largest bundle that may be brought, in bytes; gRPC carries no more than 2 GB in one message."""

    place: str = ""
    """Name of this process's place, empty for the host's name; what it held before a restart under the same name is free at
    once."""
