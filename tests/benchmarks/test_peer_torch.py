"""The PyTorch network of the benchmarks computes the same as ours."""

import numpy as np
import paddle
import pytest

from facekp.models import build_network

torch = pytest.importorskip("torch", reason="needs the extra [peers]")


@pytest.mark.parametrize("attention", ["max", "cbam", "argmax"])
def test_pytorch_computes_what_paddle_does_from_the_same_weights(attention):
    from peer_torch import SAMGoogLeNetBN

    paddle.seed(0)
    ours = build_network("sam_googlenet_bn", attention=attention)
    theirs = SAMGoogLeNetBN(attention=attention)
    names = {"_mean": "running_mean", "_variance": "running_var"}
    state = {}
    for name, tensor in ours.state_dict().items():
        stem, _, last = name.rpartition(".")
        array = tensor.numpy()
        # Paddle stores the weight of a linear layer as (in, out), PyTorch as (out, in).
        linear = array.ndim == 2
        state[f"{stem}.{names.get(last, last)}"] = torch.from_numpy(array.T.copy() if linear else array)
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    x = np.random.default_rng(0).random((2, 3, 96, 96), np.float32)
    ours.eval(), theirs.eval()
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x)).numpy()
    # Two libraries, and sums of up to a few thousand float32 products.
    np.testing.assert_allclose(ours(paddle.to_tensor(x)).numpy(), expected, atol=1e-4)
