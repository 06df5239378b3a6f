"""Processes an order, and takes all of it back where it fails, expires or is cancelled: a saga."""
