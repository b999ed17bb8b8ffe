"""The same as `facekp train`: see facekp/commands/train.py."""

from facekp.commands.main import execute

if __name__ == "__main__":
    execute("train")
