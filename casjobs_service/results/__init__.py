"""Results as files of each format, from Arrow record batches."""

from casjobs_service.results.base import NO_COLUMNS, Writer
from casjobs_service.results.compress import ENCODINGS, compressor
from casjobs_service.results.cut import CUT, cut
from casjobs_service.results.formats import FORMATS, writer
from casjobs_service.results.metadata import with_columns
from casjobs_service.results.spool import SpoolError, SpoolWriter, open_spool
from casjobs_service.results.stats import Stats

__all__ = [
    "CUT",
    "ENCODINGS",
    "FORMATS",
    "NO_COLUMNS",
    "SpoolError",
    "SpoolWriter",
    "Stats",
    "Writer",
    "compressor",
    "cut",
    "open_spool",
    "with_columns",
    "writer",
]
