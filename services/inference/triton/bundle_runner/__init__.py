"""The Triton program that runs any MONAI Bundle.

`bundle.open_bundle` and `predict.predict` are plain torch and run anywhere, in a training job too; `triton_model` is the
skin around them that Triton's python backend calls; `repository` and `server` lay a model out for Triton and start the
bundled server. Importing this package imports none of them, so that `repository` and `server` do without torch.
"""
