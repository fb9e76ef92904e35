"""What Triton's python backend loads for every bundle; the program itself is the installed package `bundle_runner`."""

import os
import site

# The embedded interpreter ignores PYTHONPATH; without this it would not even find numpy.
for folder in filter(None, os.environ.get("RADLOOP_TRITON_SITE", "").split(os.pathsep)):
    site.addsitedir(folder)

from bundle_runner.triton_model import TritonPythonModel  # noqa: E402, F401
