#!/usr/bin/env bash
# Serves an export with TensorFlow Serving: its Docker image, or a server binary of this machine.
# Needs: curl, and docker on an amd64 machine or a tensorflow_model_server.
# Command: launch/serve.sh [--binary=PATH] [--name=N] [--port=8500] [--rest_port=8501] EXPORT_DIR
#   [flags of the server]; EXPORT_DIR is that of sigma-vae-export, and N the name in its
#   models.config. TENSORFLOW_MODEL_SERVER (PATH), SERVING_IMAGE and READY_SECONDS can be set.
# Prints: the ports, what the server prints and, once it has loaded the model, a request to try.
# New versions are taken up as it runs. SIGTERM or Ctrl-C ends it; its exit code is the server's.
# The ports are open to the network, and nothing asks who calls.
set -euo pipefail
fail() { echo "serve.sh: $1" >&2 && exit "${2:-1}"; }
image="${SERVING_IMAGE:-tensorflow/serving:2.19.1}" binary="${TENSORFLOW_MODEL_SERVER:-}"
name="" port=8500 rest_port=8501
while [[ "${1:-}" =~ ^--(binary|name|port|rest_port)=(.+)$ ]]; do
  printf -v "${BASH_REMATCH[1]}" %s "${BASH_REMATCH[2]}" && shift
done
[[ "${1:--}" != -* ]] || fail "usage: launch/serve.sh [--binary=PATH] [--name=N] [--port=8500]\
 [--rest_port=8501] EXPORT_DIR [flags of the server]" 2
[[ "$(printf '%s\n' "$1"/*/saved_model.pb)" =~ /[0-9]+/saved_model ]] || fail "no version (a folder\
 named by an integer, with a saved_model.pb) in $1: give the --export_dir of sigma-vae-export"
folder="$(cd "$1" && pwd)" && shift && config="$folder/models.config"
name="${name:-$(sed -n '/^ *name: "/{s///;s/".*//p;q}' "$config" 2>/dev/null || true)}"
name="${name:-$(basename "$folder")}" base="${binary:+$folder}"
base="${base:-/models/$name}" server=("$binary" --port="$port" --rest_api_port="$rest_port")
[ -n "$binary" ] || server=(docker run --rm --init -p "$port:8500" -p "$rest_port:8501"
  --mount "type=bind,source=$folder,target=$base,readonly" --entrypoint tensorflow_model_server
  "$image" --port=8500 --rest_api_port=8501)
command -v "${server[0]}" >/dev/null || fail "no ${server[0]} here: give another --binary=PATH" 127
for tcp in "$port" "$rest_port"; do
  ! (: <>"/dev/tcp/127.0.0.1/$tcp") 2>/dev/null || fail "port $tcp is taken: give another"
done
# models.config speaks of /models/NAME as exported: not for a binary, nor for a --name of one's own.
served=(--model_name="$name" --model_base_path="$base")
! grep -qsF "base_path: \"$base\"" "$config" || served=(--model_config_file="$base/models.config")
[ ! -e "$folder/batching.config" ] ||
  served+=(--enable_batching --batching_parameters_file="$base/batching.config")
[ -n "$binary" ] || docker image inspect "$image" &>/dev/null || docker pull "$image"
echo "serve.sh: $name: gRPC on port $port, REST on port $rest_port"
exec "$(dirname "${BASH_SOURCE[0]}")/run_server.sh" "http://127.0.0.1:$rest_port/v1/models/$name" \
  "${server[@]}" "${served[@]}" "$@"
