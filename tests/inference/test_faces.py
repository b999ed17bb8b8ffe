import numpy as np

from facekp import Faces


def test_faces_are_sorted_largest_first():
    boxes = [[0, 0, 2, 2], [0, 0, 9, 9], [0, 0, 5, 5]]
    faces = Faces.from_arrays(np.arange(3 * 68 * 2).reshape(3, 68, 2), boxes, [0.1, 0.2, 0.3])
    assert faces.boxes[:, 2].tolist() == [9, 5, 2]
    np.testing.assert_allclose(faces.scores, [0.2, 0.3, 0.1])
    assert faces.points[0, 0, 0] == 136
    assert [score for _, _, score in faces] == [float(s) for s in faces.scores]
    assert {a.dtype for a in (faces.points, faces.boxes, faces.scores)} == {np.dtype(np.float32)}


def test_importing_facekp_does_not_import_paddle():
    import subprocess
    import sys

    code = "import sys, facekp, facekp.vision.geometry, facekp.data.prepare; sys.exit('paddle' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
