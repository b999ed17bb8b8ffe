"""Training: the config, the data it names, the callbacks of `paddle.Model.fit`, and resuming."""
