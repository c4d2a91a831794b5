#!/bin/sh
# Makes the bundle plugins/audit: the contract's stubs, the program, and its manifest. Needs Go, and `npm ci` for buf.
set -eu
cd "$(dirname "$0")"
PATH="$PWD/../../../node_modules/.bin:$PATH"
buf generate
go build -o ../plugins/audit/audit .
cp bundle/plugin.json ../plugins/audit/
