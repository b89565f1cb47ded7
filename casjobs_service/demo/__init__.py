"""Demonstration data: real catalogues from packages, as contexts, and a database in the shape of SDSS's made of them.

Nothing of the data is in this repository: some of it may only be passed on under its own licence. The packages bring
it when the platform is installed; `casjobs_service.demo.loading` makes the databases on the operator's machine.
"""
