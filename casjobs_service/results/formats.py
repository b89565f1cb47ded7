"""The formats, by name and by media type.

=============  ====================================  ==============  ================
name           media types                           several tables  needs a spool
=============  ====================================  ==============  ================
json-array     application/json+array,               yes             no
               application/json
csv            text/csv, text/plain                  no              no
tsv            text/tab-separated-values             no              no
ndjson         application/x-ndjson                  no              no
arrow          application/vnd.apache.arrow.stream   no              no
parquet        application/vnd.apache.parquet        no              no
fits           application/fits                      yes             yes
votable        application/x-votable+xml             yes             no
votable-td     application/x-votable+xml;            yes             no
               serialization=tabledata
=============  ====================================  ==============  ================
"""

from __future__ import annotations

from casjobs_service.results.arrow import ArrowStream, Parquet
from casjobs_service.results.base import Writer
from casjobs_service.results.delimited import Csv, Tsv
from casjobs_service.results.jsons import JsonArrays, Ndjson

FORMATS: dict[str, type[Writer]] = {
    format.name: format for format in (JsonArrays, Csv, Tsv, Ndjson, ArrowStream, Parquet)
}

MEDIA_TYPES: dict[str, str] = {
    **{format.media_type: format.name for format in reversed(FORMATS.values())},
    "application/json": JsonArrays.name,
    "text/plain": Csv.name,
}
"""Name of the format for each media type that a client may ask for, without parameters other than `serialization`."""


def writer(name: str) -> Writer:
    """A new writer.

    Raises
    ------
    KeyError
        No format has this name.
    """
    return FORMATS[name]()
