"""The base of every error whose message is meant for the user."""


class UserError(ValueError):
    """Bad input. The message is one sentence: what was wrong and what to do.

    The commands print it and exit with code 2; anything else that is raised is a fault of the program.
    """
