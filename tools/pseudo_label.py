"""The same as `facekp pseudo-label`: see facekp/commands/pseudo_label.py."""

from facekp.commands.main import execute

if __name__ == "__main__":
    execute("pseudo-label")
