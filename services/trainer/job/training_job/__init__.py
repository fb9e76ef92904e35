"""The training program: reads a plan, writes checkpoints, a MONAI Bundle and a result.

It meets the trainer in files only: ``python -m training_job PLAN.json`` reads the task, keeps ``progress.json`` and
``checkpoints/`` while it works, and ends with ``bundle.zip`` and ``result.json``. It holds no credentials and speaks to nobody.
In a cluster, ``python -m training_job.pod`` stands beside it and carries these files to and from the object store.
"""
