#!/usr/bin/env bash
# Checks the machine; installs what is missing with apt where that needs no password.
# With the word `browser`: the browser in which the tests open the reports, and nothing else.
set -euo pipefail

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || {
  echo "wm_eval_ros needs Python >= 3.10, '$python' is $("$python" --version 2>&1 || true):" \
       'name another with `make PYTHON=...`' >&2
  exit 2
}

has_library() { PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | grep -q "$1"; }
has_header() { "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'; }

missing=()
if [ "${1:-}" = browser ]; then
  for name in chromium chromium-browser google-chrome google-chrome-stable chrome; do
    command -v "$name" >/dev/null && exit 0
  done
  missing+=(chromium)
else
  command -v "${CC:-cc}" >/dev/null || missing+=(gcc)
  command -v "${CXX:-c++}" >/dev/null || missing+=(g++)
  has_header || missing+=(python3-dev)
  "$python" -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
  # headless rendering of the cameras
  has_library libEGL.so.1 || missing+=(libegl1)
  has_library libOpenGL.so.0 || missing+=(libopengl0)
  has_library libEGL_mesa.so.0 || missing+=(libegl-mesa0 libgl1-mesa-dri)
fi
[ ${#missing[@]} -eq 0 ] && exit 0

command="apt-get install -y --no-install-recommends ${missing[*]}"
if ! command -v apt-get >/dev/null; then
  echo "missing here, by the names Debian gives them: ${missing[*]}" >&2
  exit 0
fi
if [ "$(id -u)" -eq 0 ]; then
  become=()
elif sudo -n true 2>/dev/null; then
  become=(sudo -n)
else
  echo "missing: ${missing[*]}; run: sudo $command" >&2
  exit 0
fi
echo "installing ${missing[*]}"
"${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null &&
  "${become[@]}" env DEBIAN_FRONTEND=noninteractive $command -qq </dev/null >/dev/null ||
  echo "could not install ${missing[*]}; run: sudo $command" >&2
