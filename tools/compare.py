"""The same as `facekp compare`: see facekp/commands/compare.py."""

from facekp.commands.main import execute

if __name__ == "__main__":
    execute("compare")
