"""What is plugged into what. The only place that constructs things."""

import time
from functools import partial

from edge_miner.adapters import http
from edge_miner.adapters.masks import MaskExaminer
from edge_miner.adapters.sql import EdgeMinerUnitOfWork
from edge_miner.adapters.tables import metadata
from edge_miner.adapters.timer import RoundTimer
from edge_miner.adapters.wire import WIRE
from edge_miner.domain.messages import DrawSample, EdgeCaseReported, FlagBatch, ModelDeployed, StartCold, StudyIngested
from edge_miner.handlers import HANDLERS
from edge_miner.settings import EdgeMinerSettings
from radloop.dispatch import Dispatcher, Handler
from radloop.objects import open_objects
from radloop.remains_http import Remains, remains_router
from radloop.service import Service, Worker, assemble, open_database

NAME = "edge-miner"
MIGRATIONS = "edge_miner.adapters.migrations"


def build(settings: EdgeMinerSettings) -> Service:
    """Build the service, its schema up to date."""
    shared = settings.shared
    database = open_database(NAME, shared, MIGRATIONS)
    unit_of_work = partial(EdgeMinerUnitOfWork, database, WIRE, source=f"/{shared.site}/edge-miner")
    clock = time.time
    timed = (StudyIngested, ModelDeployed, EdgeCaseReported, DrawSample, FlagBatch)
    handlers: dict[type, Handler] = {
        **HANDLERS,
        **{message: partial(HANDLERS[message], clock=clock) for message in timed},
        StartCold: partial(HANDLERS[StartCold], clock=clock, quiet_s=settings.cold_start_quiet_s),
    }
    dispatcher = Dispatcher(handlers, unit_of_work)
    timer = RoundTimer(dispatcher, unit_of_work, ask_at_once=settings.ask_at_once)
    examiner = MaskExaminer(dispatcher, unit_of_work, open_objects(shared.objects_url))
    return assemble(
        "edge-miner",
        shared,
        database=database,
        wire=WIRE,
        handlers=handlers,
        unit_of_work=unit_of_work,
        routers=[
            http.router(unit_of_work),
            remains_router(
                Remains(
                    NAME,
                    metadata,
                    unit_of_work,
                    "withdrawn_studies",
                    {"entries": "that a case of it was in a round, without anything known of it"},
                )
            ),
        ],
        workers=[
            Worker("rounds", timer.step, settings.poll_s),
            Worker("masks", examiner.step, settings.poll_s),
        ],
    )
