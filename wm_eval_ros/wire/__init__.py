"""Messages to records and back by field name; no ROS import: live and bag pass the same code."""
