"""Macros of DuckDB that the translator's own rewriting needs. Their parameters end in ``_``, as no column does."""

from __future__ import annotations

MACROS: dict[str, str] = {}
"""By name: the statement that makes it."""


def _macro(call: str, body: str) -> None:
    MACROS[call.split("(", 1)[0]] = f"CREATE OR REPLACE TEMP MACRO {call} AS ({body})"


_FAILED = "error('Conversion failed when converting the text ''' || x_ || ''' to {}.')"
_WHOLE = r"regexp_full_match(trim(x_), '[+-]?\d+')"
_EXACT = r"regexp_full_match(trim(x_), '[+-]?(\d+\.?\d*|\.\d+)')"
_FLOAT = r"regexp_full_match(trim(x_), '[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?')"

# Texts as numbers. T-SQL reads '' as 0, and '12.5' is no integer.
_macro(
    "cj_whole(x_)",
    f"CASE WHEN x_ IS NULL THEN NULL WHEN trim(x_) = '' THEN '0' WHEN {_WHOLE} THEN trim(x_)"
    f" ELSE {_FAILED.format('an integer')} END",
)
_macro("cj_try_whole(x_)", f"CASE WHEN trim(x_) = '' THEN '0' WHEN {_WHOLE} THEN trim(x_) END")
_macro(
    "cj_exact(x_)",
    f"CASE WHEN x_ IS NULL THEN NULL WHEN {_EXACT} THEN trim(x_) ELSE {_FAILED.format('a decimal')} END",
)
_macro("cj_try_exact(x_)", f"CASE WHEN {_EXACT} THEN trim(x_) END")
_macro(
    "cj_float(x_)",
    f"CASE WHEN x_ IS NULL THEN NULL WHEN trim(x_) = '' THEN '0' WHEN {_FLOAT} THEN trim(x_)"
    f" ELSE {_FAILED.format('a float')} END",
)
_macro("cj_try_float(x_)", f"CASE WHEN trim(x_) = '' THEN '0' WHEN {_FLOAT} THEN trim(x_) END")
_macro(
    "cj_bit(x_)",
    "CASE WHEN x_ IS NULL THEN NULL WHEN lower(trim(x_)) = 'true' THEN true"
    " WHEN lower(trim(x_)) = 'false' OR trim(x_) = '' THEN false"
    f" WHEN {_WHOLE} THEN CAST(trim(x_) AS BIGINT) <> 0 ELSE {_FAILED.format('a bit')} END",
)
_macro(
    "cj_try_bit(x_)",
    "CASE WHEN lower(trim(x_)) = 'true' THEN true WHEN lower(trim(x_)) = 'false' OR trim(x_) = '' THEN false"
    f" WHEN {_WHOLE} THEN CAST(trim(x_) AS BIGINT) <> 0 END",
)

_SIGN = "CASE WHEN whole_ < 0 THEN '00' ELSE '01' END"
_DIGITS = "lpad(hex(abs(whole_)), 2 * size_, '0')"
_REVERSED = f"array_to_string(list_transform(range(size_), lambda k: substr({_DIGITS}, 2 * (size_ - k) - 1, 2)), '')"
_macro(
    "cj_decimal_bytes(whole_, header_, size_, length_)",
    f"unhex(right(repeat('0', 2 * length_) || header_ || {_SIGN} || {_REVERSED}, 2 * length_))",
)

# Texts as dates: the forms that SQL Server reads with the language us_english.
_FORMATS = ", ".join(
    f"'{form}'"
    for form in (
        "%Y-%m-%d %H:%M:%S.%f",
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%dT%H:%M:%S.%f",
        "%Y-%m-%dT%H:%M:%S",
        "%Y-%m-%d",
        "%Y%m%d %H:%M:%S",
        "%Y%m%d",
        "%m/%d/%Y %H:%M:%S",
        "%m/%d/%Y %H:%M",
        "%m/%d/%Y",
        "%m-%d-%Y",
        "%Y/%m/%d",
        "%b %d %Y",
        "%b %d, %Y",
        "%B %d, %Y",
        "%d %b %Y",
        "%d %B %Y",
        "%b %d %Y %I:%M%p",
    )
)
_macro("cj_try_datetime(x_)", f"try_strptime(trim(x_), [{_FORMATS}])")
_macro(
    "cj_datetime(x_)",
    f"CASE WHEN x_ IS NULL THEN NULL WHEN trim(x_) = '' THEN TIMESTAMP '1900-01-01'"
    f" WHEN try_strptime(trim(x_), [{_FORMATS}]) IS NOT NULL THEN try_strptime(trim(x_), [{_FORMATS}])"
    f" ELSE {_FAILED.format('a date')} END",
)

