"""The context `Stripe82`: real and simulated objects of SDSS's stripe 82, seen twenty times by a simulated survey.

`population` says what is in the sky, `runs` when and how well each part of it was observed, `epochs` what was then
measured, `matching` which measurements are of the same object, `build` writes it all down under SDSS's names.
Nothing is drawn twice: with the same `VERSION` the database is the same on every machine.
"""

VERSION = 1
"""Of the simulation; it is the seed of all that is drawn."""
