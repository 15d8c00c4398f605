"""Does the model know when it is wrong: score streams, detectors and their calibration."""
