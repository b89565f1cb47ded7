"""Where one statement of a script ends: T-SQL needs no semicolons."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlglot.tokens import Token, TokenType

STARTERS = frozenset(
    """SELECT WITH INSERT UPDATE DELETE CREATE ALTER DROP TRUNCATE DECLARE SET EXEC EXECUTE IF WHILE BEGIN END PRINT
    USE COMMIT ROLLBACK SAVE RETURN MERGE GRANT REVOKE DENY OPEN FETCH CLOSE DEALLOCATE WAITFOR BACKUP RESTORE DBCC
    RAISERROR THROW CHECKPOINT KILL BULK GOTO BREAK CONTINUE RECONFIGURE SHUTDOWN ELSE""".split()  # noqa: SIM905
)
"""Words that start a statement when nothing before them wants them."""
QUOTED = frozenset({TokenType.IDENTIFIER, TokenType.STRING, TokenType.NATIONAL_STRING})
VERBS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"})

OBJECTS = frozenset(["TABLE", "VIEW", "INDEX", "COLUMN", "CONSTRAINT", "FUNCTION", "PROCEDURE", "PROC"])


@dataclass(slots=True)
class Piece:
    """The tokens of one statement."""

    tokens: list[Token] = field(default_factory=list)
    words: set[str] = field(default_factory=set)
    """Words in capitals that were met outside parentheses."""
    verb: bool = False
    """The statement after a WITH, or the rows of an INSERT, have begun."""
    batch: int = 0
    """Number of GO before it."""

    @property
    def first(self) -> str:
        """First word, in capitals."""
        return self.tokens[0].text.upper() if self.tokens and self.tokens[0].token_type not in QUOTED else ""

    @property
    def start(self) -> int:
        """Offset of its first character."""
        return self.tokens[0].start

    @property
    def end(self) -> int:
        """Offset after its last character."""
        return self.tokens[-1].end + 1


def split(tokens: list[Token], text: str) -> list[Piece]:
    """Statements of a script, in order. ``GO`` on a line of its own and semicolons end one."""
    pieces: list[Piece] = []
    piece = Piece()
    depth = cases = batch = 0

    def finish() -> None:
        nonlocal piece, depth, cases
        if piece.tokens:
            pieces.append(piece)
        piece, depth, cases = Piece(batch=batch), 0, 0

    skip = 0
    for index, token in enumerate(tokens):
        if skip:
            skip -= 1
            continue
        kind = token.token_type
        if kind == TokenType.SEMICOLON:
            finish()
            continue
        word = "" if kind in QUOTED else token.text.upper()
        if word == "GO" and _alone(tokens, index, text):
            batch += 1
            finish()
            skip = int(_count_follows(tokens, index, text))
            continue
        if depth == 0:
            if word == "CASE":
                cases += 1
            elif word == "END" and cases:
                cases -= 1
            elif word in STARTERS and not cases and piece.tokens and _starts(piece, tokens, index, word):
                finish()
        if kind == TokenType.L_PAREN:
            depth += 1
        elif kind == TokenType.R_PAREN:
            depth = max(0, depth - 1)
        if depth == 0:
            piece.words.add(word)
            if piece.tokens and word in (VERBS if piece.first == "WITH" else {"SELECT", "VALUES", "EXEC", "EXECUTE"}):
                piece.verb = True
        piece.tokens.append(token)
    finish()
    return pieces


def _starts(piece: Piece, tokens: list[Token], index: int, word: str) -> bool:
    """Whether the word, met within `piece`, starts the next statement."""
    before = tokens[index - 1]
    previous = "" if before.token_type in QUOTED else before.text.upper()
    following = tokens[index + 1].text.upper() if index + 1 < len(tokens) else ""
    first = piece.first
    if before.token_type in (TokenType.DOT, TokenType.COMMA, TokenType.L_PAREN, TokenType.EQ):
        return False
    if previous in ("AS", "ON", "THEN", "FOR") and not (previous == "ON" and first == "SET"):
        return False
    match word:
        case "SELECT":
            if previous in ("UNION", "ALL", "EXCEPT", "INTERSECT") and not {"UNION", "EXCEPT", "INTERSECT"}.isdisjoint(
                piece.words
            ):
                return False
            return not (first in ("WITH", "INSERT") and not piece.verb)
        case "WITH":
            return (
                index + 2 < len(tokens) and following != "(" and tokens[index + 2].text.upper() in ("AS", "(")
            ) and first not in ("CREATE", "ALTER")
        case "INSERT" | "UPDATE" | "DELETE" | "MERGE":
            if first == "WITH" and not piece.verb:
                return False
            return not (first in ("CREATE", "ALTER") and "TRIGGER" in piece.words) and first != "GRANT"
        case "SET":
            return not (
                first in ("UPDATE", "WITH") and "UPDATE" in piece.words and "SET" not in piece.words
            ) and first not in ("ALTER",)
        case "EXEC" | "EXECUTE":
            return not (first == "INSERT" and not piece.verb) and first not in ("GRANT", "REVOKE", "DENY")
        case "DROP" | "ALTER" | "CREATE":
            return first != "ALTER" or not {"ADD", "DROP", "ALTER"}.isdisjoint(
                {item.text.upper() for item in piece.tokens[1:]}
            )
        case "IF":
            return first not in ("DROP", "ALTER") or previous not in OBJECTS
        case "FETCH":
            return previous not in ("ROW", "ROWS")
        case "OPEN" | "CLOSE" | "SAVE" | "BACKUP" | "KILL" | "BULK" | "CHECKPOINT" | "RESTORE" | "SHUTDOWN" | "THROW":
            # Only words in T-SQL: elsewhere they are names.
            return "\n" in _between(tokens, index) or previous in ("", ")")
        case _:
            return True


def _between(tokens: list[Token], index: int) -> str:
    return "\n" if tokens[index].line != tokens[index - 1].line else ""


def _alone(tokens: list[Token], index: int, text: str) -> bool:
    """Whether the word GO stands on a line of its own, alone or with a count."""
    token = tokens[index]
    before = text.rfind("\n", 0, token.start) + 1
    if text[before : token.start].strip():
        return False
    after = text.find("\n", token.end)
    rest = text[token.end + 1 : after if after >= 0 else len(text)].split("--")[0].strip().rstrip(";").strip()
    return not rest or rest.isdigit()


def _count_follows(tokens: list[Token], index: int, text: str) -> bool:
    return (
        index + 1 < len(tokens)
        and tokens[index + 1].token_type == TokenType.NUMBER
        and "\n" not in text[tokens[index].end : tokens[index + 1].start]
    )
