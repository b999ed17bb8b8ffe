import cv2
import numpy as np
import pytest

from facekp.detectors.yunet import BROWS, YuNetDetector, landmark_boxes
from facekp.errors import UserError
from facekp.zoo import SHIPPED

#: Outputs of YuNet on each of its three grids -> numbers per cell.
OUTPUTS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


def save_white_square_finder(path):
    """Write a network with YuNet's inputs and outputs that detects a face centred on every white cell of 8 x 8 pixels.

    The face is 32 pixels wide and 40 high, and its eyes lie in the cell's corner. OpenCV's own code pads the image,
    runs the network and decodes its cells, so that the code around it can be tested without YuNet's file.
    """
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights, outputs = [], [], []
    for stride in (8, 16, 32):
        for name, channels in OUTPUTS.items():
            output = f"{name}_{stride}"
            kernel, bias = np.zeros((channels, 3, stride, stride), np.float32), np.zeros(channels, np.float32)
            if name == "cls" and stride == 8:
                kernel += 1 / (3 * 255 * stride**2)  # whiteness of the cell
            elif name == "obj":
                bias += 1
            elif name == "bbox":
                bias += np.float32([0.5, 0.5, np.log(4), np.log(5)])  # centre and size, in cells
            weights += [numpy_helper.from_array(kernel, f"{output}_kernel")]
            weights += [numpy_helper.from_array(bias, f"{output}_bias")]
            weights += [numpy_helper.from_array(np.int64([1, -1, channels]), f"{output}_shape")]
            nodes += [
                helper.make_node("Conv", ["input", f"{output}_kernel", f"{output}_bias"], [f"{output}_map"],
                                 kernel_shape=[stride] * 2, strides=[stride] * 2),
                helper.make_node("Transpose", [f"{output}_map"], [f"{output}_rows"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"{output}_rows", f"{output}_shape"], [output]),
            ]  # fmt: skip
            shape = [1, (640 // stride) ** 2, channels]
            outputs.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, shape))
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 640, 640])]
    graph = helper.make_graph(nodes, "finder", inputs, outputs, weights)
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 11)]), str(path))
    return path


@pytest.fixture(scope="module")
def finder(tmp_path_factory):
    return save_white_square_finder(tmp_path_factory.mktemp("yunet") / "finder.onnx")


def test_yunet_box_of_a_small_picture(finder):
    image = np.zeros((100, 200, 3), np.uint8)
    image[48:56, 80:88] = 255  # face centre (84, 52), x from 68 to 100, y from 32 to 72; the eyes are at y = 48
    boxes, scores = YuNetDetector(finder)(image)
    assert boxes.dtype == scores.dtype == np.float32
    np.testing.assert_allclose(boxes, [[68, 48 - BROWS * (72 - 48), 100, 72]], atol=0.01)
    np.testing.assert_allclose(scores, [1.0], atol=0.01)


def test_yunet_boxes_are_in_pixels_of_the_photo_whatever_its_size(finder):
    image = np.zeros((960, 1280, 3), np.uint8)
    image[96:112, 160:176] = 255  # a cell at 640 pixels, a quarter of one at 320
    image[640:672, 640:672] = 255  # four cells at 640 pixels, which overlap and become one face; one cell at 320
    boxes, scores = YuNetDetector(finder)(image)
    middle = (boxes[:, 0] + boxes[:, 2]) / 2
    small = boxes[np.abs(middle - 168) < 1]
    np.testing.assert_allclose(small[:, [0, 2, 3]], [[168 - 32, 168 + 32, 104 + 40]], atol=0.1)
    large = boxes[np.abs(middle - 656) < 1]  # 32 pixels at a quarter of the size
    np.testing.assert_allclose(large[:, [0, 2, 3]], [[656 - 64, 656 + 64, 656 + 80]], atol=0.1)
    assert (np.diff(scores) <= 0).all()


@pytest.mark.parametrize("size", [(1, 1), (5, 5), (20, 300), (1, 2000)])
def test_yunet_finds_nothing_on_blank_pictures(finder, size):
    boxes, scores = YuNetDetector(finder)(np.zeros((*size, 3), np.uint8))
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


def test_yunet_leaves_out_low_scores(finder):
    image = np.zeros((64, 64, 3), np.uint8)
    image[16:24, 16:24] = 64  # the score is the root of the product of the network's two scores: here 0.5
    assert len(YuNetDetector(finder)(image)[0]) == 0
    assert len(YuNetDetector(finder, min_score=0.4)(image)[0]) == 1


def test_brows_of_tilted_and_of_impossible_faces():
    tilted = [0, 0, 100, 100, 30, 60, 70, 40, 50, 60, 45, 85, 75, 75, 0.9]
    eyes_on_the_chin = [0, 0, 100, 100, 30, 99, 70, 99, 50, 60, 45, 80, 75, 80, 0.9]
    eyes_above_the_box = [0, 0, 100, 100, 30, -5, 70, -5, 50, 60, 45, 80, 75, 80, 0.9]
    boxes = landmark_boxes(np.float32([tilted, eyes_on_the_chin, eyes_above_the_box]))
    np.testing.assert_allclose(boxes[:, 1], [40 - BROWS * 60, 50, 0], atol=1e-4)
    np.testing.assert_array_equal(boxes[:, [0, 2, 3]], [[0, 100, 100]] * 3)
    assert landmark_boxes(np.zeros((0, 15), np.float32)).shape == (0, 4)


def test_yunet_refuses_what_it_cannot_use(tmp_path, monkeypatch, capfd):
    with pytest.raises(UserError, match=r"missing\.onnx: no such file"):
        YuNetDetector(tmp_path / "missing.onnx")
    with pytest.raises(UserError, match="no such file"):
        YuNetDetector(tmp_path)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network at all")
    ours = SHIPPED / "face_crop_light.onnx"
    for path in (broken, ours):
        with pytest.raises(UserError, match=rf"{path.name}: not a YuNet model") as caught:
            YuNetDetector(path)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""
    monkeypatch.delattr(cv2, "FaceDetectorYN")
    with pytest.raises(UserError, match="this OpenCV has no FaceDetectorYN"):
        YuNetDetector(broken)
