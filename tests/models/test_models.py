import csv
import re
from pathlib import Path

import numpy as np
import paddle
import pytest

from facekp.codecs.boxes import BoxCodec
from facekp.codecs.points import OutputLayout, bin_places
from facekp.errors import UserError
from facekp.models import NETWORKS, build_network
from facekp.models.heads import build_head
from facekp.models.sam_googlenet import Inception, SAMGoogLeNetBN, SpatialAttention

paddle.seed(0)


def images(size, channels=3, count=2):
    return paddle.to_tensor(np.random.default_rng(0).random((count, channels, size, size), np.float32))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("num_points", [68, 5])
def test_shape_and_gradients(name, num_points):
    network = build_network(name, num_points=num_points)
    out = network(images(96))
    assert list(out.shape) == [2, 2 * num_points]
    assert np.isfinite(out.numpy()).all()
    if num_points == 5 and name not in ("vgg16", "resnet50"):  # these are slow and have the same head
        out.square().mean().backward()
        for parameter_name, parameter in network.named_parameters():
            if parameter.stop_gradient:
                continue  # running statistics
            assert parameter.grad is not None, parameter_name
            assert np.isfinite(parameter.grad.numpy()).all(), parameter_name


#: Our name of a layer -> its name in the document.
DOCUMENT_NAMES = {
    "_BiasedConv": "Conv2D",
    "BatchNorm2D": "BatchNorm",
    "AdaptiveAvgPool2D": "AvgPool2D",
    "SpatialAttention": "SAM_Module",
}


def summary_rows(text):
    """Return (layer, output shape, parameters) of each row that `paddle.summary` printed."""
    rows = re.findall(r"^ *(\w+)-\d+ +\[\[.*?\]\] +(\[.*?\]) +([\d,]+) *$", text, re.M)
    return [(DOCUMENT_NAMES.get(layer, layer), shape, int(count.replace(",", ""))) for layer, shape, count in rows]


def test_sam_googlenet_bn_is_the_documents_network_row_by_row(capsys):
    """Without ReLU, which has no parameters and is in the document's table once, however often it is called."""
    summary = paddle.summary(SAMGoogLeNetBN(attention="argmax"), (1, 3, 224, 224))
    printed = capsys.readouterr().out
    with (Path(__file__).with_name("document_summary.csv")).open(newline="") as file:
        document = [(row["layer"], row["output_shape"], int(row["parameters"])) for row in csv.DictReader(file)]
    expected = [row for row in document if row[0] != "ReLU"]
    assert len(expected) == 100
    assert [row for row in summary_rows(printed) if row[0] != "ReLU"] == expected
    assert sum(count for _, _, count in expected) == summary["total_params"] == 6_578_884
    assert "6,578,884" in printed


def test_the_default_attention_changes_no_layer():
    counts = {name: parameter.shape for name, parameter in build_network("sam_googlenet_bn").named_parameters()}
    assert counts == {name: p.shape for name, p in SAMGoogLeNetBN(attention="argmax").named_parameters()}


def test_an_inception_is_its_four_branches():
    """The document has no ReLU after the reducing convolutions; GoogLeNet has."""
    x = paddle.to_tensor(np.random.default_rng(0).normal(size=(2, 4, 6, 6)).astype(np.float32))
    for inner_relu in (False, True):
        block = Inception(4, 2, (2, 3), (2, 5), 6, inner_relu=inner_relu)
        relu = paddle.nn.functional.relu
        between = relu if inner_relu else lambda y: y
        branches = [block.branch1(x), block.branch3(between(block.branch3_reduce(x))),
                    block.branch5(between(block.branch5_reduce(x))), block.branch_pool(block.pool(x))]  # fmt: skip
        np.testing.assert_array_equal(block(x).numpy(), relu(paddle.concat(branches, axis=1)).numpy())
        assert (branches[1].numpy() < 0).any()


@pytest.mark.parametrize("size", [96, 97, 111, 128, 160])
def test_sam_googlenet_bn_takes_any_size_from_96(size):
    network = build_network("sam_googlenet_bn")
    network.eval()
    assert list(network(images(size, count=1)).shape) == [1, 136]


