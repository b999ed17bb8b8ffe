"""Data sets, networks, losses and metrics together: `paddle.Model` lowers the loss of points and of boxes."""

import paddle
import pytest
from paddle.static import InputSpec

from facekp.codecs.points import MeanFaceCodec, OutputDecoder, OutputLayout
from facekp.data.combine import JoinedDataset
from facekp.data.composed import MAX_FACES
from facekp.data.drawn import DrawnFacesDataset
from facekp.data.statistics import crop_statistics
from facekp.data.transforms import build_transforms
from facekp.evaluation.landmarks import predict_dataset
from facekp.losses import build_loss
from facekp.metrics import NME
from facekp.models import build_network
from facekp.training.config import load_config
from facekp.training.start import seed_everything


def test_training_lowers_the_loss_on_drawn_faces():
    paddle.seed(0)
    pipeline = build_transforms(
        [
            {"type": "FaceCrop", "size": 96, "margin": 0.2},
            {"type": "GrayNormalize", "channels": 1},
            {"type": "ToCHW"},
        ]
    )
    drawn = DrawnFacesDataset(48)
    mean = crop_statistics(JoinedDataset([drawn], pipeline), 96).mean_points
    codec = MeanFaceCodec(96, tuple(map(tuple, mean.tolist())))
    faces = JoinedDataset([drawn], pipeline, codec)
    decoder = OutputDecoder(OutputLayout(68), codec, codec.size)
    network = build_network("plain_resnet", in_channels=1, channels=(8, 16, 32, 32), map_size=3)
    model = paddle.Model(
        network, [InputSpec([None, 1, 96, 96], "float32", "image")], [InputSpec([None, 136], "float32", "points")]
    )
    optimizer = paddle.optimizer.Momentum(0.5, parameters=network.parameters())
    model.prepare(optimizer, build_loss("smooth_l1"), [NME(codec)])
    loader = paddle.io.DataLoader(faces, batch_size=16)
    before = predict_dataset(network, faces, decoder).errors().mean()
    model.fit(loader, epochs=20, verbose=0)
    after = predict_dataset(network, faces, decoder).errors().mean()
    assert after < 0.5 * before
    assert model.evaluate(loader, verbose=0)["nme"] == pytest.approx(after, rel=1e-4)


def test_training_lowers_the_loss_of_a_detector(drawn_csv):
    seed_everything(0)
    tiny = "network={type: plain_detector, channels: [4, 4, 8, 8, 8], width: 8, blocks: [1, 1, 1]}"
    options = [f"data.sources=[{{type: csv68, root: {drawn_csv}}}]", "size=96", "data.train=[]", tiny]
    config = load_config("configs/face_detector.yml", options)
    data = config.what.build_data(config)
    network = build_network(**data.recipe.network_arguments())
    model = paddle.Model(
        network,
        [InputSpec([None, 3, 96, 96], "float32", "image")],
        [InputSpec([None, MAX_FACES, 5], "float32", "boxes")],
    )
    optimizer = paddle.optimizer.Adam(0.01, parameters=network.parameters())
    model.prepare(optimizer, data.loss, data.metrics)
    loader = paddle.io.DataLoader(data.validation, batch_size=4)
    before = model.evaluate(loader, verbose=0)
    model.fit(paddle.io.DataLoader(data.train, batch_size=6, shuffle=True), epochs=20, verbose=0)
    after = model.evaluate(loader, verbose=0)
    assert after["loss"][0] < 0.8 * before["loss"][0]
    assert 0 <= after["missed"] <= before["missed"] <= 1
