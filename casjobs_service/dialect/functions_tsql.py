"""T-SQL's own functions that DuckDB lacks, or does differently."""

from __future__ import annotations

from casjobs_service.dialect.functions_macro import Macro, columns


def _macro(
    name: str,
    parameters: str,
    returns: str,
    description: str,
    body: str,
    needs: tuple[str, ...] = (),
    optional: tuple[str, ...] = (),
) -> Macro:
    return Macro(name, columns(parameters), returns, description, body, needs, optional, sdss=False)


# LIKE's pattern as a regular expression. Classes [a-z] and [^a-z] mean the same in both; the other characters that
# mean something in regular expressions are escaped first.
_REGEX = (
    "replace(replace(replace(replace(regexp_replace(pattern_, '([.*+?(){}|\\\\$])', '\\\\\\1', 'g'),"
    " '%', '.*'), '_', '.'), '[.]', '[_]'), '[.*]', '[%]')"
)

MACROS: tuple[Macro, ...] = (
    _macro(
        "_fixed",
        "number DOUBLE, decimals INTEGER",
        "VARCHAR",
        "Number with so many decimals, halves away from zero",
        "printf('%.' || greatest(decimals_, 0) || 'f', round(number_, greatest(decimals_, 0)))",
    ),
    _macro(
        "STR",
        "number DOUBLE, length INTEGER, decimals INTEGER",
        "VARCHAR",
        "Number as text, right-aligned in so many characters; asterisks if it does not fit",
        # Decimals that do not fit are dropped; whole digits that do not fit are an error shown as asterisks.
        "CASE WHEN length_ < length(ss__fixed(number_, 0)) THEN repeat('*', length_::BIGINT)"
        " ELSE lpad(ss__fixed(number_, least(decimals_, 16,"
        " greatest(length_ - length(ss__fixed(number_, 0)) - 1, 0))), length_, ' ') END",
        ("_fixed",),
        ("10", "0"),
    ),
    _macro(
        "ROUND",
        "number ANY, digits INTEGER, truncate INTEGER",
        "ANY",
        "Rounded to so many digits, or (truncate not 0) cut",
        "CASE WHEN coalesce(truncate_, 0) = 0 THEN round(number_, digits_::INTEGER)"
        " ELSE trunc(number_ * 10e0 ** digits_) / 10e0 ** digits_ END",
        optional=("0",),
    ),
    _macro(
        "PATINDEX",
        "pattern VARCHAR, text VARCHAR",
        "INTEGER",
        "Place, from 1, at which a pattern of LIKE begins in a text; 0 if nowhere",
        # The leading % of the usual '%x%' only says that the pattern may begin anywhere.
        "CASE WHEN pattern_ IS NULL OR text_ IS NULL THEN NULL"
        " WHEN NOT regexp_matches(text_, ss__patregex(pattern_)) THEN 0"
        " WHEN pattern_[1] <> '%' THEN 1"
        " ELSE 1 + length(regexp_extract(text_, '(?s)^(.*?)' || ss__patregex(ltrim(pattern_, '%'), false), 1)) END",
        ("_patregex",),
    ),
    _macro(
        "_patregex",
        "pattern VARCHAR, whole BOOLEAN",
        "VARCHAR",
        "Regular expression, for any case, of a pattern of LIKE",
        f"CASE WHEN whole_ THEN '(?is)^' ELSE '(?is)' END || {_REGEX} || '$'",
        optional=("true",),
    ),
    _macro(
        "STUFF",
        "text VARCHAR, start INTEGER, length INTEGER, new VARCHAR",
        "VARCHAR",
        "Text with a part replaced",
        "CASE WHEN start_ < 1 OR length_ < 0 OR start_ > length(text_) THEN NULL"
        " ELSE substr(text_, 1, start_ - 1) || coalesce(new_, '') || substr(text_, start_ + length_) END",
    ),
    _macro(
        "QUOTENAME",
        "name VARCHAR, quote VARCHAR",
        "VARCHAR",
        "Name in brackets or other quotes",
        "CASE WHEN quote_ IN ('[', ']') THEN '[' || replace(name_, ']', ']]') || ']'"
        " WHEN quote_ IN ('''', '\"') THEN quote_ || replace(name_, quote_, quote_ || quote_) || quote_ END",
        optional=("'['",),
    ),
    _macro(
        "ISNUMERIC",
        "text VARCHAR",
        "INTEGER",
        "1 if a text is a number",
        "CASE WHEN TRY_CAST(trim(text_) AS DOUBLE) IS NOT NULL AND regexp_matches(text_, '[0-9]') THEN 1 ELSE 0 END",
    ),
    _macro(
        "LEN",
        "text VARCHAR",
        "INTEGER",
        "Number of characters without blanks at the end",
        "CAST(length(rtrim(text_, ' ')) AS INTEGER)",
    ),
)

REFUSED: dict[str, str] = {}
