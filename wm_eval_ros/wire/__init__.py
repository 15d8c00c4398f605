"""Messages to records and back by field name; no ROS import, so live and bag pass the same code."""
