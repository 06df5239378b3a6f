"""Analyses a document: its language, its readability, its keywords."""
