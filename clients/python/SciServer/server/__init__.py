"""What the Jupyter server extensions `jupyter_casjobs` and `jupyter_scidrive` share: a streaming proxy to one service.

Nothing here needs more than jupyter-server has loaded anyway, so that a server starts as fast as without it.
"""
