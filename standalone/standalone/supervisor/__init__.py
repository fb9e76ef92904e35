"""Starts every process of a platform on one machine, keeps them running and ends them."""
