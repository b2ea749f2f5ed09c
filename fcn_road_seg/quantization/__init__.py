"""INT8 quantisation after training: calibration frames, NNCF's quantisation, and the layers that need floating point.

Imports NNCF and ONNX when called, `datasets`, `inference` and the rooms below them.
"""
