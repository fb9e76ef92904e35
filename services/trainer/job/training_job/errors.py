"""Why a training ends without a model. Each error has an exit code, so that the trainer need not read prose.

Details hold numbers and names of parameters, never an identifier.
"""

EXIT_BAD_PLAN = 3
EXIT_DIVERGED = 4


class TrainingError(Exception):
    """A training that cannot end with a model; trying again gives the same."""

    exit_code: int
    reason: str


class BadPlan(TrainingError):
    """The plan cannot be carried out."""

    exit_code = EXIT_BAD_PLAN
    reason = "bad-plan"


class Diverged(TrainingError):
    """The loss was not finite."""

    exit_code = EXIT_DIVERGED
    reason = "diverged"
