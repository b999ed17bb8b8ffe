"""The same as `facekp predict`: see facekp/commands/predict.py."""

from facekp.commands.main import execute

if __name__ == "__main__":
    execute("predict")
