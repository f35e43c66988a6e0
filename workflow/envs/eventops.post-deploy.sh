#!/usr/bin/env bash
set -euo pipefail
# The workflow says where its checkout is: it may run from anywhere.
python -m pip install --no-deps "${EVENTOPS_SOURCE:-.}"
