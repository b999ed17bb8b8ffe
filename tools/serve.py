"""The same as `facekp serve`: see facekp/commands/serve.py."""

from facekp.commands.main import execute

if __name__ == "__main__":
    execute("serve")
