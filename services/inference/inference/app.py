"""What is plugged into what: the only place that constructs things."""

import socket
from functools import partial

from inference.adapters import http
from inference.adapters.references import needed, retention
from inference.adapters.sql import InferenceSqlUnitOfWork, SqlPredictionQueue
from inference.adapters.tables import METADATA
from inference.adapters.triton import TritonServer
from inference.adapters.triton_replicas import TritonReplicas
from inference.adapters.wire import WIRE
from inference.adapters.workers import ModelKeeper, ModelLoader, ObjectSweeper, PredictionWorker
from inference.domain.messages import AskForPrediction, PredictionRequested, StudyIngested
from inference.domain.model import PredictionSettings
from inference.handlers import HANDLERS
from inference.settings import InferenceSettings
from radloop.dispatch import Dispatcher
from radloop.objects import answers, open_objects
from radloop.objects.sweep import Sweeper
from radloop.objects.sweep_http import sweep_router
from radloop.remains_http import Remains, remains_router
from radloop.service import Service, Worker, assemble, open_database

NAME = "inference"
MIGRATIONS = "inference.adapters.migrations"


def build(settings: InferenceSettings) -> Service:
    """Construct the service; nothing runs yet, and Triton may be away."""
    shared = settings.shared
    database = open_database(NAME, shared, MIGRATIONS)
    objects = open_objects(shared.objects_url)
    unit_of_work = partial(InferenceSqlUnitOfWork, database, WIRE, source=f"/{shared.site}/inference")
    chosen = PredictionSettings(settings.members, settings.overlap)
    handlers = {
        kind: partial(handler, settings=chosen)
        if kind in (StudyIngested, PredictionRequested, AskForPrediction)
        else handler
        for kind, handler in HANDLERS.items()
    }
    dispatch = Dispatcher(handlers, unit_of_work).dispatch

    connect = partial(
        TritonServer, predict_timeout_s=settings.predict_timeout_s, load_timeout_s=settings.load_timeout_s
    )
    server = TritonReplicas(shared.triton_url, connect)
    loader = ModelLoader(server, objects, chosen)
    # Held for longer than an attempt can take: loading, predicting, storing.
    queue = SqlPredictionQueue(
        database,
        settings.place or socket.gethostname(),
        hold_s=2 * settings.predict_timeout_s + settings.load_timeout_s,
    )
    keeper = ModelKeeper(server, loader, unit_of_work, dispatch)
    predicting = PredictionWorker(
        queue,
        server,
        loader,
        objects,
        dispatch,
        chosen,
        keep_uncertainty=settings.keep_uncertainty,
        keep_embedding=settings.keep_embedding,
    )
    api = http.InferApi(
        dispatch,
        unit_of_work,
        objects,
        server.is_ready,
        settings=chosen,
        wait_s=settings.wait_s,
        bundle_limit_bytes=settings.bundle_limit_bytes,
    )
    sweeper = Sweeper("inference", objects, unit_of_work, needed, retention(settings.keep_maps_days))
    return assemble(
        "inference",
        shared,
        database=database,
        wire=WIRE,
        handlers=handlers,
        unit_of_work=unit_of_work,
        routers=[
            http.router(api),
            sweep_router(sweeper, shared.sweep_shortest_grace_s),
            remains_router(Remains(NAME, METADATA, unit_of_work, "withdrawn", {}, objects)),
        ],
        checks={"objects": partial(answers, objects)},
        workers=[
            Worker("models", keeper.step, 0.5),
            *(Worker(f"predictions-{number}", predicting.step, 0.2) for number in range(1, settings.in_flight + 1)),
            Worker("withdrawn-objects", ObjectSweeper(objects, unit_of_work).step, 1.0),
        ],
        on_start=[queue.release_all],
    )
