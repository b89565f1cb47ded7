"""The formats.

==========  ==================================  ==============  =============
name        media type                          several tables  needs a spool
==========  ==================================  ==============  =============
json-array  application/json+array              yes             no
csv         text/csv                            no              no
tsv         text/tab-separated-values           no              no
ndjson      application/x-ndjson                no              no
arrow       application/vnd.apache.arrow.stream no              no
parquet     application/vnd.apache.parquet      no              no
fits        application/fits                    yes             yes
votable     application/x-votable+xml           yes             no
votable-td  text/xml                            yes             no
==========  ==================================  ==============  =============
"""

from __future__ import annotations

from casjobs_service.results.arrow import ArrowStream, Parquet
from casjobs_service.results.base import Writer
from casjobs_service.results.delimited import Csv, Tsv
from casjobs_service.results.fits import Fits
from casjobs_service.results.jsons import JsonArrays, Ndjson
from casjobs_service.results.votable import VoTable, VoTableText

FORMATS: dict[str, type[Writer]] = {
    format.name: format for format in (JsonArrays, Csv, Tsv, Ndjson, ArrowStream, Parquet, Fits, VoTable, VoTableText)
}


def writer(name: str) -> Writer:
    """A new writer.

    Raises
    ------
    KeyError
        No format has this name.
    """
    return FORMATS[name]()
