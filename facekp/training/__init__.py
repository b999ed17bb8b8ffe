"""Training and evaluation: `train(config)`, `evaluate(config, weights)`, and their components."""

from facekp.training.config import Config, load_config
from facekp.training.evaluate import evaluate
from facekp.training.train import Summary, train

__all__ = ["Config", "Summary", "evaluate", "load_config", "train"]
