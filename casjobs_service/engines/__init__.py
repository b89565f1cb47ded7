"""Databases that are reached over a network."""
