#!/usr/bin/env bash
# The demonstration: the main job on the shipped model. Called by ./dev demo, which has built the program.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec build/release/cli/retune --help
