"""Entry point of `python -m facekp.commands NAME ...`."""

from facekp.commands.main import main

main()
