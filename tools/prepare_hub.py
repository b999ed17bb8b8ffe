"""The same as `facekp prepare-hub`: see facekp/commands/prepare_hub.py."""

from facekp.commands.main import execute

if __name__ == "__main__":
    execute("prepare-hub")
