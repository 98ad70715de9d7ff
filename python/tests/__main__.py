"""Runs every test of the package m2, which must be importable: python python/tests [pattern]."""

import pathlib
import sys
import unittest

folder = str(pathlib.Path(__file__).parent)
pattern = sys.argv[1] if len(sys.argv) > 1 else "test_*.py"
suite = unittest.defaultTestLoader.discover(folder, pattern, top_level_dir=folder)
result = unittest.TextTestRunner(verbosity=1).run(suite)
sys.exit(not result.wasSuccessful() or result.testsRun == 0)
