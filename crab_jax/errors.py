"""The error that a user can cause, and how a command reports it."""


class UserError(Exception):
  """Wrong input: the message is one clear line that names the culprit.

  The command line turns it into that line on stderr and exit code 2.
  """
