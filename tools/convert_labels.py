"""The same as `facekp convert-labels`: see facekp/commands/convert_labels.py."""

from facekp.commands.main import execute

if __name__ == "__main__":
    execute("convert-labels")
