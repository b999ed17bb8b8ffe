"""Training in child processes that are killed: imports Paddle once, and forks a child for every start of a run.

Not a test: `test_resume.py` runs it as a separate process, so that Paddle starts its threads only after the fork.
"""

import json
import os
import signal
import sys
import traceback


def in_child(act):
    """Run a function in a forked child process; return its wait status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    code = 1
    try:
        act()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def train_and_die(config, options, resume, epoch):
    """Train until an epoch is finished, then end this process with SIGKILL; with None, train to the end."""
    from facekp.training import load_config, train
    from facekp.training.callbacks import Checkpoints

    finish = Checkpoints.on_eval_end

    def on_eval_end(self, logs=None):
        finish(self, logs)
        if self.state.epoch == epoch:
            os.kill(os.getpid(), signal.SIGKILL)

    Checkpoints.on_eval_end = on_eval_end
    train(load_config(config, options), resume=resume)


def main():
    config, epochs, options, folder = json.loads(sys.argv[1])
    import facekp.training  # noqa: F401  (once, for all children)

    whole, broken = ([*options, f"output={folder}/{name}"] for name in ("whole", "broken"))
    status = in_child(lambda: train_and_die(config, whole, False, None))
    assert status == 0, f"the whole run ended with {status}"
    for epoch in range(1, epochs):
        status = in_child(lambda epoch=epoch: train_and_die(config, broken, epoch > 1, epoch))
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, f"epoch {epoch} ended with {status}"
    status = in_child(lambda: train_and_die(config, broken, True, None))
    assert status == 0, f"the last start ended with {status}"


if __name__ == "__main__":
    main()
