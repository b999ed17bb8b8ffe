"""Logs: a damaged one is refused."""

import pytest

from facekp.errors import UserError
from facekp.training.logs import read_run


def test_a_log_that_claims_gigabytes_is_told(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,step,train_loss,val_loss,train_nme,val_nme\n1,2,1,1,1,1\n")
    (tmp_path / "vdlrecords.facekp.log").write_bytes((1 << 31).to_bytes(8, "little"))
    with pytest.raises(UserError, match="claims a record of 2147483648 bytes"):
        read_run(tmp_path)
