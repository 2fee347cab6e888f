"""Plain SQL in the transactions of flwr's states.

Stock has SQLAlchemy's ORM build each statement anew, look its text up in a cache, and make an object of each row, which
takes far longer than the statement itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

AT_ONCE = 500  # parameters of one statement; SQLite takes 999 at least
Rows = list[tuple[Any, ...]]


class Statements:
    """Plain statements in a session's transaction."""

    def __init__(self, session: Any) -> None:
        session.flush()  # what stock has changed within this transaction
        self._connection = session.connection()

    def do(self, statement: str, *parameters: Any) -> Rows:
        """Run one; return its rows."""
        result = self._connection.exec_driver_sql(statement, parameters)
        return [tuple(row) for row in result] if result.returns_rows else []

    def for_each(self, statement: str, several: Rows) -> None:
        """Run one with each of several parameters."""
        if several:
            self._connection.exec_driver_sql(statement, several)

    def of(self, statement: str, among: Iterable[str | int], *parameters: Any, ending: str = "") -> Rows:
        """Run one that ends in `… IN`, with a list of values that may be long, and `ending`; return all its rows."""
        values, rows = list(among), []
        for start in range(0, len(values), AT_ONCE):
            part = values[start : start + AT_ONCE]
            rows += self.do(f"{statement} ({','.join('?' * len(part))}) {ending}", *parameters, *part)
        return rows
