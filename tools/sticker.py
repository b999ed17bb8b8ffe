"""The same as `facekp sticker`: see facekp/commands/sticker.py."""

from facekp.commands.main import execute

if __name__ == "__main__":
    execute("sticker")
