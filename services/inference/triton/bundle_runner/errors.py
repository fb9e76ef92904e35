"""Why a bundle cannot be used or cannot predict: one exception per code, so that the caller need not read prose.

The code is the first word of what Triton sends back, "<code>: <explanation>"; the inference service maps it to the
reason it announces. An explanation holds shapes and names of the bundle, never anything of the study.
"""


class BundleError(Exception):
    """A bundle that cannot be used: a file is missing, configuration or weights do not fit, too many segments for bits."""

    code = "bad-bundle"


class UnsuitableImage(Exception):
    """The bundle does not fit the image: number of channels or of dimensions."""

    code = "unsuitable"


class NotFinite(Exception):
    """The network gave values that are not finite. There is no prediction and no score then."""

    code = "not-finite"


class ProgramRaised(Exception):
    """The bundle's own transforms, network or inferer raised; the cause is chained."""

    code = "program-raised"
