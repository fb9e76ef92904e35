"""Runs models in Triton and says what they see: which bundle serves each project, and every prediction made with it."""
