"""The same as `facekp plot`: see facekp/commands/plot.py."""

from facekp.commands.main import execute

if __name__ == "__main__":
    execute("plot")
