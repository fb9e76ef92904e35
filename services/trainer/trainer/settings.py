"""Settings of `trainer`. Those that begin with `job_` are of interest to `RADLOOP_JOBS_URL=kubernetes:` alone."""

from typing import Any, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from radloop.errors import PermanentError
from radloop.jobs import JobSettings
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

    max_jobs: int = Field(default=0, ge=0)
    """How many jobs may be on at a time, over all projects, the others wait their turn; 0 for any number. A project has one."""

    processes: int = Field(default=1, ge=1, le=64)
    """Processes of one training, each with an even part of every batch and, where there are GPUs, one of its own. Part of the plan."""

    look_interval_s: float = Field(default=0.3, gt=0)
    """Pause between two looks at policies and jobs; seconds."""

    job_image: str = ""
    """Image of the training program, e.g. registry.example.org/radloop/training-job:0.2.0; required for kubernetes:."""

    job_namespace: str = ""
    """Namespace of the Jobs; empty for the trainer's own. The trainer's Role is needed there and nowhere else."""

    job_service_account: str = "default"
    """Service account of the pods; its token is not mounted."""

    job_gpu_resource: str = ""
    """Resource of which a pod asks one for each process, e.g. nvidia.com/gpu; empty to train on CPUs."""

    job_cpu: str = "2"
    """CPUs a pod asks for."""

    job_memory: str = "8Gi"
    """Memory a pod asks for and is held to; what lies in its /dev/shm counts."""

    job_shared_memory: str = "1Gi"
    """Size of a pod's /dev/shm."""

    job_scratch: str = "50Gi"
    """Disk of a pod: copies of the images, checkpoints, the bundle."""

    job_deadline_s: int = Field(default=24 * 3600, ge=60)
    """Seconds after which a Job is ended as failed, the time it waits for a machine included."""

    job_time_to_live_s: int = Field(default=24 * 3600, ge=600)
    """Seconds an ended Job stays to be looked at; the trainer must have come back before."""

    job_backoff_limit: int = Field(default=2, ge=0)
    """How often a crashed pod is made again within one start of the job; evicted and preempted ones are not counted."""

    job_grace_s: int = Field(default=60, ge=5)
    """Seconds a pod has to bring its last checkpoint to the store when it must go."""

    job_queue: str = ""
    """LocalQueue of Kueue; empty for none."""

    job_priority_class: str = ""
    """PriorityClass of the pods; empty for the cluster's default."""

    job_runtime_class: str = ""
    """RuntimeClass of the pods, e.g. nvidia; empty for the cluster's default."""

    job_node_selector: dict[str, str] = {}
    """Labels a node must have; JSON, e.g. {"radloop.io/gpu": "true"}."""

    job_tolerations: list[dict[str, Any]] = []
    """Taints a pod bears; JSON, as in a pod's tolerations."""

    job_pull_secrets: list[str] = []
    """Names of the Secrets the image is pulled with; JSON."""

    job_store_secret: str = ""
    """Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if need be, AWS_SESSION_TOKEN: the only keys a pod gets."""

    job_store_ca_secret: str = ""
    """Secret whose ca.crt signed the object store's certificate; empty for what the image trusts."""

    @field_validator("processes")
    @classmethod
    def _share_batches_evenly(cls, processes: int, info: ValidationInfo) -> int:
        if info.data.get("batch_size", processes) % processes:
            raise ValueError("a divisor of TRAINER_BATCH_SIZE")
        return processes

    @model_validator(mode="after")
    def _reach_objects_from_pods(self) -> Self:
        """Refuse a folder beside a cluster: its pods would wait for a task that lies on the trainer's disk."""
        if self.shared.jobs_url == "kubernetes:" and not self.shared.objects_url.startswith("s3:"):
            raise PermanentError(
                "objects-out-of-reach",
                expected="RADLOOP_OBJECTS_URL=s3://… beside RADLOOP_JOBS_URL=kubernetes:, for a Job's pod reaches nothing else",
                got=self.shared.objects_url.split(":", 1)[0] + ":…",
                do="move the objects to S3 and set RADLOOP_OBJECTS_URL, or train on this machine with RADLOOP_JOBS_URL=process:",
            )
        return self

    def job_settings(self) -> JobSettings:
        """Return what the engine of jobs needs."""
        return JobSettings(
            image=self.job_image,
            namespace=self.job_namespace,
            service_account=self.job_service_account,
            gpu_resource=self.job_gpu_resource,
            gpu_count=self.processes if self.job_gpu_resource else 0,
            cpu=self.job_cpu,
            memory=self.job_memory,
            shared_memory=self.job_shared_memory,
            scratch=self.job_scratch,
            deadline_s=self.job_deadline_s,
            time_to_live_s=self.job_time_to_live_s,
            backoff_limit=self.job_backoff_limit,
            grace_s=self.job_grace_s,
            queue=self.job_queue,
            priority_class=self.job_priority_class,
            runtime_class=self.job_runtime_class,
            node_selector=self.job_node_selector,
            tolerations=self.job_tolerations,
            pull_secrets=self.job_pull_secrets,
            store_secret=self.job_store_secret,
            store_ca_secret=self.job_store_ca_secret,
        )
