"""The one exception that stands for a person's mistake.

Its message says what was found, what was expected and the way out; the command line prints that
message and nothing else, and exits with 2.
"""


class InputError(ValueError):
    """Something a person gave cannot be used: a value, a file, a store, a machine."""
