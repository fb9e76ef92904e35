"""What is plugged into what."""

import time
from functools import partial

from radloop.dispatch import Dispatcher
from radloop.jobs import open_jobs
from radloop.objects import answers, open_objects
from radloop.objects.sweep import Sweeper
from radloop.objects.sweep_http import sweep_router
from radloop.remains_http import Remains, remains_router
from radloop.service import Service, Worker, assemble, open_database
from trainer.adapters.http import create_router
from trainer.adapters.job_worker import JobWorker
from trainer.adapters.policy_worker import PolicyWorker
from trainer.adapters.references import needed
from trainer.adapters.run_files import FolderRunFiles, RunFiles, ShelfRunFiles
from trainer.adapters.sql import TrainerSqlUnitOfWork
from trainer.adapters.tables import METADATA
from trainer.adapters.wire import WIRE
from trainer.domain.messages import LabelApproved, StartRun
from trainer.domain.plan import Recipe
from trainer.handlers import HANDLERS, keep_label, start_run
from trainer.settings import TrainerSettings

NAME = "trainer"
MIGRATIONS = "trainer.adapters.migrations"
_CLUSTER_LOOK_S = 2.0
"""Shortest pause between two looks at the Jobs of a cluster, whose API server has others to serve, too."""


def build(settings: TrainerSettings) -> Service:
    """Make the service, its database migrated."""
    shared = settings.shared
    database = open_database(NAME, shared, MIGRATIONS)
    objects = open_objects(shared.objects_url, shared.work_dir)
    unit_of_work = partial(TrainerSqlUnitOfWork, database, WIRE, source=f"/{shared.site}/{NAME}")
    read = partial(unit_of_work, read_only=True)
    recipe = Recipe(
        batch_size=settings.batch_size,
        epoch_steps=settings.epoch_steps,
        initial_learning_rate=settings.initial_learning_rate,
        update_learning_rate=settings.update_learning_rate,
        threads=settings.threads,
        processes=settings.processes,
    )
    handlers = {
        **HANDLERS,
        LabelApproved: partial(keep_label, now=time.time),
        StartRun: partial(start_run, site=shared.site, recipe=recipe, store=objects),
    }
    dispatcher = Dispatcher(handlers, unit_of_work)
    jobs = open_jobs(shared.jobs_url, shared.work_dir, settings.job_settings())
    on_this_machine = shared.jobs_url == "process:"
    files: RunFiles = (
        FolderRunFiles(shared.work_dir, objects) if on_this_machine else ShelfRunFiles(objects, shared.objects_url)
    )
    job_worker = JobWorker(dispatcher, read, jobs, files, objects, settings.max_attempts, settings.max_jobs)
    policy_worker = PolicyWorker(dispatcher, read)
    return assemble(
        NAME,
        shared,
        database=database,
        wire=WIRE,
        handlers=handlers,
        unit_of_work=unit_of_work,
        routers=[
            create_router(dispatcher, unit_of_work, objects, job_worker.progress, files.logs, shared.work_dir),
            sweep_router(Sweeper(NAME, objects, unit_of_work, needed), shared.sweep_shortest_grace_s),
            remains_router(
                Remains(
                    NAME,
                    METADATA,
                    unit_of_work,
                    "withdrawn",
                    {
                        "dataset_studies": "which dataset versions contained it",
                        "withdrawn_datasets": "the same, for a person to see",
                    },
                    objects,
                )
            ),
        ],
        checks={"objects": partial(answers, objects)},
        workers=[
            Worker("policy", policy_worker.step, settings.look_interval_s),
            Worker("jobs", job_worker.step, max(settings.look_interval_s, 0 if on_this_machine else _CLUSTER_LOOK_S)),
        ],
    )
