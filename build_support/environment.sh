#!/usr/bin/env bash
# Makes the virtual environment $VENV with every requirement of the package in it.
set -euo pipefail

python=${PYTHON:-python3}
venv=${VENV:-.venv}
constraints=requirements/constraints.txt
options=()
# what the tests of the exports read their files back with, and the engine of compiled rollouts
large=(parquet rerun fast)

if "$python" build_support/manifest.py --ros-is-sourced; then
  "$python" -c 'import rclpy' 2>/dev/null || {
    echo "ROS 2 $ROS_DISTRO is sourced, but $python cannot import its rclpy: name its Python with" \
         '`make PYTHON=...`, or use a shell where it is not sourced' >&2
    exit 2
  }
  echo "using ROS 2 $ROS_DISTRO"
  options=(--system-site-packages)
  large=(parquet fast)
fi

"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv "${options[@]}" "$venv"
if [ ${#options[@]} -gt 0 ]; then
  # The distribution's messages are compiled against its own numpy.
  constraints=$venv/constraints.txt
  "$python" -c 'import numpy; print(f"numpy=={numpy.__version__}")' >"$constraints"
  grep '^torch==' requirements/constraints.txt >>"$constraints"
fi
"$python" build_support/manifest.py all dev colcon "${large[@]}" >"$venv/requirements.txt"
echo "installing $(wc -l <"$venv/requirements.txt") requirements into $venv (minutes)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  --constraint "$constraints" --requirement "$venv/requirements.txt" setuptools wheel
