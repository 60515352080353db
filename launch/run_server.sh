#!/usr/bin/env bash
# Runs a model server, says when it has loaded its model, and ends with it; for launch/serve.sh.
# Needs: curl.
# Command: [READY_SECONDS=60] launch/run_server.sh URL COMMAND [ARGUMENT ...]
#   URL is where COMMAND tells the state of the model: http://127.0.0.1:8501/v1/models/NAME
# Prints: what the server prints and, once the model is loaded, a request to try.
#
# A server that is not ready in time is ended, with exit code 1. Else its exit code is that of the
# script. SIGTERM, Ctrl-C and SIGHUP are passed on to it, as SIGTERM.
set -euo pipefail
if (($# < 2)); then
  echo "usage: launch/run_server.sh URL COMMAND [ARGUMENT ...]" >&2
  exit 2
fi
url="$1" answer="" limit="${READY_SECONDS:-60}"
shift

trap 'kill -TERM "$!" 2>/dev/null || true' TERM INT HUP
"$@" </dev/null &
until [[ "$answer" == *'"AVAILABLE"'* ]] || ! kill -0 "$!" 2>/dev/null; do
  if ((SECONDS > limit)); then
    echo "run_server.sh: not ready after $limit s, so it is ended; its last state: $answer" >&2
    kill -TERM "$!" && wait "$!" || true
    exit 1
  fi
  sleep 0.2 || true
  answer="$(curl -fs --noproxy '*' --max-time 2 "$url")" || true
done
if [[ "$answer" == *'"AVAILABLE"'* ]]; then
  echo "run_server.sh: the model is ready: $url"
  echo "  curl -d '{\"signature_name\": \"sample\", \"inputs\": {\"seed\": [[0, 1]]}}' $url:predict"
fi
while kill -0 "$!" 2>/dev/null; do sleep 0.1 || true; done
wait "$!"
if [[ "$answer" != *'"AVAILABLE"'* ]]; then
  echo "run_server.sh: the server ended before it was ready" >&2
  exit 1
fi
