import paddle
import pytest
from paddle.static import InputSpec

from facekp.codec import MeanFaceCodec
from facekp.data.drawn import DrawnFacesDataset
from facekp.data.statistics import crop_statistics
from facekp.data.transforms import build_transforms
from facekp.evaluation import predict_dataset
from facekp.losses import build_loss
from facekp.metrics import NME
from facekp.models import build_network


def test_training_lowers_the_loss_on_drawn_faces():
    paddle.seed(0)
    pipeline = build_transforms(
        [
            {"type": "FaceCrop", "size": 96, "margin": 0.2},
            {"type": "GrayNormalize", "channels": 1},
            {"type": "ToCHW"},
        ]
    )
    faces = DrawnFacesDataset(48, transform=pipeline)
    mean = crop_statistics(faces, 96).mean_points
    faces.codec = MeanFaceCodec(96, tuple(map(tuple, mean.tolist())))
    network = build_network("plain_resnet", in_channels=1, channels=(8, 16, 32, 32), map_size=3)
    model = paddle.Model(
        network, [InputSpec([None, 1, 96, 96], "float32", "image")], [InputSpec([None, 136], "float32", "points")]
    )
    optimizer = paddle.optimizer.Momentum(0.5, parameters=network.parameters())
    model.prepare(optimizer, build_loss("smooth_l1"), [NME(faces.codec)])
    loader = paddle.io.DataLoader(faces, batch_size=16)
    before = predict_dataset(network, loader, faces.codec).errors().mean()
    model.fit(loader, epochs=20, verbose=0)
    after = predict_dataset(network, loader, faces.codec).errors().mean()
    assert after < 0.5 * before
    assert model.evaluate(loader, verbose=0)["nme"] == pytest.approx(after, rel=1e-4)
