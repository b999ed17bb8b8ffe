import dataclasses
import json
import pickle

import numpy as np
import paddle
import pytest
from safetensors.numpy import save_file

from facekp.codecs.points import StandardCodec, codec_to_dict
from facekp.errors import UserError
from facekp.landmarks import IBUG68
from facekp.models import build_network
from facekp.models.weights import load_any_weights, load_detector_weights, load_weights, save_weights
from facekp.recipes import FORMAT, BoxesRecipe, PointsRecipe, read_recipe, save_recipe
from facekp.zoo import SHIPPED

NETWORK = {"type": "plain_resnet", "channels": [4, 8], "map_size": 2}
RECIPE = PointsRecipe(
    network=NETWORK,
    schema=IBUG68,
    size=96,
    pixels=[],
    codec=codec_to_dict(StandardCodec(1.0, 2.0)),
    face_centre=(0.5, 0.5),
    face_side=0.7,
)


def network():
    paddle.seed(3)
    return build_network("plain_resnet", channels=(4, 8), map_size=2)


@pytest.mark.parametrize(("half", "tolerance"), [(False, 0), (True, 2e-3)])
def test_what_is_saved_is_loaded(tmp_path, half, tolerance):
    net = network()
    save_weights(tmp_path / "w.safetensors", net, RECIPE, half=half)
    loaded, recipe = load_weights(tmp_path / "w.safetensors")
    assert recipe.build_codec() == StandardCodec(1.0, 2.0)
    assert recipe == RECIPE
    assert json.dumps(recipe.to_dict()) == json.dumps(RECIPE.to_dict())
    assert not loaded.training
    net.eval()
    x = paddle.to_tensor(np.random.default_rng(0).random((1, 3, 96, 96), np.float32))
    np.testing.assert_allclose(loaded(x).numpy(), net(x).numpy(), atol=tolerance)


def test_half_precision_is_half_the_size(tmp_path):
    for half in (False, True):
        large = build_network("plain_resnet", channels=(16, 32))  # the recipe is small compared with it
        save_weights(tmp_path / f"{half}.safetensors", large, RECIPE, half=half)
    sizes = [(tmp_path / f"{half}.safetensors").stat().st_size for half in (True, False)]
    assert sizes[0] < 0.6 * sizes[1]


class Boom:
    def __reduce__(self):
        return (print, ("code of a stranger ran",))


def test_a_pickle_is_refused_and_does_not_run(tmp_path, capsys):
    (tmp_path / "w.safetensors").write_bytes(pickle.dumps(Boom()))
    with pytest.raises(UserError, match=r"w\.safetensors"):
        load_weights(tmp_path / "w.safetensors")
    assert capsys.readouterr().out == ""


