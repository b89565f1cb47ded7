"""IPython's configuration for all users: notebooks know `%casjobs` and `%scidrive` without `%load_ext SciServer`."""

import importlib.util

# A Python without the package, as in an environment of the user's own, starts as if this file were not there. What
# goes wrong in the package itself is a warning of IPython's.
if importlib.util.find_spec("SciServer"):
    c.InteractiveShellApp.extensions.append("SciServer")  # noqa: F821 - `c` is given by traitlets
