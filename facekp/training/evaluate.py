"""Evaluation of weights on the validation split of a config."""

from __future__ import annotations

import json
from pathlib import Path

from facekp import plots
from facekp.errors import UserError
from facekp.io.files import atomic_path
from facekp.io.images import write_image
from facekp.tasks import Evaluation, EvaluationSettings
from facekp.training.config import Config


def evaluate(
    config: Config, weights: str, settings: EvaluationSettings | None = None, output: Path | None = None
) -> Evaluation:
    """Evaluate weights, and write the results.

    Args:
        config: Config of the training, whose validation data are used.
        weights: Path of weights; for face detectors also the name of another detector, such as "haar".
        settings: Settings of the evaluation; None: on the crops of training.
        output: Folder for `metrics.json`, and for points the error curve and the ten worst faces; None writes nothing.

    Returns:
        The tables; for points also the worst faces and the errors.

    Raises:
        UserError: The weights do not fit the config, or a setting does not apply to its task.
    """
    if output is not None and output.exists() and not output.is_dir():
        raise UserError(f"{output}: is a file; choose another --output")
    result = config.what.evaluate(config, weights, settings or EvaluationSettings())
    if output is not None:
        with atomic_path(output / "metrics.json") as temporary:
            temporary.write_text(json.dumps(result.tables, indent=2) + "\n", encoding="utf-8")
        if result.errors is not None:
            plots.save_error_curve(result.errors, output / "error_curve.png")
        if result.worst is not None:
            write_image(output / "worst.png", result.worst)
    return result
