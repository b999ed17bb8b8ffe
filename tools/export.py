"""The same as `facekp export`: see facekp/commands/export.py."""

from facekp.commands.main import execute

if __name__ == "__main__":
    execute("export")
