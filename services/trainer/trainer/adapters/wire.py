"""Which contract class is which message of this service."""

from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.contracts.edge_miner.v1 import edge_miner_pb2
from radloop.contracts.inference.v1 import inference_pb2
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.contracts.qa.v1 import qa_pb2
from radloop.contracts.trainer.v1 import trainer_pb2
from radloop.wire import Wire
from trainer.domain import messages

WIRE = Wire(
    "trainer",
    incoming=[
        (control_plane_pb2.ProjectConfigured, messages.ProjectConfigured),
        (control_plane_pb2.TrainingRequested, messages.TrainingRequested),
        (ingest_pb2.StudyIngested, messages.StudyIngested),
        (ingest_pb2.StudyWithdrawn, messages.StudyWithdrawn),
        (qa_pb2.LabelApproved, messages.LabelApproved),
        (edge_miner_pb2.EdgeCaseFlagged, messages.EdgeCaseFlagged),
        (inference_pb2.ModelDeployed, messages.ModelDeployed),
    ],
    outgoing=[
        (trainer_pb2.TrainingStarted, messages.TrainingStarted),
        (trainer_pb2.TrainingWaiting, messages.TrainingWaiting),
        (trainer_pb2.ModelTrained, messages.ModelTrained),
        (trainer_pb2.TrainingFailed, messages.TrainingFailed),
    ],
)
