"""What `qa` does: one function per message; what it returns goes to the outbox in the same transaction.

Label-submitted only opens or continues a review. The checks run in a worker (`adapters/worker.py`), which answers with the
command `RecordExamination`.
"""

from collections.abc import Callable, Mapping

from qa.domain import messages
from qa.handlers import gold, reviews
from qa.handlers.gold import Policy
from qa.handlers.reviews import record_examination
from radloop.messages import Message

__all__ = ["HANDLERS", "Policy", "record_examination"]

HANDLERS: Mapping[type, Callable[..., list[Message]]] = {
    messages.ProjectConfigured: reviews.keep_project,
    messages.StudyIngested: reviews.keep_cases,
    messages.PredictionMade: reviews.keep_prediction,
    messages.LabelSubmitted: reviews.take_label,
    messages.StudyWithdrawn: reviews.forget_study,
    messages.RecordExamination: record_examination,
    messages.ApproveReview: reviews.approve_review,
    messages.ReturnReview: reviews.return_review,
    messages.NameGold: gold.name_gold,
    messages.DropGold: gold.drop_gold,
}
"""``record_examination`` takes a `Policy` as well; `app.py` binds it."""
