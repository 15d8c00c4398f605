"""What setup.py, the build backend and CMakeLists.txt share; nothing of it is installed."""
