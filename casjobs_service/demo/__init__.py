"""Demonstration contexts, made at install from published catalogues."""
