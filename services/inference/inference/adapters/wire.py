"""Protobuf to messages and back: the only file here that knows generated classes."""

from inference.domain import messages
from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.contracts.edge_miner.v1 import edge_miner_pb2
from radloop.contracts.inference.v1 import inference_pb2
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.contracts.trainer.v1 import trainer_pb2
from radloop.wire import Wire

WIRE = Wire(
    "inference",
    incoming=[
        (control_plane_pb2.ProjectConfigured, messages.ProjectConfigured),
        (ingest_pb2.StudyIngested, messages.StudyIngested),
        (ingest_pb2.StudyWithdrawn, messages.StudyWithdrawn),
        (edge_miner_pb2.PredictionRequested, messages.PredictionRequested),
        (trainer_pb2.ModelTrained, messages.ModelTrained),
        (control_plane_pb2.ModelPromoted, messages.ModelPromoted),
    ],
    outgoing=[
        (inference_pb2.PredictionMade, messages.PredictionMade),
        (inference_pb2.PredictionFailed, messages.PredictionFailed),
        (inference_pb2.ModelDeployed, messages.ModelDeployed),
    ],
)