def test_missing_truncated_and_foreign_files_are_named(tmp_path):
    with pytest.raises(UserError, match="no such weights"):
        load_weights(tmp_path / "w.safetensors")
    save_weights(tmp_path / "w.safetensors", network(), RECIPE)
    whole = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged"):
        load_weights(tmp_path / "cut.safetensors")
    save_file({"a": np.zeros(3)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(UserError, match="not weights of facekp"):
        load_weights(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("network_values", "message"),
    [
        ({"type": "plain_resnet", "channels": [4, 16], "map_size": 2}, "shape"),
        ({"type": "plain_resnet", "channels": [4, 8, 8], "map_size": 2}, "only in one"),
        ({"type": "os.system"}, "unknown network"),
        ({"type": "plain_detector"}, "unknown network 'plain_detector'"),  # does not find points
        ({"type": "plain_resnet", "channels": [4, 8], "cannels": 3}, "unknown option 'cannels'"),
        ({"type": "plain_resnet", "channels": [4, 0.5]}, "wrong value"),
        ({"type": "plain_resnet", "channels": [4, 8], "num_points": 5}, "map_size|only in one|shape"),
    ],
)
def test_weights_that_do_not_fit_their_recipe_are_refused(tmp_path, network_values, message):
    recipe = dataclasses.replace(RECIPE, network=network_values)
    save_weights(tmp_path / "w.safetensors", network(), recipe)
    with pytest.raises(UserError, match=message) as caught:
        load_weights(tmp_path / "w.safetensors")
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(tmp_path / "w.safetensors"))


def test_a_network_of_points_is_no_detector(tmp_path):
    recipe = dataclasses.replace(BOXES, network=NETWORK)
    save_weights(tmp_path / "w.safetensors", network(), recipe)
    with pytest.raises(UserError, match="unknown network 'plain_resnet'; known are plain_detector"):
        load_detector_weights(tmp_path / "w.safetensors")


def test_a_damaged_description_is_named(tmp_path):
    arrays = {name: tensor.numpy() for name, tensor in network().state_dict().items()}
    save_file(arrays, str(tmp_path / "w.safetensors"), {"format": FORMAT, "recipe": '{"size": 96}'})
    with pytest.raises(UserError, match="description is damaged"):
        load_weights(tmp_path / "w.safetensors")


DETECTOR = {"type": "plain_detector", "channels": [4, 4, 8, 8, 8], "width": 8, "blocks": [1, 1, 1]}
BOXES = BoxesRecipe(DETECTOR, 96, [{"type": "ImageNetNormalize"}, {"type": "ToCHW"}], {"config": "tiny"})


def test_a_detector_is_saved_and_loaded(tmp_path):
    paddle.seed(3)
    net = build_network(**DETECTOR)
    save_weights(tmp_path / "w.safetensors", net, BOXES)
    x = BOXES.build_pixels()(np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8))[None]
    net.eval()
    for load in (load_detector_weights, load_any_weights):
        loaded, recipe = load(tmp_path / "w.safetensors")
        assert recipe == BOXES
        assert not loaded.training
        np.testing.assert_array_equal(loaded(paddle.to_tensor(x)).numpy(), net(paddle.to_tensor(x)).numpy())
    save_recipe(tmp_path / "w.json", BOXES)
    for name in ("w.json", "w.safetensors"):
        assert read_recipe(tmp_path / name, BoxesRecipe) == BOXES
        with pytest.raises(UserError, match=f"{name}: weights of a network that finds boxes, not points"):
            read_recipe(tmp_path / name)


def test_points_and_boxes_are_not_confused(tmp_path):
    save_weights(tmp_path / "boxes.safetensors", build_network(**DETECTOR), BOXES)
    save_weights(tmp_path / "points.safetensors", network(), RECIPE)
    with pytest.raises(UserError, match=r"boxes\.safetensors: weights of a network that finds boxes, not points"):
        load_weights(tmp_path / "boxes.safetensors")
    with pytest.raises(UserError, match=r"points\.safetensors: weights of a network that finds points, not boxes"):
        load_detector_weights(tmp_path / "points.safetensors")
    assert isinstance(load_any_weights(tmp_path / "points.safetensors")[1], PointsRecipe)


def test_older_weights_which_say_nothing_of_what_they_find_are_of_points(tmp_path):
    arrays = {name: tensor.numpy() for name, tensor in network().state_dict().items()}
    values = {name: value for name, value in RECIPE.to_dict().items() if name != "schema"}  # as before schemas
    described = {"format": FORMAT, "recipe": json.dumps({**values, "num_points": 68})}
    save_file(arrays, str(tmp_path / "w.safetensors"), described)
    assert load_weights(tmp_path / "w.safetensors")[1] == RECIPE
    with pytest.raises(UserError, match="finds points, not boxes"):
        load_detector_weights(tmp_path / "w.safetensors")


def test_options_of_gigabytes_are_refused_before_memory_is_taken(tmp_path):
    import json
    import resource

    from safetensors.numpy import load_file, save_file

    from facekp.io.safetensors import read_metadata

    source = SHIPPED / "face_crop_light.safetensors"
    metadata = read_metadata(source)
    recipe = json.loads(metadata["recipe"])
    recipe["network"]["channels"] = [60000, 60000, 60000]  # 130 GB of weights
    save_file(load_file(source), tmp_path / "w.safetensors", {**metadata, "recipe": json.dumps(recipe)})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=r"w\.safetensors: weights of another network"):
        load_any_weights(tmp_path / "w.safetensors")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
