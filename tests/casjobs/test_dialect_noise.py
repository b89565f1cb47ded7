"""Whatever text comes, the translator answers with a plan or with an error for users; it never fails itself."""

from __future__ import annotations

import random
import re

from casjobs_service.errors import Kind, QueryError
from tests.casjobs.dialect_support import CORPUS, DATA, Laboratory
from tests.casjobs.test_dialect_native import CONTEXTS, REMOTE

TRIES = 4000


def test_noise() -> None:
    laboratory = Laboratory(DATA, *REMOTE)
    mine = laboratory.databases.catalog("MyDB")
    assert mine is not None
    # Nothing is run: the catalogue of MyDB need not be read each time.
    laboratory.databases = type(laboratory.databases)(laboratory.engine, *REMOTE, mine)
    texts = [
        block.rpartition("\n-->")[0] or block
        for name in ("queries.txt", "changes.txt", "refused.txt", "sdss.txt")
        for block in (CORPUS / name).read_text().split("\n\n")
    ]
    texts += (CORPUS / "locked.txt").read_text().splitlines()
    words = [re.findall(r"\w+|\s+|[^\w\s]", text) for text in texts]
    pool = [word for text in words for word in text if not word.isspace()]
    noise = random.Random(20)
    refused: list[QueryError] = []
    for _ in range(TRIES):
        text = list(noise.choice(words))
        for _ in range(noise.randint(1, 3)):
            place = noise.randrange(len(text) + 1)
            if noise.random() < 0.5:
                del text[place : place + 1]
            else:
                text.insert(place, noise.choice(pool))
        dialect = noise.choice(["tsql", "tsql", "tsql", *CONTEXTS])
        try:
            laboratory.translate("".join(text), CONTEXTS[dialect], dialect=dialect)
        except QueryError as error:
            refused.append(error)
    assert TRIES / 4 < len(refused) < TRIES
    assert all(error.message and error.kind is not Kind.INTERNAL for error in refused)
