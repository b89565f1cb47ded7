"""What `%casjobs` understands: its options and commands. Parsing, help and completion read it from here."""

from __future__ import annotations

from SciServer.magics.arguments import Command, Option, Positional, whole_number

FORMATS = ("pandas", "polars", "arrow", "astropy")
ON_TIMEOUT = ("fail", "queue", "ask")
DIALECTS = ("tsql", "duckdb", "postgresql", "trino", "mssql")
STATUSES = ("ready", "started", "canceling", "canceled", "failed", "finished")

CONTEXT = Option(("--context", "-c"), "Database in which names are looked up.", "CONTEXT", takes="context")
OUTPUT = Option(("--output", "-o"), "Variable for the result, which is not shown then.", "NAME")
FORMAT = Option(("--format", "-f"), "Library whose table the result becomes.", "FORMAT", choices=FORMATS)
LIMIT = Option(("--limit", "-n"), "At most so many rows; it is said if there are more.", "N", whole_number)
TOP = Option(("--top",), "How many, the latest first; 10 if not given.", "N", whole_number)
STATUS = Option(("--status",), "Only those in this state.", "STATUS", choices=STATUSES)

QUERY = (
    CONTEXT,
    OUTPUT,
    FORMAT,
    LIMIT,
    Option(("--submit",), "Send it to the long queue, and do not wait. The value is the job."),
    Option(("--into",), "Table of MyDB for the result. The query runs in the long queue.", "TABLE", takes="new table"),
    Option(
        ("--on-timeout",),
        "When the time of a quick query is over: fail and say how to go on; go on in the long queue and wait; go on, "
        "and ask whether to wait.",
        "WHAT",
        choices=ON_TIMEOUT,
    ),
    Option(("--dialect",), "Of the SQL; tsql if not given.", "NAME", choices=DIALECTS),
    Option(("--name",), "For the history.", "TEXT"),
    Option(("--minutes",), "How long you think that it takes, for the long queue.", "N", whole_number),
)
"""Before a query, in a line or in the first line of a cell."""

JOB = "Its number, or a variable that holds the job."

COMMANDS = (
    Command("contexts", "The databases that you may query."),
    Command(
        "tables",
        "The tables of a database.",
        (Positional("context", "The default one if not given.", "?", takes="context"),),
        (Option(("--search", "-s"), "Only those with this in their name or description.", "TEXT"),),
    ),
    Command(
        "describe",
        "The columns of a table: types, units, descriptions.",
        (Positional("table", "NAME or CONTEXT.NAME", takes="table"),),
        (CONTEXT,),
    ),
    Command(
        "functions",
        "The functions that can be called in a database.",
        (Positional("context", "The default one if not given.", "?", takes="context"),),
        (Option(("--search", "-s"), "Only those with this in their name or description.", "TEXT"),),
    ),
    Command("jobs", "Your jobs in the long queue.", options=(TOP, STATUS)),
    Command(
        "history",
        "All your queries, also quick ones and those that failed.",
        options=(TOP, STATUS, CONTEXT, Option(("--search", "-s"), "Only those with this in their text.", "TEXT")),
    ),
    Command(
        "wait",
        "Wait for the end of a job. An interrupt cancels it.",
        (Positional("job", f"{JOB} The last one of this session if not given.", "?", takes="job"),),
        (Option(("--keep",), "An interrupt ends the waiting, and the job goes on."),),
    ),
    Command(
        "result",
        "What a job has returned.",
        (Positional("job", f"{JOB} The last one of this session if not given.", "?", takes="job"),),
        (Option(("--number",), "Which of its results; all if not given.", "N", whole_number), OUTPUT, FORMAT, LIMIT),
    ),
    Command("cancel", "Cancel jobs.", (Positional("job", JOB, "+", takes="job"),)),
    Command(
        "upload",
        "Make a table in MyDB.",
        (
            Positional("table", "Its name; or MyScratch.NAME", takes="new table"),
            Positional(
                "data",
                "A variable with a table, {{an expression}}, or a CSV, FITS, VOTable, Parquet or Arrow file.",
                takes="data",
            ),
        ),
        (
            Option(("--append",), "Add rows to a table that exists."),
            Option(("--replace",), "Drop the table first if it exists."),
        ),
    ),
    Command(
        "use",
        "Set the default database of this session.",
        (Positional("context", "Its name; without it, the present one is told.", "?", takes="context"),),
    ),
    Command("help", "This page, or that of a command.", (Positional("command", "A command.", "?", takes="command"),)),
)
BY_NAME = {command.name: command for command in COMMANDS}

_BEGINNINGS = """
    select with declare set exec execute create insert update delete drop alter truncate merge if while begin print
    from values pivot unpivot explain show summarize grant revoke
"""
BEGINNINGS = frozenset(_BEGINNINGS.split())
"""Words with which SQL begins: none of them is a command that was misspelt."""

PAGE = """%casjobs [options] SQL        run a query; its value is the result
%%casjobs [options] [NAME]    the same, with the SQL on the lines below; NAME is a variable for the result
%casjobs COMMAND …            one of the commands below; %casjobs help COMMAND says more

{{python}} in the SQL is a value that is bound as a parameter. Of a list, write: in {{values}}
"""


def page() -> str:
    """All there is, for `%casjobs help`."""
    commands = "\n".join(f"  {command.name:<10} {command.help}" for command in COMMANDS)
    options = Command("", "", options=QUERY).usage("%casjobs").partition("options:\n")[2]
    return f"{PAGE}\nCommands:\n{commands}\n\nOptions of a query:\n{options}"
