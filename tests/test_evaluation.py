import numpy as np
import pytest

from facekp.evaluation import Predictions, summarise
from facekp.landmarks import REGIONS


def test_the_table_by_hand():
    truth = np.zeros((4, 68, 2))
    truth[:, 45, 0] = 100
    predicted = truth.copy()
    predicted[0] += [3, 4]  # 5 %
    predicted[1, REGIONS["mouth"]] += [34, 0]  # 34 % at 20 of 68 points: 10 %
    predicted[2] += [9, 0]  # 9 %
    table = summarise(Predictions(predicted, truth))
    assert table["faces"] == 4
    assert table["nme"] == pytest.approx((0.05 + 0.10 + 0.09 + 0) / 4)
    assert table["nme_median"] == pytest.approx(0.07)
    assert table["failure_8"] == pytest.approx(0.5)
    assert table["auc_8"] == pytest.approx((3 / 8 + 1) / 4)
    assert table["nme_mouth"] == pytest.approx((0.05 + 0.34 + 0.09) / 4)
    assert table["nme_jaw"] == pytest.approx((0.05 + 0.09) / 4)
    assert "document_nme" not in table
