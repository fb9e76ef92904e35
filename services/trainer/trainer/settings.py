"""Settings of `trainer`."""

from pydantic import Field

from radloop.settings import ServiceSettings, settings_config


class TrainerSettings(ServiceSettings):
    """What a site can set."""

    model_config = settings_config("TRAINER_")

    batch_size: int = Field(default=2, ge=1)
    """Patches in one optimizer step."""

    epoch_steps: int = Field(default=50, ge=1)
    """Optimizer steps between two checkpoints."""

    initial_learning_rate: float = Field(default=5e-3, gt=0)
    """Highest learning rate of a run from random weights."""

    update_learning_rate: float = Field(default=3e-3, gt=0)
    """Highest learning rate of a run from the serving model's weights."""

    threads: int = Field(default=2, ge=1)
    """Threads of the training job. Part of the plan: another number gives other last bits."""

    max_attempts: int = Field(default=3, ge=1)
    """How often the job of a run is started at most; it resumes from its checkpoint."""

    look_interval_s: float = Field(default=0.3, gt=0)
    """Pause between two looks at policies and jobs; seconds."""
