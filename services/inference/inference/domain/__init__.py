"""What is true of models, deployments and predictions; the standard library, numpy and radloop's value types only."""
