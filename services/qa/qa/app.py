"""What is plugged into what."""

from functools import partial

from qa.adapters.agreement import Agreements
from qa.adapters.http import create_router
from qa.adapters.masks import StoredMasks
from qa.adapters.sql import QaSqlUnitOfWork
from qa.adapters.tables import METADATA
from qa.adapters.wire import WIRE
from qa.adapters.worker import Checker
from qa.domain.messages import RecordExamination
from qa.handlers import HANDLERS, Policy, record_examination
from qa.settings import QaSettings
from radloop.dispatch import Dispatcher
from radloop.messages import Envelope, Message
from radloop.objects import answers, open_objects
from radloop.remains_http import Remains, remains_router
from radloop.service import Service, Worker, assemble, open_database

NAME = "qa"
MIGRATIONS = "qa.adapters.migrations"


def build(settings: QaSettings) -> Service:
    """Make the service, its database migrated."""
    shared = settings.shared
    database = open_database(NAME, shared, MIGRATIONS)
    unit_of_work = partial(QaSqlUnitOfWork, database, WIRE, source=f"/{shared.site}/{NAME}")
    read = partial(unit_of_work, read_only=True)
    key = settings.draw_key.get_secret_value() if settings.draw_key else shared.site
    policy = Policy(draw_key=key.encode(), surface_limit_mm=settings.surface_limit_mm, gold_share=settings.gold_share)
    handlers = {**HANDLERS, RecordExamination: partial(record_examination, policy=policy)}

    def dispatch(command: Message, cause: Envelope | None) -> None:
        Dispatcher(handlers, partial(unit_of_work, cause=cause)).dispatch(command)

    objects = open_objects(shared.objects_url)
    masks = StoredMasks(objects)
    checker = Checker(read, masks, dispatch, settings.prediction_wait_s)
    return assemble(
        NAME,
        shared,
        database=database,
        wire=WIRE,
        handlers=handlers,
        unit_of_work=unit_of_work,
        routers=[
            create_router(Dispatcher(handlers, unit_of_work), unit_of_work, Agreements(masks)),
            remains_router(Remains(NAME, METADATA, unit_of_work, "withdrawn", {})),
        ],
        checks={"objects": partial(answers, objects)},
        workers=[Worker("checker", checker.step, settings.check_interval_s)],
    )
