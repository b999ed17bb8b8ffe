"""Tasks that networks can be trained for: each combines data, codec, loss, metrics, drawing and evaluation."""

from facekp.tasks.boxes import BoxesTask
from facekp.tasks.points import PointsTask
from facekp.tasks.task import Evaluation, EvaluationSettings, Task, TaskData

#: Name in a config -> task.
TASKS: dict[str, Task] = {task.name: task for task in (PointsTask(), BoxesTask())}

__all__ = ["TASKS", "Evaluation", "EvaluationSettings", "Task", "TaskData"]
