"""Sandboxed processes, one for each running query."""
