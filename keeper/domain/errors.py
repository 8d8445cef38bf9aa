"""Errors that a person can act on."""


class InputError(ValueError):
    """Bad input or configuration; the message is one line that says what is wrong and what to do."""
