"""The same as `facekp check-labels`: see facekp/commands/check_labels.py."""

from facekp.commands.main import execute

if __name__ == "__main__":
    execute("check-labels")
