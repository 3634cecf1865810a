#!/bin/sh
# build.sh OUT makes parser-acme-py and detector-acme-py in the folder OUT: each a
# program in one file, as a host hashes and runs it.
#
# The messages are made by protoc at build time and not committed: generated Python
# code works with the protobuf runtime that its protoc belongs to, so both have to
# come from the machine. gRPC needs no generated code here. Needs Debian's
# protobuf-compiler, python3-grpcio and python3-protobuf.
set -eu
out=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "$0")"
proto=${PROTO:-../../../proto}
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
for plugin in parser_acme detector_acme; do
	rm -rf "${stage:?}/$plugin"
	mkdir "$stage/$plugin"
	protoc -I "$proto" --python_out="$stage/$plugin" ironpost/v1/event.proto ironpost/v1/plugin.proto
	touch "$stage/$plugin/ironpost/__init__.py" "$stage/$plugin/ironpost/v1/__init__.py"
	cp ironpost_plugin.py "$stage/$plugin/"
	cp "$plugin.py" "$stage/$plugin/__main__.py"
	name=$(echo "$plugin-py" | tr _ -)
	# -I keeps the environment and the working directory out of it.
	/usr/bin/python3 -m zipapp -p '/usr/bin/python3 -I' -o "$out/$name" "$stage/$plugin"
	chmod 0755 "$out/$name"
done
