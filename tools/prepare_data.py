"""The same as `facekp prepare-data`: see facekp/commands/prepare_data.py."""

from facekp.commands.main import execute

if __name__ == "__main__":
    execute("prepare-data")
