"""Perturbations of values, images, messages, physics, planning and processes; free of ROS."""
