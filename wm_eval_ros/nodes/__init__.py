"""The only room with rclpy: wiring, no logic."""
