"""The error that a user can do something about."""


class AppError(Exception):
    """One line that names the wrong value, where it came from and what is allowed."""


def one_line(error: BaseException) -> str:
    """Return the message of ``error`` as one line, with its type unless it is an `AppError`."""
    text = " ".join(str(error).split()) or "no message"
    return text if isinstance(error, AppError) else f"{type(error).__name__}: {text}"
