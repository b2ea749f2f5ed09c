"""INT8 after training: calibration frames, NNCF's quantisation, and which layers do not bear it."""
