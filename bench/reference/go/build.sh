#!/bin/sh
# Makes the program `reference` in the folder that is given. Needs Go, and `npm ci` for buf.
set -eu
mkdir -p "$1"
output=$(cd "$1" && pwd)
cd "$(dirname "$0")"
PATH="$PWD/../../../node_modules/.bin:$PATH"
buf generate
go build -o "$output/" .
