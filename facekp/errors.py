"""The one exception that means "the user can mend this"."""


class UserError(Exception):
    """Something the user can mend: a file, a row, a key or an argument.

    The message is one line that names the culprit and the remedy. Command-line tools print it on
    stderr and leave with status 2 (see `facekp.commands.runner.run`); every other exception is a fault of ours.
    """