# Numbers as texts: six digits, and three in the exponent.
_EXPONENT = r"regexp_replace({}, 'e([+-])(\d\d)$', 'e\g<1>0\2')".replace(r"\g<1>", r"\1")
_macro("cj_text_of_float(x_)", _EXPONENT.format("format('{:.6g}', CAST(x_ AS DOUBLE))"))
_macro("cj_text_of_float_1(x_)", _EXPONENT.format("format('{:.7e}', CAST(x_ AS DOUBLE))"))
_macro("cj_text_of_float_2(x_)", _EXPONENT.format("format('{:.15e}', CAST(x_ AS DOUBLE))"))
_macro("cj_text_of_float_3(x_)", _EXPONENT.format("format('{:.16e}', CAST(x_ AS DOUBLE))"))
_macro(
    "cj_text_of_datetime(x_)",
    "strftime(x_, '%b ') || lpad(CAST(day(x_) AS VARCHAR), 2, ' ') || strftime(x_, ' %Y ')"
    " || lpad(strftime(x_, '%-I'), 2, ' ') || strftime(x_, ':%M%p')",
)
_macro(
    "cj_fit(x_, length_)",
    "CASE WHEN length(x_) > length_ THEN error('Arithmetic overflow: ' || x_ || ' needs more than ' || length_"
    " || ' characters.') ELSE x_ END",
)

# Texts
_macro(
    "cj_substring(x_, start_, length_)",
    "CASE WHEN length_ < 0 THEN error('Invalid length parameter passed to SUBSTRING.')"
    " WHEN start_ < 1 THEN substring(x_, 1, greatest(0, length_ + start_ - 1))"
    " ELSE substring(x_, start_, length_) END",
)
_macro(
    "cj_left(x_, length_)",
    "CASE WHEN length_ < 0 THEN error('Invalid length parameter passed to LEFT.') ELSE left(x_, length_) END",
)
_macro(
    "cj_right(x_, length_)",
    "CASE WHEN length_ < 0 THEN error('Invalid length parameter passed to RIGHT.') ELSE right(x_, length_) END",
)
_macro("cj_repeat(x_, count_)", "CASE WHEN count_ < 0 THEN NULL ELSE repeat(x_, count_) END")
_macro(
    "cj_index(part_, x_, start_)",
    "CASE WHEN part_ = '' THEN 0 WHEN instr(lower(substring(x_, greatest(start_, 1))), lower(part_)) = 0"
    " AND x_ IS NOT NULL THEN 0"
    " ELSE instr(lower(substring(x_, greatest(start_, 1))), lower(part_)) + greatest(start_, 1) - 1 END",
)
_macro(
    "cj_replace(x_, old_, new_)",
    "CASE WHEN old_ = '' THEN x_ ELSE regexp_replace(x_, regexp_escape(old_), replace(new_, '\\', '\\\\'), 'gi') END",
)
_macro(
    "cj_stuff(x_, start_, length_, new_)",
    "CASE WHEN start_ < 1 OR length_ < 0 OR start_ > length(x_) THEN NULL"
    " ELSE left(x_, start_ - 1) || coalesce(new_, '') || substring(x_, start_ + length_) END",
)
_macro(
    "cj_like(x_, pattern_)",
    "CASE WHEN contains(pattern_, '[')"
    " THEN error('A pattern of LIKE with [ must be written in the query, not computed.')"
    " ELSE x_ ILIKE pattern_ END",
)
# Room for decimals: what the whole part and the point leave.
_ROOM = "greatest(0, length_ - length(format('{:.0f}', trunc(CAST(x_ AS DOUBLE)))) - 1)"
_macro(
    "cj_str(x_, length_, digits_)",
    "CASE WHEN x_ IS NULL THEN NULL WHEN length(format('{:.' || least(digits_, 16) || 'f}', cj_round(x_, digits_)))"
    " <= length_ THEN lpad(format('{:.' || least(digits_, 16) || 'f}', cj_round(x_, digits_)), length_, ' ')"
    " WHEN length(format('{:.0f}', cj_round(x_, 0))) > length_ THEN repeat('*', length_)"
    f" ELSE lpad(format('{{:.' || {_ROOM} || 'f}}', cj_round(x_, {_ROOM})), length_, ' ') END",
)
_macro(
    "cj_round(x_, digits_)",
    "CASE WHEN digits_ > 15 THEN CAST(x_ AS DOUBLE) ELSE round(CAST(x_ AS DOUBLE), CAST(digits_ AS INTEGER)) END",
)
_macro("cj_is_number(x_)", f"CAST({_FLOAT.replace('trim(x_)', 'coalesce(trim(x_), ' + chr(39) * 2 + ')')} AS INTEGER)")
_macro(
    "cj_is_date(x_)",
    f"CAST(try_strptime(coalesce(trim(x_), ''), [{_FORMATS}]) IS NOT NULL AS INTEGER)",
)

# Dates
_macro(
    "cj_week(x_)",
    "CAST(floor((dayofyear(x_) - 1 + dayofweek(date_trunc('year', x_))) / 7) + 1 AS INTEGER)",
)

# Weeks since the Sunday before 1900: T-SQL counts the Sundays between two dates.
_macro("cj_weeks(x_)", "CAST(floor(date_diff('day', DATE '1899-12-31', CAST(x_ AS DATE)) / 7) AS BIGINT)")

NEEDS = {"cj_str": ("cj_round",)}
"""Macros that others call."""
