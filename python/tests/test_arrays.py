import unittest

import numpy as np
from m2.arrays import FLOATS, INTEGERS, MASK, POSITIONS, as_array


class AsArrayTest(unittest.TestCase):
    def test_fitting_arrays_are_not_copied(self):
        for kind, dtype in ((INTEGERS, np.int64), (INTEGERS, np.int32), (MASK, np.bool_),
                            (MASK, np.float32), (FLOATS, np.float32), (FLOATS, np.float16)):
            with self.subTest(kind=kind, dtype=dtype):
                array = np.zeros((2, 3), dtype=dtype)
                self.assertTrue(np.shares_memory(as_array("x", array, kind), array))

    def test_other_arrays_are_converted(self):
        for kind, array, expected in (
            (INTEGERS, np.arange(6).reshape(2, 3).T, np.int64),
            (INTEGERS, np.zeros(3, np.uint8), np.int64),
            (INTEGERS, [[1, 2], [3, 4]], np.int64),
            (INTEGERS, [], np.int64),
            (INTEGERS, np.arange(3, dtype=">i8"), np.int64),
            (MASK, np.zeros(3, np.float64), np.float32),
            (MASK, [True, False], np.bool_),
            (POSITIONS, [True, False], np.bool_),
            (POSITIONS, np.zeros(3, np.int16), np.int64),
            (FLOATS, np.zeros(3, np.float64), np.float32),
        ):
            with self.subTest(kind=kind, array=array):
                converted = as_array("x", array, kind)
                self.assertEqual(converted.dtype, expected)
                self.assertTrue(converted.flags["C_CONTIGUOUS"])
                self.assertEqual(converted.tolist(), np.asarray(array).tolist())

    def test_wrong_types_name_the_argument(self):
        for kind, array in ((INTEGERS, [1.5]), (INTEGERS, ["a"]), (INTEGERS, [True]),
                            (FLOATS, [1]), (MASK, ["a"]), (INTEGERS, object())):
            with self.subTest(kind=kind, array=array), self.assertRaisesRegex(TypeError, "labels"):
                as_array("labels", array, kind)
        with self.assertRaisesRegex(ValueError, "labels.*lengths"):
            as_array("labels", [[1], [2, 3]])


if __name__ == "__main__":
    unittest.main()
