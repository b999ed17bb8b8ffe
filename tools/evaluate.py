"""The same as `facekp evaluate`: see facekp/commands/evaluate.py."""

from facekp.commands.main import execute

if __name__ == "__main__":
    execute("evaluate")
