#!/bin/sh
# Makes the bundle dist/hello-go: the contract's stubs, the program, and its manifest. Needs Go, and `npm ci` for buf.
set -eu
cd "$(dirname "$0")"
PATH="$PWD/../../node_modules/.bin:$PATH"
buf generate
go build -o dist/hello-go/hello-go .
cp bundle/plugin.json dist/hello-go/