def test_maxout_attention_is_the_channel_maximum_forwards_and_backwards():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(2, 8, 10, 12)).astype(np.float32)
    attention = SpatialAttention("max")
    results = []
    for pooled_by_max in (False, True):
        x = paddle.to_tensor(values, stop_gradient=False)
        if pooled_by_max:  # the definition, with a slow backward pass
            pooled = paddle.concat([x.mean(axis=1, keepdim=True), paddle.max(x, axis=1, keepdim=True)], axis=1)
            y = x * paddle.nn.functional.sigmoid(attention.conv(pooled))
        else:
            attention.train()
            y = attention(x)
        y.square().sum().backward()
        results.append((y.numpy(), x.grad.numpy()))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-4, atol=1e-5)
    attention.eval()
    np.testing.assert_allclose(attention(paddle.to_tensor(values)).numpy(), results[0][0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pooling, stays_open", [("max", False), ("cbam", True)])
def test_batch_norm_keeps_an_attention_open_whatever_the_scale_of_the_features(pooling, stays_open):
    """With features like these, the fourth attention of the default recipe closed and passed no gradient."""
    x = paddle.to_tensor(30 + np.random.default_rng(0).normal(size=(4, 16, 14, 14)).astype(np.float32))
    x.stop_gradient = False
    attention = SpatialAttention(pooling)
    weight = next(p for name, p in attention.named_parameters() if p.ndim == 4)
    weight.set_value(np.full((1, 2, 7, 7), -0.05, np.float32))
    attention.train()
    y = attention(x)
    y.sum().backward()
    assert (float(y.mean()) > 1) == (float(x.grad.abs().max()) > 1e-3) == stays_open


def test_argmax_attention_sees_the_index():
    attention = SpatialAttention("argmax")
    attention.conv.weight.set_value(np.zeros((1, 2, 7, 7), np.float32))
    attention.conv.bias.set_value(np.zeros(1, np.float32))
    weight = np.zeros((1, 2, 7, 7), np.float32)
    weight[0, 1, 3, 3] = 1.0  # passes on the second map unchanged
    attention.conv.weight.set_value(weight)
    x = np.zeros((1, 4, 3, 3), np.float32)
    x[0, 3] = 2.0
    expected = x / (1 + np.exp(-3.0))  # channel 3 is the strongest everywhere
    np.testing.assert_allclose(attention(paddle.to_tensor(x)).numpy(), expected, rtol=1e-6)


SIMCC = {"head": "simcc", "score": True, "sigma": True, "visibility": True, "last_stride": 1}


@pytest.mark.parametrize(("name", "size"), [("plain_resnet", 112), ("sam_googlenet_bn", 128)])
def test_simcc_returns_its_logits_in_training_alone_and_all_of_it_learns(name, size):
    network = build_network(name, num_points=5, in_channels=1, map_size=size // 16, **SIMCC)
    predicted, logits = network(images(size, 1))
    assert list(predicted.shape) == [2, 10 + 1 + 5 + 5] and list(logits.shape) == [2, 10, 256]
    (predicted.square().mean() + logits.square().mean()).backward()
    for parameter_name, parameter in network.named_parameters():
        if not parameter.stop_gradient:
            assert np.isfinite(parameter.grad.numpy()).all(), parameter_name
    assert np.abs(network.head.say.grad.numpy()).min(axis=(0, 1)).max() > 0
    network.eval()
    assert list(network(images(size, 1)).shape) == [2, 21]


def test_simcc_decodes_the_mean_of_its_distributions():
    head = build_head("simcc", channels=2, layout=OutputLayout(3), map_size=7)
    predicted, logits = head(paddle.randn([2, 2, 7, 7]))
    shares = np.exp(logits.numpy().astype(np.float64))
    expected = (shares * bin_places(256)).sum(-1) / shares.sum(-1)
    np.testing.assert_allclose(predicted.numpy(), expected, atol=1e-4)
    with pytest.raises(ValueError, match="to its side"):
        head(paddle.randn([2, 2, 8, 8]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"type": "sam_googlenet"}, "sam_googlenet_bn, plain_resnet"),
        ({"type": "sam_googlenet_bn", "atention": "max"}, "in_channels, attention"),
        ({"type": "sam_googlenet_bn", "attention": "mean"}, "max, cbam or argmax"),
        ({"type": "sam_googlenet_bn", "norm": "batch"}, "module or layer"),
        ({"type": "sam_googlenet_bn", "in_channels": -1}, "wrong value"),
        ({"type": "resnet18", "in_channels": 1}, "head, score"),
        ({"type": "plain_resnet", "channels": "wide"}, "wrong value"),
        ({"type": "plain_resnet", "channels": [4, -8]}, "wrong value"),
        ({"type": "plain_resnet", "head": "meen"}, "unknown head 'meen'; known are mean, map, soft_argmax, simcc"),
        ({"type": "mobilenet_v2", "head": {"type": "mean", "size": 3}}, "head mean: unknown option 'size'"),
    ],
)
def test_unknown_names_list_the_valid_ones(arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        build_network(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("network", ["sam_googlenet_bn", "plain_resnet"])
@pytest.mark.parametrize("head", ["mean", "map", "soft_argmax"])
def test_every_head_learns_points_and_score(network, head):
    built = build_network(network, num_points=5, head=head, score=True)
    out = built(images(112))
    assert list(out.shape) == [2, 11]
    out.square().mean().backward()
    for name, parameter in built.named_parameters():
        if not parameter.stop_gradient:
            assert np.abs(parameter.grad.numpy()).max() > 0, name


def test_soft_argmax_reads_the_place_of_the_heat_in_percent_of_the_crop():
    head = build_head("soft_argmax", channels=2, layout=OutputLayout(2))
    head.heat.weight.set_value(np.eye(2, dtype=np.float32)[:, :, None, None] * 50)
    head.heat.bias.set_value(np.zeros(2, np.float32))
    x = np.zeros((1, 2, 4, 5), np.float32)
    x[0, 0, 0, 0] = x[0, 1, 2, 4] = 1
    expected = [0.1 * 100 - 50, 0.125 * 100 - 50, 0.9 * 100 - 50, 0.625 * 100 - 50]  # the centres of the cells
    np.testing.assert_allclose(head(paddle.to_tensor(x)).numpy()[0], expected, atol=1e-4)


def test_batch_norm_in_every_layer_takes_the_place_of_biases():
    network = build_network("sam_googlenet_bn", norm="layer")
    modules = [layer for name, layer in network.named_sublayers() if name.startswith("module")]
    assert all(layer.bias is None for layer in modules if isinstance(layer, paddle.nn.Conv2D))
    names = [name for name, _ in network.named_parameters()]
    assert not any(name.startswith("pool_norms") for name in names)
    assert any(name.startswith("pool_norms") for name, _ in build_network("sam_googlenet_bn").named_parameters())


def test_a_bias_is_added_in_training_as_in_evaluation():
    network = Inception(4, 2, (2, 3), (2, 3), 2)
    for layer in network.sublayers():
        if isinstance(layer, paddle.nn.Conv2D):
            layer.bias.set_value(np.linspace(-1, 1, layer.bias.shape[0]).astype(np.float32))
    x = paddle.to_tensor(np.random.default_rng(0).normal(size=(2, 4, 6, 6)).astype(np.float32))
    training = network(x)
    training.sum().backward()
    network.eval()
    np.testing.assert_allclose(training.numpy(), network(x).numpy(), atol=1e-5)
    assert np.isfinite(network.branch1.bias.grad.numpy()).all() and network.branch1.bias.grad.abs().max() > 0


@pytest.mark.parametrize(("height", "width"), [(64, 96), (160, 32), (96, 96)])
def test_a_detector_gives_five_numbers_for_each_cell_of_any_picture(height, width):
    network = build_network("plain_detector", channels=[4, 4, 8, 8, 8], width=8, blocks=[1, 1, 1])
    out = network(paddle.to_tensor(np.random.default_rng(0).random((2, 3, height, width), np.float32)))
    assert list(out.shape) == [2, len(BoxCodec(height, width).centres), 5]
    assert (out[:, :, 1:] > 0).all()  # the cell centre lies in its box
    out.square().mean().backward()
    for name, parameter in network.named_parameters():
        if not parameter.stop_gradient:
            assert np.isfinite(parameter.grad.numpy()).all(), name


def test_the_cells_of_a_detector_respond_to_their_place():
    paddle.seed(1)
    network = build_network("plain_detector", channels=[4, 4, 8, 8, 8], width=8, blocks=[1, 1, 1])
    network.eval()
    picture = np.zeros((1, 3, 256, 384), np.float32)
    empty = network(paddle.to_tensor(picture)).numpy()[0]
    picture[:, :, 200:208, 304:312] = 9  # near the lower right; a random network responds close to it
    changed = np.abs(network(paddle.to_tensor(picture)).numpy()[0] - empty).max(1)
    codec = BoxCodec(256, 384)
    for stride in (8, 16, 32):
        most = np.where(codec.strides == stride, changed, -1).argmax()
        assert np.abs(codec.centres[most] - [307.5, 203.5]).max() <= 3 * stride


def test_a_detector_is_small_and_begins_with_hardly_a_face():
    network = build_network("plain_detector")
    assert sum(int(p.size) for p in network.parameters() if not p.stop_gradient) <= 500_000
    last = network.head[-1]
    assert float(paddle.nn.functional.sigmoid(last.bias[0])) == pytest.approx(0.01, rel=1e-5)
    assert (last.bias[1:] == 0).all()
    last.weight.set_value(paddle.zeros_like(last.weight))
    network.eval()
    out = network(paddle.zeros([1, 3, 64, 64])).numpy()[0]
    np.testing.assert_allclose(out[:, 0], np.log(0.01 / 0.99), rtol=1e-5)
    np.testing.assert_allclose(out[:, 1:], np.repeat(BoxCodec(64, 64).strides[:, None], 4, 1), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chanels": [4, 4, 8, 8, 8]}, "in_channels, channels, width, blocks"),
        ({"channels": [4, 4, 8, 8]}, "channels are five positive numbers"),
        ({"blocks": [1, 0, 1]}, "blocks three"),
        ({"width": 0}, "width is positive"),
        ({"width": "wide"}, "wrong value"),
        ({"score": True}, "unknown option 'score'"),
    ],
)
def test_wrong_options_of_a_detector_are_told(options, message):
    with pytest.raises(UserError, match=message):
        build_network("plain_detector", **options)


@pytest.mark.parametrize("head", ["mean", {"type": "mean"}])
def test_a_mean_head_gets_the_pooled_map_however_it_is_named(head):
    assert isinstance(build_network("sam_googlenet_bn", head=head).pools[-1], paddle.nn.AdaptiveAvgPool2D)
    assert isinstance(build_network("sam_googlenet_bn", head="map").pools[-1], paddle.nn.Identity)
